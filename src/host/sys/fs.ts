import { ptr } from 'bun:ffi';
import { constants } from 'node:fs';
import { encodeName } from '#oci/tar/names.ts';
import { check, errno, libc, SystemError } from './libc.ts';

/**
 * File calls relative to a directory's descriptor, and those that node:fs lacks. All are synchronous; names are text as in oci/tar/names.ts, so
 * that any bytes can be named. Failures throw SystemError.
 */
const c = libc({
  openat: { args: ['i32', 'ptr', 'i32', 'u32'], returns: 'i32' },
  close: { args: ['i32'], returns: 'i32' },
  write: { args: ['i32', 'ptr', 'usize'], returns: 'i32' },
  pwrite: { args: ['i32', 'ptr', 'usize', 'i64'], returns: 'i32' },
  read: { args: ['i32', 'ptr', 'usize'], returns: 'i32' },
  poll: { args: ['ptr', 'u64', 'i32'], returns: 'i32' },
  ftruncate: { args: ['i32', 'i64'], returns: 'i32' },
  mkdirat: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  symlinkat: { args: ['ptr', 'i32', 'ptr'], returns: 'i32' },
  linkat: { args: ['i32', 'ptr', 'i32', 'ptr', 'i32'], returns: 'i32' },
  unlinkat: { args: ['i32', 'ptr', 'i32'], returns: 'i32' },
  mknodat: { args: ['i32', 'ptr', 'u32', 'u64'], returns: 'i32' },
  fchownat: { args: ['i32', 'ptr', 'u32', 'u32', 'i32'], returns: 'i32' },
  fchown: { args: ['i32', 'u32', 'u32'], returns: 'i32' },
  fchmod: { args: ['i32', 'u32'], returns: 'i32' },
  fchmodat: { args: ['i32', 'ptr', 'u32', 'i32'], returns: 'i32' },
  futimens: { args: ['i32', 'ptr'], returns: 'i32' },
  utimensat: { args: ['i32', 'ptr', 'ptr', 'i32'], returns: 'i32' },
  fsetxattr: { args: ['i32', 'ptr', 'ptr', 'usize', 'i32'], returns: 'i32' },
  lsetxattr: { args: ['ptr', 'ptr', 'ptr', 'usize', 'i32'], returns: 'i32' },
  fgetxattr: { args: ['i32', 'ptr', 'ptr', 'usize'], returns: 'i32' },
  lgetxattr: { args: ['ptr', 'ptr', 'ptr', 'usize'], returns: 'i32' },
  llistxattr: { args: ['ptr', 'ptr', 'usize'], returns: 'i32' },
  lremovexattr: { args: ['ptr', 'ptr'], returns: 'i32' },
  chroot: { args: ['ptr'], returns: 'i32' },
  chdir: { args: ['ptr'], returns: 'i32' },
  fchdir: { args: ['i32'], returns: 'i32' },
  syscall: { args: ['i64', 'i32', 'ptr', 'ptr', 'usize'], returns: 'i32' },
});

/** The working directory, where a descriptor is asked for. */
export const atCwd = -100;
const atSymlinkNoFollow = 0x100;
const atRemoveDir = 0x200;
const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;
const O_CLOEXEC = 0o2000000;

export const fileTypes = { char: constants.S_IFCHR, block: constants.S_IFBLK, fifo: constants.S_IFIFO } as const;

// Names are put into these buffers: a call takes at most two, and nothing keeps them.
const pathMax = 4096;
const buffers = [new Uint8Array(pathMax + 1), new Uint8Array(pathMax + 1)] as const;
const pointers = [ptr(buffers[0]), ptr(buffers[1])] as const;
const encoder = new TextEncoder();

function path(text: string, index: 0 | 1 = 0): (typeof pointers)[0] {
  const buffer = buffers[index];
  if (text.includes('\0')) throw new SystemError('path', 22, JSON.stringify(text));
  if (text.isWellFormed()) {
    const { read, written } = encoder.encodeInto(text, buffer.subarray(0, pathMax));
    if (read < text.length) throw new SystemError('path', 36, text);
    buffer[written] = 0;
  } else {
    const bytes = encodeName(text);
    if (bytes.length > pathMax) throw new SystemError('path', 36, text);
    buffer.set(bytes);
    buffer[bytes.length] = 0;
  }
  return pointers[index];
}

/** A name for one call of the C library. */
export const nameBytes = (name: string): (typeof pointers)[0] => path(name);

/** Opens a directory for use with the calls below; a symlink in its place fails with ENOTDIR or ELOOP. */
export const openDirectory = (dirFd: number, name: string): number =>
  check(c.openat(dirFd, path(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0), 'openat', name);

const openHow = new BigUint64Array(3);
const openHowPointer = ptr(openHow);
const resolveBeneath = 0x08n;
const resolveNoMagicLinks = 0x02n;

/**
 * Opens a directory that must lie beneath another one. Fails with EXDEV when `..`, an absolute symlink or one that leads out is on the way, with
 * ENOSYS on kernels before 5.6.
 */
export function openDirectoryBeneath(dirFd: number, name: string): number {
  openHow[0] = BigInt(O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  openHow[1] = 0n;
  openHow[2] = resolveBeneath | resolveNoMagicLinks;
  return check(c.syscall(437, dirFd, path(name), openHowPointer, 24), 'openat2', name);
}

/** Creates a file for writing; fails with EEXIST when anything has this name. */
export const createFile = (dirFd: number, name: string, mode: number): number =>
  check(c.openat(dirFd, path(name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode), 'openat', name);

export const openFile = (dirFd: number, name: string, flags: number): number =>
  check(c.openat(dirFd, path(name), flags | O_CLOEXEC, 0), 'openat', name);

export const closeFd = (fd: number): void => void c.close(fd);

/** Writes all of it at the file's position; waits where there is no room yet. */
export function writeFully(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    const count = c.write(fd, ptr(bytes, at), bytes.length - at);
    if (count === -1) {
      const number = errno();
      if (number === 11) waitFor(fd, pollOut);
      else if (number !== 4) throw new SystemError('write', number);
    } else {
      at += count;
    }
  }
}

export function writeFullyAt(fd: number, bytes: Uint8Array, offset: number): void {
  for (let at = 0; at < bytes.length; ) {
    const count = c.pwrite(fd, ptr(bytes, at), bytes.length - at, offset + at);
    if (count === -1 && errno() === 4) continue;
    at += check(count, 'pwrite');
  }
}

/** Reads what is there, up to the buffer's size; waits when there is nothing yet. 0 at the end. */
export function readSome(fd: number, buffer: Uint8Array): number {
  for (;;) {
    const count = c.read(fd, ptr(buffer), buffer.length);
    if (count !== -1) return count;
    const number = errno();
    if (number === 11) waitFor(fd, pollIn);
    else if (number !== 4) throw new SystemError('read', number);
  }
}

// struct pollfd: descriptor, then events and revents as 16 bits each.
const pollFd = new Int32Array(2);
const pollIn = 0x1;
const pollOut = 0x4;

function waitFor(fd: number, events: number): void {
  pollFd[0] = fd;
  pollFd[1] = events;
  c.poll(ptr(pollFd), 1, -1);
}

export const truncateFile = (fd: number, sizeBytes: number): void => void check(c.ftruncate(fd, sizeBytes), 'ftruncate');

export const makeDirectory = (dirFd: number, name: string, mode: number): void =>
  void check(c.mkdirat(dirFd, path(name), mode), 'mkdirat', name);

export const makeSymlink = (target: string, dirFd: number, name: string): void =>
  void check(c.symlinkat(path(target, 1), dirFd, path(name)), 'symlinkat', name);

export const makeLink = (targetDirFd: number, target: string, dirFd: number, name: string): void =>
  void check(c.linkat(targetDirFd, path(target, 1), dirFd, path(name), 0), 'linkat', name);

/** Makes a device, fifo or (char 0:0) an overlay whiteout. `typeAndMode` is one of `fileTypes` with permission bits. */
export function makeNode(dirFd: number, name: string, typeAndMode: number, major = 0, minor = 0): void {
  check(c.mknodat(dirFd, path(name), typeAndMode, deviceNumber(major, minor)), 'mknodat', name);
}

/** The C library's 64-bit form of a device number. */
export const deviceNumber = (major: number, minor: number): bigint =>
  (BigInt(minor) & 0xffn) | ((BigInt(major) & 0xfffn) << 8n) | ((BigInt(minor) & ~0xffn) << 12n) | ((BigInt(major) & ~0xfffn) << 32n);

export const removeFile = (dirFd: number, name: string): void => void check(c.unlinkat(dirFd, path(name), 0), 'unlinkat', name);
export const removeEmptyDirectory = (dirFd: number, name: string): void =>
  void check(c.unlinkat(dirFd, path(name), atRemoveDir), 'unlinkat', name);

/** Never follows a symlink in the last place. */
export const changeOwner = (dirFd: number, name: string, uid: number, gid: number): void =>
  void check(c.fchownat(dirFd, path(name), uid, gid, atSymlinkNoFollow), 'fchownat', name);
export const changeOwnerOf = (fd: number, uid: number, gid: number): void => void check(c.fchown(fd, uid, gid), 'fchown');

/** Follows a symlink in the last place: not for names that may be one. */
export const changeMode = (dirFd: number, name: string, mode: number): void =>
  void check(c.fchmodat(dirFd, path(name), mode, 0), 'fchmodat', name);
export const changeModeOf = (fd: number, mode: number): void => void check(c.fchmod(fd, mode), 'fchmod');

// struct timespec[2]: access and modification time.
const times = new BigInt64Array(4);
const timesPointer = ptr(times);

function setTimes(seconds: number, nanoseconds: number): typeof timesPointer {
  times[0] = times[2] = BigInt(seconds);
  times[1] = times[3] = BigInt(nanoseconds);
  return timesPointer;
}

/** Sets both times. Never follows a symlink in the last place. */
export const changeTimes = (dirFd: number, name: string, seconds: number, nanoseconds: number): void =>
  void check(c.utimensat(dirFd, path(name), setTimes(seconds, nanoseconds), atSymlinkNoFollow), 'utimensat', name);
export const changeTimesOf = (fd: number, seconds: number, nanoseconds: number): void =>
  void check(c.futimens(fd, setTimes(seconds, nanoseconds)), 'futimens');

const oneByte = new Uint8Array(1);
const bytesPointer = (bytes: Uint8Array): typeof timesPointer => ptr(bytes.length === 0 ? oneByte : bytes);

export const setXattrOf = (fd: number, name: string, value: Uint8Array): void =>
  void check(c.fsetxattr(fd, path(name), bytesPointer(value), value.length, 0), 'fsetxattr', name);
/** Never follows a symlink in the last place, like all calls on extended attributes here. */
export const setXattr = (file: string, name: string, value: Uint8Array): void =>
  void check(c.lsetxattr(path(file), path(name, 1), bytesPointer(value), value.length, 0), 'lsetxattr', file);
export const removeXattr = (file: string, name: string): void =>
  void check(c.lremovexattr(path(file), path(name, 1)), 'lremovexattr', file);

// The kernel gives no longer list and no longer value; what is found is copied out at once.
const xattrBuffer = new Uint8Array(65_536);
const xattrPointer = ptr(xattrBuffer);

/** Undefined when the file has no such attribute or its file system has none at all. */
export function getXattr(file: string, name: string): Uint8Array | undefined {
  const length = c.lgetxattr(path(file), path(name, 1), xattrPointer, xattrBuffer.length);
  if (length === -1 && [61, 95].includes(errno())) return undefined;
  return xattrBuffer.slice(0, check(length, 'lgetxattr', file));
}

export function getXattrOf(fd: number, name: string): Uint8Array | undefined {
  const length = c.fgetxattr(fd, path(name), xattrPointer, xattrBuffer.length);
  if (length === -1 && [61, 95].includes(errno())) return undefined;
  return xattrBuffer.slice(0, check(length, 'fgetxattr', name));
}

export function listXattrs(file: string): string[] {
  const length = c.llistxattr(path(file), xattrPointer, xattrBuffer.length);
  if (length === 0 || (length === -1 && errno() === 95)) return [];
  return new TextDecoder()
    .decode(xattrBuffer.subarray(0, check(length, 'llistxattr', file)))
    .split('\0')
    .filter(name => name !== '');
}

/** Makes a directory the root of this process, and its working directory. */
export function enterRoot(directory: string): void {
  check(c.chdir(path(directory)), 'chdir', directory);
  check(c.chroot(path('.')), 'chroot', directory);
}

export const enterDirectory = (fd: number): void => void check(c.fchdir(fd), 'fchdir');
