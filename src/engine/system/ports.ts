/** What the service tells about the machine. Read when asked: memory may be hot-plugged, a setting changed. */
export interface Machine {
  facts(): Promise<MachineFacts>;
}

export interface MachineFacts {
  /** As `uname -r`. */
  readonly kernelVersion: string;
  /** As /etc/os-release names it: `Debian GNU/Linux 12 (bookworm)`. */
  readonly operatingSystem: string;
  readonly osVersion: string;
  /** As `uname -m`: x86_64, aarch64. */
  readonly machine: string;
  readonly hostname: string;
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly ipv4Forwarding: boolean;
  /** Descriptors this process has open. */
  readonly openFiles: number;
  /** Threads of this process. */
  readonly threads: number;
}

/** What limits the kernel's control groups can set. */
export interface CgroupFacts {
  readonly version: 1 | 2;
  readonly memoryLimit: boolean;
  readonly swapLimit: boolean;
  readonly oomKillDisable: boolean;
  readonly cpuShares: boolean;
  readonly cpuCfsQuota: boolean;
  readonly cpuSet: boolean;
  readonly pidsLimit: boolean;
}

export interface RuntimeFacts {
  readonly name: string;
  readonly path: string;
  readonly args: readonly string[];
}

/** A program the engine stands on, with its version. */
export interface Component {
  readonly name: string;
  readonly version: string;
}

export interface ContainerCounts {
  readonly total: number;
  readonly running: number;
  readonly paused: number;
  readonly stopped: number;
}

/** The daemon's settings, as far as they are told. They may change with a reload. */
export interface DaemonSettings {
  readonly debug: boolean;
  readonly labels: readonly string[];
  readonly dataRoot: string;
  readonly storageDriver: string;
  readonly storageStatus: readonly (readonly [name: string, value: string])[];
  readonly loggingDriver: string;
  readonly runtimes: readonly RuntimeFacts[];
  readonly defaultRuntime: string;
  readonly initBinary: string;
  readonly registryMirrors: readonly string[];
  readonly insecureRegistries: readonly string[];
  readonly addressPools: readonly { readonly base: string; readonly size: number }[];
  readonly proxies: { readonly http: string; readonly https: string; readonly none: string };
  readonly volumeDrivers: readonly string[];
  readonly networkDrivers: readonly string[];
  readonly logDrivers: readonly string[];
  /** Such as `name=seccomp,profile=builtin`. */
  readonly securityOptions: readonly string[];
}
