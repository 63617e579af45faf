import { existsSync, lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { arch, availableParallelism, release, totalmem } from 'node:os';
import { isErrno } from '#base/errors.ts';
import { deviceOf } from '../volumes/copy-tree.ts';

export interface ContainerFacts {
  readonly cpuCount: number;
  readonly onlineCpus: string;
  readonly memoryNodes: string;
  readonly memoryBytes: number;
  readonly kernelVersion: string;
  readonly architecture: string;
  readonly cgroupVersion: 1 | 2;
  readonly appArmor: boolean;
  readonly swapLimit: boolean;
  readonly lastCapability: number;
  devices(path: string): DeviceNode[];
}

export interface DeviceNode {
  readonly path: string;
  readonly type: 'c' | 'b';
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}

const goArchitectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', loong64: 'loong64' };

/** What containers need to know about this machine. */
export function readContainerFacts(cgroups: { readonly version: 1 | 2; readonly swapLimit: boolean }): ContainerFacts {
  return {
    cpuCount: availableParallelism(),
    onlineCpus: read('/sys/devices/system/cpu/online') ?? `0-${String(availableParallelism() - 1)}`,
    memoryNodes: read('/sys/devices/system/node/online') ?? '0',
    memoryBytes: totalmem(),
    kernelVersion: release(),
    architecture: goArchitectures[arch()] ?? arch(),
    cgroupVersion: cgroups.version,
    appArmor: read('/sys/module/apparmor/parameters/enabled') === 'Y' && existsSync('/sys/kernel/security/apparmor'),
    swapLimit: cgroups.swapLimit,
    lastCapability: Number(read('/proc/sys/kernel/cap_last_cap') ?? 40),
    devices: path => [...devicesUnder(path, true)],
  };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'EACCES')) return undefined;
    throw err;
  }
}

/** The node a path names (through links), or all below a directory (without following any). */
function* devicesUnder(path: string, isTop: boolean): Generator<DeviceNode> {
  const stats = isTop ? statSync(path, { bigint: true }) : lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (stats?.isDirectory() === true) {
    for (const name of readdirSync(path).toSorted()) yield* devicesUnder(`${path}/${name}`, false);
  }
  if (stats === undefined || !(stats.isCharacterDevice() || stats.isBlockDevice())) return;
  const [major, minor] = deviceOf(stats.rdev);
  yield {
    path,
    type: stats.isBlockDevice() ? 'b' : 'c',
    major,
    minor,
    fileMode: Number(stats.mode) & 0o7777,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
  };
}
