import { readFileSync } from 'node:fs';

/** Where cgroups are mounted on this host. */
export interface Hierarchies {
  /** `v2`: one unified tree; `v1`: one tree per controller (with or without an empty unified one beside them). */
  readonly version: 'v1' | 'v2';
  /** v1 controllers and named hierarchies (`name=systemd`) by mount point. */
  readonly controllers: ReadonlyMap<string, string>;
  /** Mount point of the unified tree, if there is one. */
  readonly unified: string | undefined;
}

export const cgroupRoot = '/sys/fs/cgroup';

export function readHierarchies(): Hierarchies {
  return parseHierarchies(
    readFileSync('/proc/self/mounts', 'utf8'),
    controllersOf(readFileSync('/proc/cgroups', 'utf8')).map(c => c.name),
  );
}

/** `mounts` as in /proc/self/mounts; `known` names what may be a controller among a mount's options. */
export function parseHierarchies(mounts: string, known: readonly string[]): Hierarchies {
  const controllers = new Map<string, string>();
  let unified: string | undefined;
  for (const line of mounts.split('\n')) {
    const [, directory, type, options] = line.split(' ');
    if (directory === undefined || options === undefined || !directory.startsWith(cgroupRoot)) continue;
    if (type === 'cgroup2') unified = directory;
    if (type !== 'cgroup') continue;
    for (const option of options.split(',')) if (known.includes(option) || option.startsWith('name=')) controllers.set(option, directory);
  }
  return { version: unified === cgroupRoot ? 'v2' : 'v1', controllers, unified };
}

export interface KernelController {
  readonly name: string;
  readonly hierarchy: number;
  readonly enabled: boolean;
}

/** Rows of /proc/cgroups. A controller in hierarchy 0 is not mounted anywhere as v1. */
export function controllersOf(procCgroups: string): KernelController[] {
  return procCgroups
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => {
      const [name = '', hierarchy = '0', , enabled = '0'] = line.split('\t');
      return { name, hierarchy: Number(hierarchy), enabled: enabled === '1' };
    });
}
