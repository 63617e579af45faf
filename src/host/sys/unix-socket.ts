import { closeSync, constants, openSync } from 'node:fs';
import { check, libc } from './libc.ts';

const c = libc({
  socketpair: { args: ['i32', 'i32', 'i32', 'ptr'], returns: 'i32' },
  socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  connect: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  shutdown: { args: ['i32', 'i32'], returns: 'i32' },
  fcntl: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
});

const afUnix = 1;
const sockStream = 1;
const sockSeqpacket = 5;
const sockCloexec = 0o2000000;
const sockNonblock = 0o4000;
const fDupfdCloexec = 1030;

/** Two connected stream sockets, closed on exec. For pipes to a child: what is ours can be read on the event loop with `Bun.connect({ fd })`. */
export function socketPair(): { ours: number; theirs: number } {
  const fds = new Int32Array(2);
  check(c.socketpair(afUnix, sockStream | sockCloexec, 0, fds), 'socketpair');
  const [ours, theirs] = fds;
  if (ours === undefined || theirs === undefined) throw new Error('socketpair returned no descriptors');
  return { ours, theirs };
}

/**
 * Connects to a SOCK_SEQPACKET socket `name` in a directory and returns the non-blocking descriptor. The directory may have any length: a
 * socket's address may not, so it is reached through an open descriptor of its directory.
 */
export function connectSeqpacket(directory: string, name: string): number {
  const dir = openSync(directory, constants.O_DIRECTORY | constants.O_RDONLY);
  try {
    const path = new TextEncoder().encode(`/proc/self/fd/${String(dir)}/${name}`);
    const address = new Uint8Array(2 + 108);
    address[0] = afUnix;
    address.set(path, 2);
    const fd = check(c.socket(afUnix, sockSeqpacket | sockCloexec | sockNonblock, 0), 'socket');
    try {
      check(c.connect(fd, address, 2 + path.length + 1), 'connect', `${directory}/${name}`);
      return fd;
    } catch (err) {
      closeSync(fd);
      throw err;
    }
  } finally {
    closeSync(dir);
  }
}

/** Ends one direction of a socket: the peer reads end of file after `write`, and gets EPIPE when it writes after `read`. */
export function shutdownSocket(fd: number, direction: 'read' | 'write'): void {
  check(c.shutdown(fd, direction === 'read' ? 0 : 1), 'shutdown');
}

/** Another descriptor for the same open socket or file, closed on exec. */
export function duplicate(fd: number): number {
  return check(c.fcntl(fd, fDupfdCloexec, 0), 'fcntl(F_DUPFD_CLOEXEC)');
}

/**
 * Puts a connected descriptor on the event loop and takes it over. Packets of a SOCK_SEQPACKET socket arrive one per `data`; `write` takes a
 * packet whole or, returning 0, not at all, and `drain` then says when to try again.
 */
export async function adoptSocket(options: Bun.FdSocketOptions): Promise<Bun.Socket> {
  // Bun's types know `fd` for sockets but not for `connect`.
  return await (Bun.connect as unknown as (options: Bun.FdSocketOptions) => Promise<Bun.Socket>)(options);
}
