import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { errno, libc, SystemError } from './libc.ts';

const { flock } = libc({ flock: { args: ['i32', 'i32'], returns: 'i32' } });
const LOCK_EX = 2;
const LOCK_NB = 4;

/** A lock that is held until disposed of. Others can read what its file says. */
export interface HeldLock extends Disposable {
  write(text: string): void;
}

/** Takes an exclusive lock on a file, which goes with the process however it ends. Undefined when another process holds it. */
export function tryLock(path: string): HeldLock | undefined {
  const fd = openSync(path, 'a', 0o600);
  if (flock(fd, LOCK_EX | LOCK_NB) === 0) {
    return {
      write(text) {
        ftruncateSync(fd, 0);
        writeSync(fd, text);
      },
      [Symbol.dispose]: () => closeSync(fd),
    };
  }
  const number = errno();
  closeSync(fd);
  if (number === 11) return undefined;
  throw new SystemError('flock', number, path);
}
