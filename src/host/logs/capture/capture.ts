import { watch } from 'node:fs';
import type { Logger } from '#base/log.ts';
import type { LoggedRun } from '#core/logs.ts';
import type { StreamPosition } from './pieces.ts';
import { openForReading, type Segment, Segments, sizeOf } from './segments.ts';

export interface CaptureLimits {
  /** A file of this size is full. */
  readonly segmentBytes: number;
  /** Files kept, the one being written included. */
  readonly files: number;
  /** Bytes of all files together; undefined: no limit. */
  readonly totalBytes: number | undefined;
  readonly compress: boolean;
  /** Files whose lines were all passed on are of no use. */
  readonly dropsPassedOn: boolean;
}

/** What a container says, in files whose number and size have limits. */
export class Capture {
  readonly segments: Segments;
  readonly #limits: CaptureLimits;
  readonly #log: Logger;
  /** Undefined while no run writes. */
  #run: LoggedRun | undefined;
  /** Undefined: nobody is passed anything on. */
  #passedOn: StreamPosition | undefined;
  #asked = { number: 0, size: 0 };
  #compressing: Promise<void> | undefined;
  readonly #incompressible = new Set<string>();

  constructor(directory: string, limits: CaptureLimits, log: Logger) {
    this.segments = new Segments(directory);
    this.#limits = limits;
    this.#log = log;
  }

  /** Gets ready for a run. Numbers of files will be above `after`. */
  begin(run: LoggedRun, after: number): void {
    this.#run = run;
    if (this.segments.makeDirectory()) return this.segments.beginFirst();
    this.segments.tidy();
    if (run.goesOn) this.segments.adopt();
    else this.segments.begin(!this.#limits.dropsPassedOn, after);
  }

  end(): void {
    this.#run = undefined;
    this.segments.adopt();
  }

  /** Bytes after a position. */
  sizeAfter(position: StreamPosition): number {
    const files = this.segments.list().filter(({ number }) => number >= position.segment);
    const passedOn = files[0]?.number === position.segment ? position.offset : 0;
    return files.reduce((sum, { path }) => sum + sizeOf(path), 0) - passedOn;
  }

  /** The first line that begins within the last `bytes`. */
  async startOfLast(bytes: number): Promise<StreamPosition> {
    let rest = bytes;
    for (const { number, path } of this.segments.list().toReversed()) {
      const size = sizeOf(path);
      if (size < rest) {
        rest -= size;
        continue;
      }
      const offset = size - rest;
      const file = offset === 0 ? undefined : await openForReading(path);
      if (file === undefined) return { segment: number, offset: 0 };
      await using _closing = file;
      const block = Buffer.alloc(longestLineBytes);
      const { bytesRead } = await file.read(block, 0, block.length, offset);
      const end = block.subarray(0, bytesRead).indexOf(10);
      return { segment: number, offset: end === -1 ? size : offset + end + 1 };
    }
    return { segment: 0, offset: 0 };
  }

  /** Has the monitor begin a new file when this one is full, and removes what is too much. `passedOn`: lines before are of no use to a receiver any more. */
  keepLimits(passedOn: StreamPosition | undefined): void {
    this.segments.adopt();
    const files = this.segments.list();
    const last = files.at(-1);
    if (last === undefined) return;
    this.#beginAnewWhenFull(last);
    const isUseless = ({ number }: Segment): boolean => this.#limits.dropsPassedOn && passedOn !== undefined && number < passedOn.segment;
    const full = files.slice(0, -1);
    for (const file of full.filter(isUseless)) this.segments.drop(file);
    this.#dropOldest(
      full.filter(file => !isUseless(file)),
      last,
    );
    this.#passedOn = passedOn;
    if (this.#limits.compress) this.#compressFull();
  }

  /** Resolves when no file is being compressed. */
  async settled(): Promise<void> {
    while (this.#compressing !== undefined) await this.#compressing;
  }

  /** Asks once for each file, and again when that file has grown by as much once more: the monitor may not have heard. */
  #beginAnewWhenFull({ number, path }: Segment): void {
    const { segmentBytes } = this.#limits;
    const size = sizeOf(path);
    const before = this.#asked.number === number ? this.#asked.size : 0;
    if (this.#run === undefined || size < before + segmentBytes) return;
    this.#asked = { number, size };
    this.#run.beginCapture();
  }

  #dropOldest(full: readonly Segment[], last: Segment): void {
    const { files, totalBytes, segmentBytes } = this.#limits;
    if (totalBytes === undefined) return;
    // A file may be larger than it should: it goes when those after it are as much as all full files may be.
    let newer = sizeOf(last.path);
    let count = 1;
    for (const file of full.toReversed()) {
      count += 1;
      if (count > files || newer >= totalBytes - segmentBytes) this.segments.drop(file);
      newer += sizeOf(file.path);
    }
  }

  /** Makes full files small, one after the other: those that were passed on, so that the size of the others says how much waits. */
  #compressFull(): void {
    if (this.#compressing !== undefined) return;
    const full = this.segments
      .list()
      .slice(0, -1)
      .filter(({ number }) => this.#passedOn === undefined || number < this.#passedOn.segment);
    const next = full.find(({ isCompressed, path }) => !isCompressed && sizeOf(path) > 0 && !this.#incompressible.has(path));
    if (next === undefined) return;
    const compress = async (): Promise<void> => {
      try {
        await this.segments.compress(next);
      } catch (err) {
        this.#incompressible.add(next.path);
        this.#log.warn('a full log file could not be compressed', { file: next.path, error: err });
      }
      this.#compressing = undefined;
      // It may have become too much meanwhile.
      this.keepLimits(this.#passedOn);
    };
    this.#compressing = compress();
  }
}

/** Calls back when something in a directory has changed, not for each of many changes, until disposed. */
export function watchDirectory(directory: string, changed: () => void): Disposable {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const watcher = watch(directory, () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      changed();
    }, settleMs);
  });
  watcher.on('error', () => undefined);
  return {
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      watcher.close();
    },
  };
}

const settleMs = 5;
/** A monitor writes at most this much at once, and a head before it. */
const longestLineBytes = 64 * 1024;
