import { type FSWatcher, watch } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { isErrno } from '#base/errors.ts';
import type { LogBatch, LogEntry, ReadLogs } from '#core/logs.ts';
import { openForReading } from './capture/segments.ts';

/** A file of a log. Its key stays the same while files move on or become smaller. */
export interface LogPart {
  readonly key: string;
  readonly path: string;
}

export interface TailStart {
  /** Where to begin to read. */
  readonly offset: number;
  /** How many lines that end after `offset` are not among the wanted ones. */
  readonly skip: number;
  /** How many of the wanted lines are here; the rest stand in an older file. */
  readonly found: number;
}

/** Turns what files hold, given in pieces of any size, into entries. The pieces must stay as they are: entries may point into them. */
export interface EntryParser {
  push(chunk: Buffer): LogEntry[];
  /** What was written without an end at the very end. */
  finish(): LogEntry[];
  /** Leaves out this many lines, counted by their ends. */
  skipLines(count: number): void;
}

/** What readers have to know of a way to write logs. */
export interface LogFormat {
  /** The oldest first, the one being written last. */
  parts(): LogPart[];
  parser(): EntryParser;
  /** Where the last `count` lines begin. */
  findTail(file: FileHandle, size: number, count: number): Promise<TailStart>;
  /** A line's beginning before the first line of this time or later, not far before. */
  findTime(file: FileHandle, size: number, time: string): Promise<number>;
}

const chunkBytes = 256 * 1024;

/** Reads a log whose files are in this directory; with `follow`, goes on with what is written later. */
export async function* readLog(format: LogFormat, directory: string, options: ReadLogs, signal: AbortSignal): AsyncGenerator<LogBatch> {
  // Before the first look at the file: what is written after that look is seen by one or the other.
  using changes = options.follow === undefined ? undefined : new Changes(directory, options.follow.ended, signal);
  let first = await begin(format, options);
  while (first === undefined && changes !== undefined && !changes.isOver) {
    await changes.next();
    first = await begin(format, options);
  }
  if (first === undefined) return;
  await using cursor = new Cursor(format, first);
  const parser = format.parser();
  const choice = new Choice(options);
  parser.skipLines(first.skip);
  for (;;) {
    // Asked before reading: what was written before the end is read after it.
    const isLast = changes === undefined || changes.isOver;
    for (let chunk = await cursor.read(); chunk !== undefined; chunk = await cursor.read()) {
      signal.throwIfAborted();
      const batch = choice.of(parser.push(chunk));
      if (batch.length > 0) yield batch;
      if (choice.isPast) return;
    }
    if (isLast) break;
    await changes?.next();
  }
  const rest = choice.of(parser.finish());
  if (rest.length > 0) yield rest;
}

interface Beginning {
  readonly key: string;
  readonly file: FileHandle;
  readonly offset: number;
  /** Lines to leave out from there. */
  readonly skip: number;
}

/** Where in which file to begin; undefined when there is no log yet. The caller closes the file. */
async function begin(format: LogFormat, options: ReadLogs): Promise<Beginning | undefined> {
  const parts = format.parts();
  if (options.tail !== undefined) return await beginTail(format, parts, options.tail);
  for (const part of parts) {
    const { key } = part;
    const file = await openPart(format, part);
    if (file === undefined) continue;
    if (options.sinceNano === undefined) return { key, file, offset: 0, skip: 0 };
    return { key, file, offset: await format.findTime(file, (await file.stat()).size, logTime(options.sinceNano)), skip: 0 };
  }
  return undefined;
}

async function beginTail(format: LogFormat, parts: readonly LogPart[], count: number): Promise<Beginning | undefined> {
  let missing = count;
  let beginning: Beginning | undefined;
  for (const part of parts.toReversed()) {
    const { key } = part;
    if (beginning !== undefined && missing <= 0) break;
    const file = await openPart(format, part);
    if (file === undefined) continue;
    const { offset, skip, found } = await format.findTail(file, (await file.stat()).size, missing);
    await beginning?.file.close();
    beginning = { key, file, offset, skip };
    missing -= found;
  }
  return beginning;
}

/** Undefined when it is gone. A part that moved on while it was being opened is opened where it is now. */
async function openPart(format: LogFormat, part: LogPart): Promise<FileHandle | undefined> {
  let wanted = part;
  for (;;) {
    const file = await openForReading(wanted.path);
    const now = format.parts().find(({ key }) => key === part.key);
    if (now?.path === wanted.path) return file;
    await file?.close();
    if (now === undefined) return undefined;
    wanted = now;
  }
}

/** Reads on through the files of a log. */
class Cursor implements AsyncDisposable {
  readonly #format: LogFormat;
  #key: string;
  #file: FileHandle;
  #offset: number;

  constructor(format: LogFormat, { key, file, offset }: Beginning) {
    this.#format = format;
    this.#key = key;
    this.#file = file;
    this.#offset = offset;
  }

  /** The next bytes; undefined when nothing more was written. */
  async read(): Promise<Buffer | undefined> {
    for (;;) {
      // Asked before reading: a file that has a successor is not written to any more.
      const next = this.#successor();
      const chunk = Buffer.allocUnsafeSlow(chunkBytes);
      const { bytesRead } = await this.#file.read(chunk, 0, chunkBytes, this.#offset);
      this.#offset += bytesRead;
      if (bytesRead > 0) return chunk.subarray(0, bytesRead);
      const file = next === undefined ? undefined : await openPart(this.#format, next);
      if (next === undefined || file === undefined) return undefined;
      await this.#file.close();
      this.#file = file;
      this.#key = next.key;
      this.#offset = 0;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  /** One that was removed, being too old, is followed by the oldest there is. */
  #successor(): LogPart | undefined {
    const parts = this.#format.parts();
    return parts[parts.findIndex(({ key }) => key === this.#key) + 1];
  }
}

/** Which entries a reader wants, besides the tail. */
class Choice {
  isPast = false;
  readonly #options: ReadLogs;
  readonly #since: string | undefined;
  readonly #until: string | undefined;

  constructor(options: ReadLogs) {
    this.#options = options;
    this.#since = options.sinceNano === undefined ? undefined : `${logTime(options.sinceNano)}Z`;
    this.#until = options.untilNano === undefined ? undefined : `${logTime(options.untilNano)}Z`;
  }

  of(batch: LogBatch): LogBatch {
    const { stdout, stderr } = this.#options;
    const streams = stdout && stderr ? batch : batch.filter(entry => (entry.stream === 'stdout' ? stdout : stderr));
    const since = this.#since;
    const until = this.#until;
    const begun = since === undefined ? streams : streams.filter(entry => entry.time >= since);
    if (until === undefined) return begun;
    const wanted = begun.filter(entry => entry.time <= until);
    if (wanted.length < begun.length) this.isPast = true;
    return wanted;
  }
}

/** Wakes a follower when something in the log's directory changed, the container's log is complete, or the caller has gone. */
class Changes implements Disposable {
  isOver = false;
  readonly #watcher: FSWatcher | undefined;
  readonly #signal: AbortSignal;
  #changed = false;
  #wake: (() => void) | undefined;

  constructor(directory: string, ended: Promise<unknown>, signal: AbortSignal) {
    this.#signal = signal;
    this.#watcher = watchIfThere(directory, () => this.#notify());
    this.#watcher?.on('error', this.#end);
    if (this.#watcher === undefined) this.#end();
    signal.addEventListener('abort', this.#end, { once: true });
    void ended.then(this.#end, this.#end);
  }

  async next(): Promise<void> {
    this.#signal.throwIfAborted();
    if (!this.#changed && !this.isOver) await new Promise<void>(resolve => (this.#wake = resolve));
    this.#changed = false;
    this.#signal.throwIfAborted();
  }

  [Symbol.dispose](): void {
    this.#signal.removeEventListener('abort', this.#end);
    this.#watcher?.close();
  }

  readonly #end = (): void => {
    this.isOver = true;
    this.#notify();
  };

  #notify(): void {
    this.#changed = true;
    this.#wake?.();
    this.#wake = undefined;
  }
}

function watchIfThere(directory: string, changed: () => void): FSWatcher | undefined {
  try {
    return watch(directory, changed);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined;
    throw err;
  }
}

/** A time as it stands in a log, for comparing with those of lines: text of one length sorts as the times do. */
export function logTime(nano: bigint): string {
  const second = 1_000_000_000n;
  const fraction = ((nano % second) + second) % second;
  const seconds = (nano - fraction) / second;
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${fraction.toString().padStart(9, '0')}`;
}
