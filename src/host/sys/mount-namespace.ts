import { check, libc } from './libc.ts';

const { setns, unshare } = libc({
  setns: { args: ['i32', 'i32'], returns: 'i32' },
  unshare: { args: ['i32'], returns: 'i32' },
});

const cloneNewNs = 0x20000;
const cloneFs = 0x200;

/** Gives the calling thread a copy of everything that is mounted, and a root and working directory of its own. There is no way back. */
export const leaveMountNamespace = (): void => void check(unshare(cloneNewNs), 'unshare', 'CLONE_NEWNS');

/** Moves the calling thread into a mount namespace, at its root. There is no way back. Only calls made on this thread see it. */
export function enterMountNamespace(fd: number): void {
  check(unshare(cloneFs), 'unshare', 'CLONE_FS');
  check(setns(fd, cloneNewNs), 'setns', 'CLONE_NEWNS');
}
