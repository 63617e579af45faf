import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { isErrno, notImplemented } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { LogBatch, LogKeeper, LogStore, ReadLogs } from '#core/logs.ts';
import { generationsOf, keepGenerations, nextGeneration, removeGenerations } from './generations.ts';
import { headBytes, LogParser, logTime, timeBytes } from './parse.ts';
import { findTail } from './tail.ts';

export interface LogStoreOptions {
  /** Holds a directory per container: `<data-root>/containers`. */
  readonly dir: string;
  readonly log: Logger;
}

/** Drivers whose log is the monitor's file. */
const fileDrivers: ReadonlySet<string> = new Set(['', 'json-file', 'local']);
const chunkBytes = 256 * 1024;

export function openLogStore(options: LogStoreOptions): LogStore & LogKeeper {
  return new FileLogStore(options.dir);
}

class FileLogStore implements LogStore, LogKeeper {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  path(containerId: string, driver: string): string | undefined {
    return fileDrivers.has(driver) ? this.#file(containerId) : undefined;
  }

  read(containerId: string, driver: string, options: ReadLogs, signal: AbortSignal): AsyncIterable<LogBatch> {
    const path = this.path(containerId, driver);
    if (path === undefined) throw notImplemented('configured logging driver does not support reading');
    return readLog(path, `${this.#dir}/${containerId}`, options, signal);
  }

  keep(containerId: string, files: number): Disposable {
    return keepGenerations(this.#file(containerId), files);
  }

  async remove(containerId: string): Promise<void> {
    removeGenerations(this.#file(containerId));
  }

  #file(containerId: string): string {
    return `${this.#dir}/${containerId}/${containerId}.log`;
  }
}

async function* readLog(path: string, directory: string, options: ReadLogs, signal: AbortSignal): AsyncGenerator<LogBatch> {
  // Before the first look at the file: what is written after that look is seen by one or the other.
  using changes = options.follow === undefined ? undefined : new Changes(directory, options.follow.ended, signal);
  let first = await begin(path, options);
  while (first === undefined && changes !== undefined && !changes.isOver) {
    await changes.next();
    first = await begin(path, options);
  }
  if (first === undefined) return;
  await using cursor = new Cursor(path, first);
  const parser = new LogParser();
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
  readonly file: FileHandle;
  readonly offset: number;
  /** Lines to leave out from there. */
  readonly skip: number;
}

/** Where in which generation to begin; undefined when there is no log yet. The caller closes the file. */
async function begin(path: string, options: ReadLogs): Promise<Beginning | undefined> {
  const files = generationsOf(path);
  if (options.tail !== undefined) return await beginTail(files, options.tail);
  for (const name of files) {
    const file = await openIfThere(name);
    if (file === undefined) continue;
    if (options.sinceNano === undefined) return { file, offset: 0, skip: 0 };
    return { file, offset: await findTime(file, (await file.stat()).size, logTime(options.sinceNano)), skip: 0 };
  }
  return undefined;
}

async function beginTail(files: readonly string[], count: number): Promise<Beginning | undefined> {
  let missing = count;
  let beginning: Beginning | undefined;
  for (const name of files.toReversed()) {
    if (beginning !== undefined && missing <= 0) break;
    const file = await openIfThere(name);
    if (file === undefined) continue;
    const { offset, skip, found } = await findTail(file, (await file.stat()).size, missing);
    await beginning?.file.close();
    beginning = { file, offset, skip };
    missing -= found;
  }
  return beginning;
}

/** Reads on through the generations of a log. */
class Cursor implements AsyncDisposable {
  readonly #path: string;
  #file: FileHandle;
  #offset: number;

  constructor(path: string, { file, offset }: Beginning) {
    this.#path = path;
    this.#file = file;
    this.#offset = offset;
  }

  /** The next bytes; undefined when nothing more was written. */
  async read(): Promise<Buffer | undefined> {
    for (;;) {
      // Asked before reading: a generation that has a successor is not written to any more.
      const next = nextGeneration(this.#path, (await this.#file.stat()).ino);
      const chunk = Buffer.allocUnsafeSlow(chunkBytes);
      const { bytesRead } = await this.#file.read(chunk, 0, chunkBytes, this.#offset);
      this.#offset += bytesRead;
      if (bytesRead > 0) return chunk.subarray(0, bytesRead);
      const file = next === undefined ? undefined : await openIfThere(next);
      if (file === undefined) return undefined;
      await this.#file.close();
      this.#file = file;
      this.#offset = 0;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

/** A line's beginning before the first line of this time or later, not far before. */
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

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined;
    throw err;
  }
}
