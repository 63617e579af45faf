import { closeSync, existsSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { failpoint } from '#base/failpoint.ts';
import { inodeOf } from '../capture/segments.ts';

/** The file being written, and older ones beside it: `x.log`, `x.log.1`, `x.log.2.gz`, … */
export class LogFiles {
  readonly path: string;
  readonly #count: number;

  /** `count`: files kept, the one being written included. */
  constructor(path: string, count: number) {
    this.path = path;
    this.#count = count;
  }

  /** Files there are, the oldest first, the one being written last. */
  list(): string[] {
    return [...olderFiles(this.path), this.path];
  }

  /** Makes the file that is to be next, under a name of its own; `renew` puts it into its place. */
  prepare(): { readonly fd: number; readonly inode: number } {
    rmSync(this.#next, { force: true });
    const fd = openSync(this.#next, 'ax', 0o640);
    return { fd, inode: inodeOf(this.#next) ?? 0 };
  }

  /** Moves the files on by one and the prepared file into the first place. Goes on where a call that was cut off ended. */
  renew(): void {
    if (inodeOf(this.#next) === undefined) return;
    if (this.#count < 2) rmSync(this.path, { force: true });
    else if (existsSync(this.path)) {
      this.#makeRoom();
      renameSync(this.path, `${this.path}.1`);
    }
    failpoint('log.file.moved');
    renameSync(this.#next, this.path);
  }

  /** Whether the file that was prepared is this one. */
  isPrepared(inode: number): boolean {
    return inodeOf(this.#next) === inode;
  }

  dropPrepared(): void {
    rmSync(this.#next, { force: true });
  }

  get #next(): string {
    return `${this.path}.next`;
  }

  /** Moves files up to the first number that is free, so that doing it again after a crash loses none; the last of all goes. */
  #makeRoom(): void {
    let free = 1;
    while (free < this.#count - 1 && this.#older(free) !== undefined) free += 1;
    for (const extra of ['', '.gz']) rmSync(`${this.path}.${String(free)}${extra}`, { force: true });
    for (let number = free - 1; number >= 1; number -= 1) {
      const file = this.#older(number);
      if (file !== undefined) renameSync(file, `${this.path}.${String(number + 1)}${file.endsWith('.gz') ? '.gz' : ''}`);
    }
  }

  #older(number: number): string | undefined {
    return olderFile(this.path, number);
  }
}

/** Older files, the oldest first. */
export function olderFiles(path: string): string[] {
  const older: string[] = [];
  for (let number = 1; ; number += 1) {
    // A number may be free while files move on.
    const file = olderFile(path, number);
    if (file === undefined && olderFile(path, number + 1) === undefined) return older;
    if (file !== undefined) older.unshift(file);
  }
}

function olderFile(path: string, number: number): string | undefined {
  const name = `${path}.${String(number)}`;
  return [name, `${name}.gz`].find(existsSync);
}

export const closeFile = (fd: number | undefined): void => void (fd !== undefined && closeSync(fd));

/** Tells a file from every other, also from one that gets its inode later; undefined when it is not there. */
export function identityOf(path: string): string | undefined {
  const facts = statSync(path, { bigint: true, throwIfNoEntry: false });
  return facts === undefined ? undefined : `${String(facts.ino)} ${String(facts.birthtimeNs)}`;
}
