import type { LogEntry } from '#core/logs.ts';
import type { EntryParser } from '../read-log.ts';

// 2026-01-02T03:04:05.123456789+00:00 stdout F text
// ^ time, 29 bytes             ^ zone    ^36    ^43 ^45
export const timeBytes = 29;
const streamAt = 36;
const tagAt = 43;
export const headBytes = 45;

const newline = 10;
const fullTag = 0x46; // F
const fifthOfStderr = 0x65; // std[e]rr

/** Clients get long lines in pieces of this size, as from Docker's own drivers. */
const longestEntryBytes = 16 * 1024;

/** An entry that points into what was read; its time is made only when asked for. */
class FileEntry implements LogEntry {
  readonly stream: 'stdout' | 'stderr';
  readonly line: Uint8Array;
  readonly #bytes: Buffer;
  readonly #headAt: number;

  constructor(stream: 'stdout' | 'stderr', line: Uint8Array, bytes: Buffer, headAt: number) {
    this.stream = stream;
    this.line = line;
    this.#bytes = bytes;
    this.#headAt = headAt;
  }

  get time(): string {
    return `${this.#bytes.toString('latin1', this.#headAt, this.#headAt + timeBytes)}Z`;
  }
}

interface Unfinished {
  /** Of the piece that came last: a line has the time at which it was complete. */
  head: Buffer;
  readonly parts: Uint8Array[];
  bytes: number;
}

/**
 * Turns a monitor's log, given in pieces of any size, into entries. The monitor writes a line that came in several reads as several lines
 * tagged P and a last one tagged F: they become one entry again. The pieces must stay as they are: entries point into them.
 */
export class LogParser implements EntryParser {
  #torn: Buffer = Buffer.alloc(0);
  readonly #unfinished = new Map<'stdout' | 'stderr', Unfinished>();

  #skip = 0;

  /** Leaves out this many lines, counted by their ends. */
  skipLines(count: number): void {
    this.#skip = count;
  }

  push(chunk: Buffer): LogEntry[] {
    const bytes = this.#torn.length === 0 ? chunk : Buffer.concat([this.#torn, chunk]);
    const entries: LogEntry[] = [];
    let from = 0;
    for (;;) {
      const end = bytes.indexOf(newline, from);
      if (end === -1) break;
      this.#line(bytes, from, end + 1, entries);
      from = end + 1;
    }
    this.#torn = bytes.subarray(from);
    return entries;
  }

  /** What was written without a newline at the very end. A line that the monitor itself did not finish is left out. */
  finish(): LogEntry[] {
    const entries = [...this.#unfinished].map(([stream, { head, parts }]) => new FileEntry(stream, joined(parts), head, 0));
    this.#unfinished.clear();
    return entries;
  }

  #line(bytes: Buffer, from: number, to: number, entries: LogEntry[]): void {
    // A torn line from a crash is not one of ours.
    if (to - from <= headBytes - 1 || bytes[from + tagAt - 1] !== 0x20) return;
    const stream = bytes[from + streamAt + 3] === fifthOfStderr ? 'stderr' : 'stdout';
    const isFull = bytes[from + tagAt] === fullTag;
    if (isFull && this.#skip > 0) {
      this.#skip -= 1;
      this.#unfinished.delete(stream);
      return;
    }
    const before = this.#unfinished.get(stream);
    const text = bytes.subarray(from + headBytes, isFull ? to : to - 1);
    if (before === undefined) {
      if (isFull) entries.push(new FileEntry(stream, text, bytes, from));
      else this.#unfinished.set(stream, { head: Buffer.from(bytes.subarray(from, from + timeBytes)), parts: [text], bytes: text.length });
      return;
    }
    before.parts.push(text);
    before.head = Buffer.from(bytes.subarray(from, from + timeBytes));
    before.bytes += text.length;
    if (isFull || before.bytes >= longestEntryBytes) this.#flush(stream, before, isFull, entries);
  }

  #flush(stream: 'stdout' | 'stderr', line: Unfinished, isFull: boolean, entries: LogEntry[]): void {
    let text = joined(line.parts);
    while (text.length > longestEntryBytes) {
      entries.push(new FileEntry(stream, text.subarray(0, longestEntryBytes), line.head, 0));
      text = text.subarray(longestEntryBytes);
    }
    if (isFull || text.length === longestEntryBytes) {
      if (text.length > 0) entries.push(new FileEntry(stream, text, line.head, 0));
      text = new Uint8Array(0);
    }
    if (text.length === 0) this.#unfinished.delete(stream);
    else this.#unfinished.set(stream, { head: line.head, parts: [text], bytes: text.length });
  }
}

const joined = (parts: readonly Uint8Array[]): Uint8Array =>
  parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
