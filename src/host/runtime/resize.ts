import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { failedPrecondition, isErrno } from '#base/errors.ts';
import { files } from './layout.ts';

const resizeMessage = 1;
// conmon refuses more.
const largest = 1000;

/** Tells a monitor the new size of its terminal. */
export function resizeTerminal(directory: string, size: { readonly height: number; readonly width: number }): void {
  let fd: number;
  try {
    fd = openSync(`${directory}/${files.control}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENXIO')) throw failedPrecondition('cannot resize the terminal: the process has ended', { cause: err });
    throw err;
  }
  try {
    writeSync(fd, `${String(resizeMessage)} ${String(Math.min(size.height, largest))} ${String(Math.min(size.width, largest))}\n`);
  } finally {
    closeSync(fd);
  }
}
