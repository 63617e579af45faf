import { ptr } from 'bun:ffi';
import { libc } from './libc.ts';

const c = libc({ poll: { args: ['ptr', 'u64', 'i32'], returns: 'i32' } });

// struct pollfd: descriptor, then events and revents as 16 bits each. Asking for no event: POLLERR, POLLHUP and POLLNVAL are always told.
const pollFd = new Int32Array(2);
const gone = 0x8 | 0x10;

/**
 * Whether the other end of a socket is closed in both directions, or the socket has failed. Over TCP, a peer that closed looks like one that stopped
 * sending until something is sent to it.
 */
export function isHungUp(fd: number): boolean {
  pollFd[0] = fd;
  pollFd[1] = 0;
  return c.poll(ptr(pollFd), 1, 0) > 0 && (((pollFd[1] ?? 0) >> 16) & gone) !== 0;
}
