import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { alreadyExists, isErrno } from '#base/errors.ts';

/** Makes the directory of a container or an exec. Throws AlreadyExists, naming what has it. */
export function makeDirectory(directory: string, what: string): void {
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (err) {
    if (isErrno(err, 'EEXIST')) throw alreadyExists(`${what} exists in the runtime already: remove it first`, { cause: err });
    throw err;
  }
}

/** A directory with a name of its own, gone when disposed of. */
export function temporaryDirectory(parent: string): Disposable & { readonly path: string } {
  const path = mkdtempSync(`${parent}/`);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
