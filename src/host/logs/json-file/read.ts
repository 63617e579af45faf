import type { FileHandle } from 'node:fs/promises';
import type { LogEntry } from '#core/logs.ts';
import type { EntryParser, LogFormat, TailStart } from '../read-log.ts';
import { identityOf, LogFiles } from './files.ts';

/** Docker's json-file format. `plainNames`: see JsonFileOptions. */
export const jsonFileFormat = (path: string, plainNames: ReadonlyMap<string, string>): LogFormat => ({
  parts: () =>
    new LogFiles(path, 1).list().flatMap(file => {
      const identity = identityOf(file);
      if (identity === undefined) return [];
      return [{ key: plainNames.get(identity) ?? identity, path: file }];
    }),
  parser: () => new JsonLineParser(),
  findTail,
  findTime,
});

const newline = 10;
const beforeLog = '{"log":"';
const afterLog = '","stream":"';
const beforeTime = '"time":"';

class JsonLineParser implements EntryParser {
  #torn = '';
  #skip = 0;

  skipLines(count: number): void {
    this.#skip = count;
  }

  push(chunk: Buffer): LogEntry[] {
    const text = this.#torn + chunk.toString('latin1');
    const entries: LogEntry[] = [];
    let at = 0;
    for (;;) {
      const end = text.indexOf('\n', at);
      if (end === -1) break;
      const entry = parseLine(text.slice(at, end));
      if (entry !== undefined) {
        if (this.#skip > 0) this.#skip -= 1;
        else entries.push(entry);
      }
      at = end + 1;
    }
    this.#torn = text.slice(at);
    return entries;
  }

  /** A line that is not finished is still being written, or was cut off by a crash. */
  finish(): LogEntry[] {
    return [];
  }
}

/** Undefined for what is no line of this format. */
function parseLine(line: string): LogEntry | undefined {
  const end = line.startsWith(beforeLog) ? line.indexOf(afterLog) : -1;
  const timeAt = line.lastIndexOf(beforeTime);
  // What Docker's or our own driver wrote; whatever else is JSON is read by its rules.
  if (end === -1 || timeAt === -1) return parseAnyJson(line);
  const log = line.slice(beforeLog.length, end);
  const escape = log.indexOf('\\');
  const stream = line.startsWith('stderr', end + afterLog.length) ? 'stderr' : 'stdout';
  const time = fullTime(line.slice(timeAt + beforeTime.length, -2));
  if (escape === -1) return { stream, time, line: Buffer.from(log, 'latin1') };
  if (escape === log.length - 2 && log.endsWith('\\n')) return { stream, time, line: Buffer.from(`${log.slice(0, -2)}\n`, 'latin1') };
  return parseAnyJson(line);
}

function parseAnyJson(line: string): LogEntry | undefined {
  try {
    const { log, stream, time } = JSON.parse(Buffer.from(line, 'latin1').toString('utf8')) as {
      log?: string;
      stream?: string;
      time?: string;
    };
    if (typeof time !== 'string') return undefined;
    return { stream: stream === 'stderr' ? 'stderr' : 'stdout', time: fullTime(time), line: Buffer.from(log ?? '') };
  } catch {
    return undefined;
  }
}

const secondsLength = '2026-01-02T03:04:05'.length;

/** With the nine digits that Go leaves out when they are zeros. */
function fullTime(time: string): string {
  const digits = time.slice(secondsLength + 1, time.endsWith('Z') ? -1 : undefined);
  return `${time.slice(0, secondsLength)}.${digits.padEnd(9, '0')}Z`;
}

const blockBytes = 64 * 1024;

/** Each line is one of those that are counted, also when it holds only a piece. */
async function findTail(file: FileHandle, size: number, count: number): Promise<TailStart> {
  if (count <= 0) return { offset: size, skip: 0, found: 0 };
  let start = size;
  let found = 0;
  // The newline that ends the last line is not the beginning of one.
  let isEnd = true;
  while (start > 0) {
    const length = Math.min(blockBytes, start);
    start -= length;
    const block = Buffer.alloc(length);
    await file.read(block, 0, length, start);
    for (let at = block.lastIndexOf(newline); at !== -1; at = at === 0 ? -1 : block.lastIndexOf(newline, at - 1)) {
      if (isEnd) isEnd = false;
      else {
        found += 1;
        if (found === count) return { offset: start + at + 1, skip: 0, found };
      }
    }
  }
  return { offset: 0, skip: 0, found: isEnd ? 0 : found + 1 };
}

async function findTime(file: FileHandle, size: number, time: string): Promise<number> {
  const block = Buffer.alloc(4 * blockBytes);
  let low = 0;
  let high = size;
  while (high - low > block.length) {
    const middle = low + Math.floor((high - low) / 2);
    const { bytesRead } = await file.read(block, 0, block.length, middle);
    const text = block.toString('latin1', 0, bytesRead);
    const at = text.indexOf('\n') + 1;
    const end = text.indexOf('\n', at);
    const entry = at === 0 || end === -1 ? undefined : parseLine(text.slice(at, end));
    if (entry === undefined) break;
    if (entry.time < time) low = middle + at;
    else high = middle;
  }
  return low;
}
