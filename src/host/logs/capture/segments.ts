import {
  createReadStream,
  createWriteStream,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  closeSync,
} from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { isErrno } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';

const compressed = '.gz';
const currentName = 'current';

/** A file of a capture. Numbers grow by one from file to file and are never used again. */
export interface Segment {
  readonly number: number;
  readonly path: string;
  readonly isCompressed: boolean;
}

/**
 * The files into which a monitor writes what a container says. The monitor knows one name; whenever it begins anew it renames an empty file over that name,
 * so every file has a number as its second name, under which it stays.
 *
 *   1.gz   2   3 ──┐ same file      monitor begins anew:   3        current ──┐
 *              current ─┘                                  (full)         4 ──┘
 */
export class Segments {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** What the monitor writes to. */
  get current(): string {
    return `${this.directory}/${currentName}`;
  }

  /** The oldest first; the last is the one being written, if any is. */
  list(): Segment[] {
    const found = new Map<number, Segment>();
    for (const name of namesIn(this.directory)) {
      const match = /^(\d+)(\.gz)?$/.exec(name);
      if (match === null) continue;
      const number = Number(match[1]);
      const isCompressed = match[2] !== undefined;
      // Beside its compressed form the plain file is about to go: both are whole.
      if (isCompressed && found.has(number)) continue;
      found.set(number, { number, path: `${this.directory}/${name}`, isCompressed });
    }
    return [...found.values()].toSorted((a, b) => a.number - b.number);
  }

  /** True when it was not there: then nothing is in it. */
  makeDirectory(): boolean {
    return mkdirSync(this.directory, { recursive: true, mode: 0o700 }) !== undefined;
  }

  /** Makes the file that a first run is going to write to. */
  beginFirst(): void {
    this.#make(`${this.directory}/1`);
  }

  /** Makes the file that a run is going to write to: the present one when `goesOn`, else one with a number above `after`. */
  begin(goesOn: boolean, after: number): void {
    this.adopt();
    const last = this.list().at(-1);
    if (goesOn && last !== undefined && inodeOf(last.path) === inodeOf(this.current)) return;
    rmSync(this.current, { force: true });
    this.#make(`${this.directory}/${String(Math.max(last?.number ?? 0, after) + 1)}`);
  }

  #make(path: string): void {
    closeSync(openSync(path, 'ax', 0o640));
    failpoint('log.capture.made');
    linkSync(path, this.current);
  }

  /** Gives the file that the monitor writes to its number, if it has none: the monitor has begun anew. True when it was so. */
  adopt(): boolean {
    const current = inodeOf(this.current);
    const last = this.list().at(-1);
    if (current === undefined || (last !== undefined && inodeOf(last.path) === current)) return false;
    try {
      linkSync(this.current, `${this.directory}/${String((last?.number ?? 0) + 1)}`);
    } catch (err) {
      // Renamed over again in this very moment: the next notice is on its way.
      if (isErrno(err, 'ENOENT', 'EEXIST')) return false;
      throw err;
    }
    return true;
  }

  /** Removes a file; the one that the monitor writes to loses its number only. */
  drop(segment: Segment): void {
    rmSync(segment.path, { force: true });
  }

  /** Removes them all: nobody writes any more. */
  clear(): void {
    rmSync(this.current, { force: true });
    for (const segment of this.list()) this.drop(segment);
  }

  /** Makes a full file small. */
  async compress({ path, isCompressed }: Segment): Promise<void> {
    if (isCompressed) return;
    const unfinished = `${path}${compressed}.new`;
    await pipeline(createReadStream(path), createGzip({ level: 1 }), createWriteStream(unfinished, { mode: 0o640 }));
    renameSync(unfinished, `${path}${compressed}`);
    failpoint('log.capture.compressed');
    rmSync(path, { force: true });
  }

  /** Removes what an interrupted change left. */
  tidy(): void {
    for (const name of namesIn(this.directory)) {
      if (name.endsWith('.new')) rmSync(`${this.directory}/${name}`, { force: true });
    }
    for (const { path, isCompressed } of this.list()) {
      if (!isCompressed && inodeOf(`${path}${compressed}`) !== undefined) rmSync(path, { force: true });
    }
  }
}

/** Opens a file of a log for reading; a compressed one as what it holds, in a file without a name. Undefined when it is not there. */
export async function openForReading(path: string): Promise<FileHandle | undefined> {
  const isCompressed = path.endsWith(compressed);
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (err) {
    if (!isErrno(err, 'ENOENT')) throw err;
    // Compressed since it was listed.
    return isCompressed ? undefined : await openForReading(`${path}${compressed}`);
  }
  if (!isCompressed) return file;
  const plain = `${path}.${String(process.pid)}-${String((plainCount += 1))}.new`;
  try {
    await pipeline(file.createReadStream(), createGunzip(), createWriteStream(plain, { mode: 0o600 }));
    return await open(plain, 'r');
  } finally {
    rmSync(plain, { force: true });
  }
}

let plainCount = 0;

export function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

export function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return [];
    throw err;
  }
}
