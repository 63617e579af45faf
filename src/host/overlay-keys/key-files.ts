import { type FSWatcher, readFileSync, statSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { invalidArgument, isErrno, messageOf, notFound, permissionDenied } from '#base/errors.ts';
import type { KeyFiles } from '#core/overlay-peers.ts';

const keyBytes = 32;
/** Who writes a file anew touches it several times. */
const settleMs = 200;

/** Files with a key of 256 bits in hexadecimal digits on each line; what follows a `#` is a comment. */
export function createKeyFiles(): KeyFiles {
  const read = new Set<string>();
  const listeners = new Set<(path: string) => void>();
  const watchers = new Map<string, FSWatcher>();
  const timers = new Map<string, ReturnType<typeof setTimeout>>();

  const changed = (path: string): void => {
    clearTimeout(timers.get(path));
    const timer = setTimeout(() => listeners.forEach(listener => listener(path)), settleMs);
    timer.unref();
    timers.set(path, timer);
  };
  /** The directory: a file that is replaced by another would not be seen. */
  const follow = (path: string): void => {
    const directory = dirname(path);
    if (listeners.size === 0 || watchers.has(directory)) return;
    const watcher = watch(directory, (_event, name) => {
      for (const one of read) if (dirname(one) === directory && (name === null || basename(one) === name)) changed(one);
    });
    watcher.unref();
    watcher.on('error', () => undefined);
    watchers.set(directory, watcher);
  };
  return {
    read(path) {
      const keys = parseKeys(path, textOf(path));
      read.add(path);
      follow(path);
      return keys;
    },
    watch(listener) {
      listeners.add(listener);
      for (const path of read) follow(path);
      return {
        [Symbol.dispose]() {
          listeners.delete(listener);
          if (listeners.size > 0) return;
          for (const watcher of watchers.values()) watcher.close();
          watchers.clear();
          for (const timer of timers.values()) clearTimeout(timer);
        },
      };
    },
  };
}

function textOf(path: string): string {
  try {
    const { mode } = statSync(path);
    if ((mode & 0o077) !== 0)
      throw permissionDenied(`the file of keys ${path} can be read by others (mode ${(mode & 0o777).toString(8)}): chmod 600 ${path}`);
    return readFileSync(path, 'utf8');
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) throw notFound(`there is no file of keys ${path}`, { cause: err });
    if (isErrno(err, 'EISDIR', 'EACCES'))
      throw invalidArgument(`the file of keys ${path} cannot be read: ${messageOf(err)}`, { cause: err });
    throw err;
  }
}

/** Says which line is wrong, and not what is in it. */
function parseKeys(path: string, text: string): Uint8Array[] {
  const keys = text.split('\n').flatMap((line, index) => {
    const digits = line.replace(/#.*$/, '').trim();
    if (digits === '') return [];
    if (!/^[0-9a-f]+$/i.test(digits) || digits.length !== 2 * keyBytes)
      throw invalidArgument(
        `line ${String(index + 1)} of the file of keys ${path} is no key: want ${String(2 * keyBytes)} hexadecimal digits, as "openssl rand -hex ${String(keyBytes)}" makes them`,
      );
    return [Uint8Array.fromHex(digits)];
  });
  if (keys.length === 0)
    throw invalidArgument(`the file of keys ${path} has no keys: want a line of ${String(2 * keyBytes)} hexadecimal digits`);
  return keys;
}
