import { closeSync, mkdirSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { check, cstring, errno, libc, SystemError } from './libc.ts';

const { setns, unshare, mount, umount2 } = libc({
  setns: { args: ['i32', 'i32'], returns: 'i32' },
  unshare: { args: ['i32'], returns: 'i32' },
  mount: { args: ['ptr', 'ptr', 'ptr', 'u64', 'ptr'], returns: 'i32' },
  umount2: { args: ['ptr', 'i32'], returns: 'i32' },
});

const CLONE_NEWNET = 0x40000000;
const MS_BIND = 4096n;
const MNT_DETACH = 2;
const threadNamespace = '/proc/thread-self/ns/net';

let ownNamespace: number | undefined;
const home = (): number => (ownNamespace ??= openSync(threadNamespace, 'r'));

/**
 * Runs `action` with this thread in another network namespace. The action must be synchronous: nothing else may run on this thread before it is
 * back. Sockets made inside stay in that namespace.
 */
export function runInNamespace<T>(path: string, action: () => T): T {
  const back = home();
  const fd = openSync(path, 'r');
  try {
    check(setns(fd, CLONE_NEWNET), 'setns', path);
    try {
      return action();
    } finally {
      comeBack(back);
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * Makes a network namespace that lives as long as its name `path`, and runs `prepare` inside it. Its loopback interface is down.
 */
export function createNamespace(path: string, prepare: () => void): void {
  const back = home();
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '', { flag: 'wx', mode: 0o400 });
  try {
    check(unshare(CLONE_NEWNET), 'unshare', 'CLONE_NEWNET');
    try {
      check(mount(cstring(threadNamespace), cstring(path), null, MS_BIND, null), 'mount', path);
      prepare();
    } finally {
      comeBack(back);
    }
  } catch (err) {
    removeNamespace(path);
    throw err;
  }
}

/** Gives a namespace of a process a name by which it lives on. */
export function nameNamespace(source: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '', { flag: 'wx', mode: 0o400 });
  try {
    check(mount(cstring(source), cstring(path), null, MS_BIND, null), 'mount', path);
  } catch (err) {
    removeNamespace(path);
    throw err;
  }
}

/** Takes the name away; the kernel removes the namespace with its last process. False when there was no such name. */
export function removeNamespace(path: string): boolean {
  while (umount2(cstring(path), MNT_DETACH) === 0);
  const number = errno();
  if (number === 2 /* ENOENT */) return false;
  if (number !== 22 /* EINVAL: not a mount point any more */) throw new SystemError('umount2', number, path);
  rmSync(path, { force: true });
  return true;
}

/** Names of the namespaces under a directory. */
export function listNamespaces(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** A thread left behind in a container's namespace would make every later socket a container's: better no daemon than that. */
function comeBack(fd: number): void {
  if (setns(fd, CLONE_NEWNET) === -1) {
    process.stderr.write(`cannot return to the host's network namespace (errno ${String(errno())})\n`);
    process.abort();
  }
}
