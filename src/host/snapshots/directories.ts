import { chmodSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno, resourceExhausted } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { Rubbish } from '#base/rubbish.ts';
import { spreadSubdirectories } from '#host/sys/inode-flags.ts';

export interface LayerDirectoriesOptions {
  readonly dir: string;
  /** Numbers that records name. */
  readonly used: ReadonlySet<number>;
  readonly log: Logger;
  /** Others than root come by on their way to what is mounted here. */
  readonly isOpen: boolean;
  /** Removes a directory of a layer with all that is in it. */
  readonly removeTree?: ((directory: string) => Promise<void>) | undefined;
}

/**
 * Numbered directories, one per layer. A directory without a record in the database is rubbish: it was being made or removed when the process
 * ended. Rubbish moves to `trash/`, which is one rename, and is deleted from there in the background.
 */
export class LayerDirectories {
  readonly #dir: string;
  readonly #trash: string;
  readonly #rubbish: Rubbish;
  readonly #mode: number;
  #nextId: number;

  constructor({ dir, used, log, isOpen, removeTree }: LayerDirectoriesOptions) {
    this.#dir = dir;
    this.#mode = isOpen ? 0o711 : 0o700;
    this.#rubbish = new Rubbish(log, removeTree);
    this.#trash = join(dir, 'trash');
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    spreadSubdirectories(dir);
    mkdirSync(this.#trash, { recursive: true, mode: 0o700 });
    mkdirSync(this.empty, { recursive: true, mode: 0o755 });
    chmodSync(dir, this.#mode);
    const present = readdirSync(dir)
      .filter(name => /^\d+$/.test(name))
      .map(Number);
    const known = [...used, ...present, ...readdirSync(this.#trash).map(Number).filter(Number.isSafeInteger)];
    // ext4 derives the part of the disk from the name (spreadSubdirectories): two data roots should not begin in the same one.
    this.#nextId = known.length === 0 ? 1 + Math.floor(Math.random() * 100_000) : known.reduce((a, b) => Math.max(a, b)) + 1;
    const rubbish = present.filter(id => !used.has(id));
    for (const id of rubbish) this.discard(id);
    if (rubbish.length > 0) log.info('removed unfinished layers', { count: rubbish.length });
    for (const name of readdirSync(this.#trash)) this.#rubbish.delete(join(this.#trash, name));
  }

  /** A directory that stays empty: the bottom of a root file system without layers. */
  get empty(): string {
    return join(this.#dir, 'empty');
  }

  /** What is below the layers of every container, where the driver has such a thing. */
  get frame(): string {
    return join(this.#dir, 'frame');
  }

  /** The directory above all layers. */
  get top(): string {
    return this.#dir;
  }

  /** Without a part: all that belongs to a layer. */
  path(id: number, part?: 'diff' | 'work' | 'merged' | 'mapped' | 'recipe'): string {
    return `${this.#dir}/${String(id)}${part === undefined ? '' : `/${part}`}`;
  }

  /** Makes a directory with these parts and returns its number. */
  create(parts: readonly ('diff' | 'work' | 'merged')[]): number {
    const id = this.#nextId;
    this.#nextId += 1;
    try {
      mkdirSync(join(this.#dir, String(id)), this.#mode);
      for (const part of parts) mkdirSync(this.path(id, part), part === 'work' ? 0o700 : 0o755);
    } catch (err) {
      this.discard(id);
      throw isErrno(err, 'ENOSPC') ? resourceExhausted(`no space left on device to make a layer in ${this.#dir}`, { cause: err }) : err;
    }
    return id;
  }

  /** Takes a directory out of use. Its files are deleted in the background. */
  discard(id: number): void {
    const trashed = join(this.#trash, String(id));
    try {
      renameSync(join(this.#dir, String(id)), trashed);
    } catch (err) {
      if (isErrno(err, 'ENOENT')) return;
      throw err;
    }
    this.#rubbish.delete(trashed);
  }

  /** Resolves when everything discarded so far is off the disk. */
  async settled(): Promise<void> {
    await this.#rubbish.settled();
  }
}
