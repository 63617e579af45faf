import { chmodSync, chownSync, closeSync, openSync, readSync, rmSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { atCwd, fileTypes, makeNode } from '#host/sys/fs.ts';

/** Makes a device of one's own like /dev/null; undefined where the file system carries no devices (nodev). */
export function makeNullDevice(path: string): string | undefined {
  rmSync(path, { force: true });
  try {
    makeNode(atCwd, path, fileTypes.char | 0o666, 1, 3);
    chownSync(path, 0, 0);
    chmodSync(path, 0o666);
    const fd = openSync(path, 'r');
    try {
      return readSync(fd, new Uint8Array(1)) === 0 ? path : undefined;
    } finally {
      closeSync(fd);
    }
  } catch (err) {
    if (!isErrno(err, 'EACCES', 'EPERM', 'ENXIO')) throw err;
    return undefined;
  }
}
