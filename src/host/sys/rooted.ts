import { ptr } from 'bun:ffi';
import { constants, readlinkSync } from 'node:fs';
import { closeFd } from './fs.ts';
import { check, cstring, libc } from './libc.ts';

/** Paths inside a directory that is somebody else's root: no link and no `..` leads out of it, whatever changes meanwhile (openat2(2), RESOLVE_IN_ROOT). */
const c = libc({
  syscall: { args: ['i64', 'i32', 'ptr', 'ptr', 'usize'], returns: 'i32' },
  open: { args: ['ptr', 'i32', 'u32'], returns: 'i32' },
});

const openat2 = 437;
const resolveInRoot = 0x10n;
const resolveNoMagicLinks = 0x02n;
const closeOnExec = 0o2000000;
/** Refers to a place without opening what is there. */
export const pathOnly = 0o10000000;

const how = new BigUint64Array(3);
const howPointer = ptr(how);

/** Opens a root for the calls below. */
export const openRoot = (root: string): number =>
  check(c.open(cstring(root), pathOnly | constants.O_DIRECTORY | closeOnExec, 0), 'open', root);

/** Opens a path as a process with this root would. Throws SystemError. */
export function openInRoot(rootFd: number, path: string, flags: number): number {
  how[0] = BigInt(flags | closeOnExec);
  how[1] = 0n;
  how[2] = resolveInRoot | resolveNoMagicLinks;
  return check(c.syscall(openat2, rootFd, cstring(path), howPointer, 24), 'openat2', path);
}

/** Where a descriptor's file is on the host. */
export const pathOfFd = (fd: number): string => readlinkSync(`/proc/self/fd/${String(fd)}`);

/** Closes the descriptor when disposed. */
export const ownedFd = (fd: number): Disposable & { readonly fd: number } => ({ fd, [Symbol.dispose]: () => closeFd(fd) });
