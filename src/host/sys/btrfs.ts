import { ptr } from 'bun:ffi';
import { statfsSync } from 'node:fs';
import { atCwd, closeFd, openDirectory } from './fs.ts';
import { check, libc } from './libc.ts';

/** Subvolumes of btrfs through ioctl (linux/btrfs.h). All are synchronous and throw SystemError. */
const { ioctl } = libc({ ioctl: { args: ['i32', 'u64', 'ptr'], returns: 'i32' } });

const requests = {
  snapshotCreate: 0x50009401,
  subvolumeCreate: 0x5000940e,
  snapshotDestroy: 0x5000940f,
  inodeLookup: 0xd0009412,
  quotaControl: 0xc0109428,
  quotaGroupCreate: 0x4010942a,
  quotaGroupLimit: 0x8030942b,
} as const;

const nameOffset = 8;
const argumentBytes = 4096;

/** struct btrfs_ioctl_vol_args: a descriptor and a name. */
function volumeArguments(fd: number, name: string): Uint8Array {
  const argument = new Uint8Array(argumentBytes);
  new DataView(argument.buffer).setBigInt64(0, BigInt(fd), true);
  argument.set(new TextEncoder().encode(name), nameOffset);
  return argument;
}

function inParent(path: string, request: number, what: string, fd = 0): void {
  const at = path.lastIndexOf('/');
  const parent = openDirectory(atCwd, path.slice(0, at));
  try {
    check(ioctl(parent, request, ptr(volumeArguments(fd, path.slice(at + 1)))), what, path);
  } finally {
    closeFd(parent);
  }
}

/** A new subvolume, empty, mode 755. */
export const makeSubvolume = (path: string): void => inParent(path, requests.subvolumeCreate, 'make subvolume');

/** A second subvolume that begins as the first one is now, and can be written to. */
export function snapshotSubvolume(from: string, to: string): void {
  const source = openDirectory(atCwd, from);
  try {
    inParent(to, requests.snapshotCreate, 'snapshot subvolume', source);
  } finally {
    closeFd(source);
  }
}

/** With all its files; not with subvolumes in it. */
export const destroySubvolume = (path: string): void => inParent(path, requests.snapshotDestroy, 'remove subvolume');

/** statfs(2), f_type. */
const btrfsType = 0x9123683e;

export const isBtrfs = (path: string): boolean => statfsSync(path).type === btrfsType;

/** The inode number of every subvolume's root. */
export const subvolumeRootInode = 256n;

const rootObject = 256n;

/** The number of the subvolume that a directory is in. */
export function subvolumeId(path: string): bigint {
  return onDirectory(path, fd => {
    const argument = new DataView(new ArrayBuffer(argumentBytes));
    argument.setBigUint64(8, rootObject, true);
    check(ioctl(fd, requests.inodeLookup, ptr(new Uint8Array(argument.buffer))), 'look up subvolume', path);
    return argument.getBigUint64(0, true);
  });
}

/** Begins to count what each subvolume holds. Counting already is fine. */
export function enableQuotas(path: string): void {
  onDirectory(path, fd => {
    const argument = new DataView(new ArrayBuffer(16));
    argument.setBigUint64(0, 1n, true);
    check(ioctl(fd, requests.quotaControl, ptr(new Uint8Array(argument.buffer))), 'enable quotas', path);
  });
}

const limitsReferenced = 1n;

/** Limits the bytes that a subvolume refers to, also those that others share. */
export function limitSubvolume(path: string, sizeBytes: number): void {
  onDirectory(path, fd => {
    const argument = new DataView(new ArrayBuffer(48));
    argument.setBigUint64(0, subvolumeId(path), true);
    argument.setBigUint64(8, limitsReferenced, true);
    argument.setBigUint64(16, BigInt(sizeBytes), true);
    check(ioctl(fd, requests.quotaGroupLimit, ptr(new Uint8Array(argument.buffer))), 'limit subvolume', path);
  });
}

/** Forgets how much a removed subvolume held and might hold. `path`: any directory of the file system. Where nothing was counted there is nothing to forget. */
export function forgetQuota(path: string, id: bigint): void {
  onDirectory(path, fd => {
    const argument = new DataView(new ArrayBuffer(16));
    argument.setBigUint64(8, id, true);
    ioctl(fd, requests.quotaGroupCreate, ptr(new Uint8Array(argument.buffer)));
  });
}

function onDirectory<T>(path: string, action: (fd: number) => T): T {
  const fd = openDirectory(atCwd, path);
  try {
    return action(fd);
  } finally {
    closeFd(fd);
  }
}
