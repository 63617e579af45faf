import { dlopen, type FFIFunction, read, type Symbols } from 'bun:ffi';

/** Opens functions of the C library. Each file under sys/ declares the few it needs. */
export function libc<T extends Symbols>(functions: T & Record<string, FFIFunction>) {
  return dlopen('libc.so.6', functions).symbols;
}

const { __errno_location, strerror } = libc({
  __errno_location: { args: [], returns: 'ptr' },
  strerror: { args: ['i32'], returns: 'cstring' },
});

/** The errno of the last call on this thread. Read it before anything else runs: no `await` in between. */
export function errno(): number {
  const location = __errno_location();
  return location === null ? 0 : read.i32(location, 0);
}

const names: Readonly<Record<number, string>> = {
  1: 'EPERM',
  2: 'ENOENT',
  3: 'ESRCH',
  4: 'EINTR',
  5: 'EIO',
  6: 'ENXIO',
  9: 'EBADF',
  11: 'EAGAIN',
  12: 'ENOMEM',
  13: 'EACCES',
  14: 'EFAULT',
  16: 'EBUSY',
  17: 'EEXIST',
  18: 'EXDEV',
  19: 'ENODEV',
  20: 'ENOTDIR',
  21: 'EISDIR',
  22: 'EINVAL',
  24: 'EMFILE',
  26: 'ETXTBSY',
  28: 'ENOSPC',
  30: 'EROFS',
  32: 'EPIPE',
  34: 'ERANGE',
  36: 'ENAMETOOLONG',
  38: 'ENOSYS',
  39: 'ENOTEMPTY',
  40: 'ELOOP',
  61: 'ENODATA',
  90: 'EMSGSIZE',
  93: 'EPROTONOSUPPORT',
  95: 'EOPNOTSUPP',
  97: 'EAFNOSUPPORT',
  98: 'EADDRINUSE',
  99: 'EADDRNOTAVAIL',
  101: 'ENETUNREACH',
  103: 'ECONNABORTED',
  104: 'ECONNRESET',
  105: 'ENOBUFS',
  107: 'ENOTCONN',
  110: 'ETIMEDOUT',
  111: 'ECONNREFUSED',
  113: 'EHOSTUNREACH',
  122: 'EDQUOT',
};

/** `no space left on device`: in lower case, as clients of Docker look for them. */
const wordsOf = (number: number): string => String(strerror(number)).replace(/^[A-Z](?=[a-z ])/, first => first.toLowerCase());

/** A failed system call: like Node's system errors it has `code`, `errno` and `syscall`. */
export class SystemError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, number: number, subject?: string) {
    const code = names[number] ?? `E${String(number)}`;
    super(`${code}: ${wordsOf(number)}, ${syscall}${subject === undefined ? '' : ` ${subject}`}`);
    this.name = 'SystemError';
    this.code = code;
    this.errno = number;
    this.syscall = syscall;
  }
}

/** Throws the errno of a call that returned -1; passes every other result on. */
export function check(result: number, syscall: string, subject?: string): number {
  if (result === -1) throw new SystemError(syscall, errno(), subject);
  return result;
}

/** A zero-ended string for a `ptr` argument. */
export const cstring = (text: string): Uint8Array => new TextEncoder().encode(`${text}\0`);
