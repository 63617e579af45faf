import type { FileHandle } from 'node:fs/promises';
import type { TailStart } from '../read-log.ts';
import { headBytes } from './parse.ts';

const blockBytes = 64 * 1024;
const newline = 10;
const fullTag = 0x46;
const tagAt = 43;
const stderrLetterAt = 39;
const stderrLetter = 0x65;

/**
 * Finds where the last `count` lines of a log begin, reading from its end. Lines that came in pieces may alternate between the streams, so the
 * first wanted piece can stand before the end of a line that is not wanted.
 */
export async function findTail(file: FileHandle, size: number, count: number): Promise<TailStart> {
  if (count <= 0) return { offset: size, skip: 0, found: 0 };
  let offset = size;
  let wanted = 0;
  let skip = 0;
  let passed = 0;
  /** Streams of which the line before, in pieces or not, belongs to a wanted line until an end of a line is met. */
  const open = new Set<boolean>();
  for await (const line of linesBackward(file, size)) {
    if (line.bytes.length < headBytes) continue;
    const isStderr = line.bytes[stderrLetterAt] === stderrLetter;
    const isFull = line.bytes[tagAt] === fullTag;
    if (wanted < count && (isFull || !open.has(isStderr))) {
      wanted += 1;
      open.add(isStderr);
      offset = line.offset;
    } else if (!isFull && open.has(isStderr)) {
      offset = line.offset;
      skip += passed;
      passed = 0;
    } else if (isFull) {
      open.delete(isStderr);
      passed += 1;
      if (open.size === 0) break;
    }
  }
  return { offset, skip, found: wanted };
}

async function* linesBackward(file: FileHandle, size: number): AsyncGenerator<{ readonly offset: number; readonly bytes: Buffer }> {
  let rest: Buffer = Buffer.alloc(0);
  let start = size;
  let isTorn = true;
  while (start > 0) {
    const length = Math.min(blockBytes, start);
    start -= length;
    const block = Buffer.alloc(length);
    await file.read(block, 0, length, start);
    const bytes = Buffer.concat([block, rest]);
    let end = bytes.length;
    for (;;) {
      const before = end < 2 ? -1 : bytes.lastIndexOf(newline, end - 2);
      if (before === -1) break;
      // What follows the very last newline was not finished.
      if (!isTorn || bytes[end - 1] === newline) yield { offset: start + before + 1, bytes: bytes.subarray(before + 1, end) };
      isTorn = false;
      end = before + 1;
    }
    rest = bytes.subarray(0, end);
  }
  if (rest.length > 0 && rest.at(-1) === newline) yield { offset: 0, bytes: rest };
}
