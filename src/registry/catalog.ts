import { letOthersGoFirst } from '#base/turns.ts';
import { sharedStorageMs } from './blobs.ts';
import { repositoriesFolder, revisionsFolder } from './layout.ts';
import { type Repository, tryParseRepository } from './names.ts';
import type { Storage } from './storage/storage.ts';

/** Every repository that has something, sorted. */
export async function listRepositories(storage: Storage): Promise<Repository[]> {
  const found: Repository[] = [];
  const look = async (path: string): Promise<void> => {
    await letOthersGoFirst();
    const entries = await storage.list(path === '' ? repositoriesFolder : `${repositoriesFolder}/${path}`);
    const name = tryParseRepository(path);
    if (name !== undefined && entries.some(entry => entry.name === '_manifests' || entry.name === '_layers')) found.push(name);
    for (const entry of entries) {
      if (entry.isFolder && !entry.name.startsWith('_')) await look(path === '' ? entry.name : `${path}/${entry.name}`);
    }
  };
  await look('');
  return found.sort();
}

const freshMs = 60_000;

/** The repositories that have a manifest: what the catalog and the search show. Walking the storage takes time, so the list is kept for a while. */
export class Catalog {
  readonly #storage: Storage;
  #names: { readonly since: number; readonly promise: Promise<Set<Repository>> } | undefined;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** Sorted. */
  async names(): Promise<Repository[]> {
    return [...(await this.#known())].sort();
  }

  async #known(): Promise<Set<Repository>> {
    if (this.#names === undefined || performance.now() - this.#names.since > (this.#storage.isExclusive ? freshMs : sharedStorageMs)) {
      const reading = { since: performance.now(), promise: this.#read() };
      this.#names = reading;
      reading.promise.catch(() => {
        if (this.#names === reading) this.#names = undefined;
      });
    }
    return await this.#names.promise;
  }

  async #read(): Promise<Set<Repository>> {
    const names = new Set<Repository>();
    for (const name of await listRepositories(this.#storage)) if (await this.#hasManifest(name)) names.add(name);
    return names;
  }

  async #hasManifest(name: Repository): Promise<boolean> {
    return (await this.#storage.list(revisionsFolder(name))).length > 0;
  }

  /** Call it when manifests of a repository were added or removed. */
  async changed(name: Repository): Promise<void> {
    const reading = this.#names;
    if (reading === undefined) return;
    const names = await reading.promise.catch(() => new Set<Repository>());
    if (await this.#hasManifest(name)) names.add(name);
    else names.delete(name);
  }

  forget(): void {
    this.#names = undefined;
  }
}

export interface Page<T> {
  readonly items: readonly T[];
  /** The last one of this page, when there are more. */
  readonly next: T | undefined;
}

/** A part of a sorted list: at most `count` after `last`. */
export function pageOf<T extends string>(sorted: readonly T[], count: number | undefined, last: string | undefined): Page<T> {
  const start = last === undefined ? 0 : firstAfter(sorted, last);
  const items = count === undefined ? sorted.slice(start) : sorted.slice(start, start + count);
  return { items, next: items.length > 0 && start + items.length < sorted.length ? items.at(-1) : undefined };
}

function firstAfter(sorted: readonly string[], last: string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? '') <= last) low = middle + 1;
    else high = middle;
  }
  return low;
}
