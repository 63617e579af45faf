import type { FileHandle } from 'node:fs/promises';
import type { LogFormat } from '../read-log.ts';
import { headBytes, LogParser, timeBytes } from './parse.ts';
import type { Segments } from './segments.ts';
import { findTail } from './tail.ts';

/** The files that a monitor wrote, as a log. */
export const captureFormat = (segments: Segments): LogFormat => ({
  parts() {
    // The monitor may have begun anew while nobody was there to number the file.
    segments.adopt();
    return segments.list().map(({ number, path }) => ({ key: String(number), path }));
  },
  parser: () => new LogParser(),
  findTail,
  findTime,
});

async function findTime(file: FileHandle, size: number, time: string): Promise<number> {
  const block = Buffer.alloc(64 * 1024);
  let low = 0;
  let high = size;
  while (high - low > block.length) {
    const middle = low + Math.floor((high - low) / 2);
    const { bytesRead } = await file.read(block, 0, block.length, middle);
    const at = block.subarray(0, bytesRead).indexOf(10) + 1;
    if (at === 0 || bytesRead - at < headBytes) break;
    if (block.toString('latin1', at, at + timeBytes) < time) low = middle + at;
    else high = middle;
  }
  return low;
}
