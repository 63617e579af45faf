import type { Machine, MachineFacts } from '#core/machine.ts';
import type { CgroupFacts, Component, ContainerCounts, DaemonSettings } from './ports.ts';
import { collectWarnings } from './warnings.ts';

export interface SystemServiceOptions {
  /** This daemon's id: made once, kept with its data. */
  readonly id: string;
  readonly product: Product;
  readonly machine: Machine;
  readonly cgroups: CgroupFacts;
  readonly settings: () => DaemonSettings;
  /** Programs whose versions are told. Asked once, at the first request. */
  readonly components: () => Promise<readonly Component[]>;
  readonly containers: { counts(): ContainerCounts };
  readonly images: { count(): number };
  readonly events: { readonly listenerCount: number };
}

export interface Product {
  readonly version: string;
  readonly gitCommit: string;
  /** RFC 3339; empty when run from source. */
  readonly buildTime: string;
  /** What executes it: `bun1.4.5`. */
  readonly runtimeVersion: string;
  readonly experimental: boolean;
}

export interface SystemInfo {
  readonly id: string;
  readonly product: Product;
  readonly containers: ContainerCounts;
  readonly imageCount: number;
  readonly listenerCount: number;
  readonly machine: MachineFacts;
  readonly cgroups: CgroupFacts;
  readonly settings: DaemonSettings;
  readonly components: readonly Component[];
  readonly warnings: readonly string[];
}

export interface SystemVersion {
  readonly product: Product;
  readonly components: readonly Component[];
  readonly kernelVersion: string;
  /** As Go names it: amd64, arm64. */
  readonly architecture: string;
}

export interface SystemService {
  /** Of the hierarchy that limits are set in. */
  readonly cgroupVersion: 1 | 2;
  /** Whether features that may change are served. */
  readonly experimental: boolean;
  info(): Promise<SystemInfo>;
  version(): Promise<SystemVersion>;
}

export function createSystemService(options: SystemServiceOptions): SystemService {
  let components: Promise<readonly Component[]> | undefined;
  const componentsOnce = async (): Promise<readonly Component[]> => {
    components ??= options.components();
    try {
      return await components;
    } catch (err) {
      components = undefined;
      throw err;
    }
  };
  return {
    experimental: options.product.experimental,
    get cgroupVersion() {
      return options.cgroups.version;
    },
    async info() {
      const [machine, known] = await Promise.all([options.machine.facts(), componentsOnce()]);
      const settings = options.settings();
      return {
        id: options.id,
        product: options.product,
        containers: options.containers.counts(),
        imageCount: options.images.count(),
        listenerCount: options.events.listenerCount,
        machine,
        cgroups: options.cgroups,
        settings,
        components: known,
        warnings: collectWarnings(options.cgroups, machine, settings),
      };
    },
    async version() {
      const [machine, known] = await Promise.all([options.machine.facts(), componentsOnce()]);
      return {
        product: options.product,
        components: known,
        kernelVersion: machine.kernelVersion,
        architecture: goArchitectures[machine.machine] ?? machine.machine,
      };
    },
  };
}

const goArchitectures: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  aarch64: 'arm64',
  armv7l: 'arm',
  i686: '386',
  ppc64le: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
};
