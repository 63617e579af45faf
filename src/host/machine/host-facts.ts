import { lstatSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { availableParallelism, release, totalmem } from 'node:os';
import { isErrno } from '#base/errors.ts';
import type { HostDevice } from '#core/machine.ts';
import { isReadOnlyMount } from '#host/sys/mount.ts';
import { mountAt, readMounts } from '#host/sys/mountinfo.ts';

const capabilityNames =
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'.split(
    ' ',
  );

/** What containers need to know about the machine; read once, except devices. `limits` come from the control groups. */
export function readHostFacts<T extends { readonly version: 1 | 2 }>(limits: T) {
  const architecture = goArchitectures[process.arch] ?? process.arch;
  return {
    cpuCount: availableParallelism(),
    onlineCpus: readIfThere('/sys/devices/system/cpu/online') ?? `0-${String(availableParallelism() - 1)}`,
    memoryNodes: readIfThere('/sys/devices/system/node/online') ?? '0',
    memoryBytes: totalmem(),
    kernelVersion: release(),
    architecture,
    cgroupVersion: limits.version,
    appArmor: readIfThere('/sys/module/apparmor/parameters/enabled') === 'Y',
    limits,
    hasMessageQueues: readMounts().some(({ target }) => target === '/dev/mqueue'),
    capabilities: knownCapabilities(),
    isReadOnly: isReadOnlyMount,
    mountAt,
    devices: (path: string) => devicesUnder(path),
  };
}

const goArchitectures: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  ia32: '386',
  ppc64: 'ppc64le',
  s390x: 's390x',
};

/** Those of the list that this kernel has and this process may pass on: its bounding set. */
function knownCapabilities(): string[] {
  const bounding = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(readIfThere('/proc/self/status') ?? '')?.[1] ?? 'ffffffffffffffff'}`);
  return capabilityNames.filter((_, bit) => ((bounding >> BigInt(bit)) & 1n) === 1n).map(name => `CAP_${name}`);
}

/**
 * The device that a path names, or every device below a directory; links among those are passed over, they name devices that are there already.
 * A path that leads nowhere rejects with ENOENT.
 */
export function devicesUnder(path: string): HostDevice[] {
  const real = realpathSync(path);
  return devicesAt(real).map(device => ({ ...device, path: path + device.path.slice(real.length) }));
}

function devicesAt(path: string): HostDevice[] {
  const stat = lstatSync(path);
  if (!stat.isDirectory()) {
    if (!stat.isCharacterDevice() && !stat.isBlockDevice()) return [];
    return [
      {
        path,
        type: stat.isBlockDevice() ? 'b' : 'c',
        major: majorOf(stat.rdev),
        minor: minorOf(stat.rdev),
        fileMode: stat.mode & 0o7777,
        uid: stat.uid,
        gid: stat.gid,
      },
    ];
  }
  // What each container has of its own is not taken from the host.
  if (['/dev/pts', '/dev/shm', '/dev/fd', '/dev/mqueue', '/dev/.lxc', '/dev/.lxd-mounts', '/dev/.udev'].includes(path)) return [];
  return readdirSync(path)
    .filter(name => !(path === '/dev' && name === 'console'))
    .flatMap(name => devicesIfThere(`${path}/${name}`));
}

function devicesIfThere(path: string): HostDevice[] {
  try {
    return devicesAt(path);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return [];
    throw err;
  }
}

// gnu_dev_major(3) and gnu_dev_minor(3).
const majorOf = (rdev: number): number => Number(((BigInt(rdev) >> 8n) & 0xfffn) | ((BigInt(rdev) >> 32n) & 0xfffff000n));
const minorOf = (rdev: number): number => Number((BigInt(rdev) & 0xffn) | ((BigInt(rdev) >> 12n) & 0xffffff00n));

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'EACCES')) return undefined;
    throw err;
  }
}
