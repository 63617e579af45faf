import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { isErrno, notImplemented } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { LogBatch, LogStore, ReadLogs } from '#core/logs.ts';
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

export function openLogStore(options: LogStoreOptions): LogStore {
  return new FileLogStore(options.dir);
}

class FileLogStore implements LogStore {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  path(containerId: string, driver: string): string | undefined {
    return fileDrivers.has(driver) ? `${this.#dir}/${containerId}/${containerId}.log` : undefined;
  }

  read(containerId: string, driver: string, options: ReadLogs, signal: AbortSignal): AsyncIterable<LogBatch> {
    const path = this.path(containerId, driver);
    if (path === undefined) throw notImplemented('configured logging driver does not support reading');
    return readLog(path, `${this.#dir}/${containerId}`, options, signal);
  }

  async remove(containerId: string): Promise<void> {
    await rm(`${this.#dir}/${containerId}/${containerId}.log`, { force: true });
  }
}

async function* readLog(path: string, directory: string, options: ReadLogs, signal: AbortSignal): AsyncGenerator<LogBatch> {
  // Before the first look at the file: what is written after that look is seen by one or the other.
  using changes = options.follow === undefined ? undefined : new Changes(directory, options.follow.ended, signal);
  let file = await openIfThere(path);
  while (file === undefined && changes !== undefined && !changes.isOver) {
    await changes.next();
    file = await openIfThere(path);
  }
  if (file === undefined) return;
  await using opened = file;
  const parser = new LogParser();
  const choice = new Choice(options);
  const from = await start(opened, options);
  let { offset } = from;
  parser.skipLines(from.skip);
  for (;;) {
    // Asked before reading: what was written before the end is read after it.
    const isLast = changes === undefined || changes.isOver;
    for (;;) {
      signal.throwIfAborted();
      const chunk = Buffer.allocUnsafeSlow(chunkBytes);
      const { bytesRead } = await opened.read(chunk, 0, chunkBytes, offset);
      if (bytesRead === 0) break;
      offset += bytesRead;
      const batch = choice.of(parser.push(chunk.subarray(0, bytesRead)));
      if (batch.length > 0) yield batch;
      if (choice.isPast) return;
    }
    if (isLast) break;
    await changes?.next();
  }
  const rest = choice.of(parser.finish());
  if (rest.length > 0) yield rest;
}

async function start(file: FileHandle, options: ReadLogs): Promise<{ offset: number; skip: number }> {
  const { size } = await file.stat();
  if (options.tail !== undefined) return await findTail(file, size, options.tail);
  if (options.sinceNano !== undefined) return { offset: await findTime(file, size, logTime(options.sinceNano)), skip: 0 };
  return { offset: 0, skip: 0 };
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
