import { check, errno, libc, SystemError } from './libc.ts';

const c = libc({
  pipe2: { args: ['ptr', 'i32'], returns: 'i32' },
  splice: { args: ['i32', 'ptr', 'i32', 'ptr', 'u64', 'u32'], returns: 'i64' },
});

const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const SPLICE_F_MOVE = 1;
const SPLICE_F_NONBLOCK = 2;
const EAGAIN = 11;

export function openPipe(): { readonly read: number; readonly write: number } {
  const fds = new Int32Array(2);
  check(c.pipe2(fds, O_NONBLOCK | O_CLOEXEC), 'pipe2');
  return { read: fds[0] ?? -1, write: fds[1] ?? -1 };
}

/** Moves up to `length` bytes inside the kernel; one side is a pipe. 0 is the end of the input, undefined: not possible now. */
export function splice(from: number, to: number, length: number): number | undefined {
  const moved = Number(c.splice(from, null, to, null, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
  if (moved !== -1) return moved;
  const number = errno();
  if (number === EAGAIN || number === 4 /* EINTR */) return undefined;
  throw new SystemError('splice', number);
}
