import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { failedPrecondition, isErrno } from '#base/errors.ts';
import { files } from './layout.ts';

// What monitors understand; both take a height and a width.
const resizeMessage = 1;
const reopenLogMessage = 2;
// conmon refuses more.
const largest = 1000;

/** Tells a monitor the new size of its terminal. */
export function resizeTerminal(directory: string, size: { readonly height: number; readonly width: number }): void {
  const isSent = send(
    directory,
    `${String(resizeMessage)} ${String(Math.min(size.height, largest))} ${String(Math.min(size.width, largest))}\n`,
  );
  if (!isSent) throw failedPrecondition('cannot resize the terminal: the process has ended');
}

/** Has a monitor begin its log anew. One that has ended is fine. */
export function reopenLog(directory: string): void {
  send(directory, `${String(reopenLogMessage)} 0 0\n`);
}

/** False when the monitor has ended. */
function send(directory: string, message: string): boolean {
  let fd: number;
  try {
    fd = openSync(`${directory}/${files.control}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENXIO')) return false;
    throw err;
  }
  try {
    writeSync(fd, message);
    return true;
  } finally {
    closeSync(fd);
  }
}
