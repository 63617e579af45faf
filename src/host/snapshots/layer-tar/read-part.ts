import { closeSync, openSync, readSync } from 'node:fs';
import { crc32 } from './crc32.ts';

const buffer = Buffer.allocUnsafe(1024 * 1024);

/** The CRC-32 of a part of a file, as far as the file has it. */
export function readPart(path: Buffer, { offset, length }: { readonly offset: number; readonly length: number }): number {
  const fd = openSync(path, 'r');
  try {
    let crc = 0;
    for (let done = 0; done < length; ) {
      const count = readSync(fd, buffer, 0, Math.min(buffer.length, length - done), offset + done);
      if (count === 0) break;
      crc = crc32(buffer.subarray(0, count), crc);
      done += count;
    }
    return crc;
  } finally {
    closeSync(fd);
  }
}
