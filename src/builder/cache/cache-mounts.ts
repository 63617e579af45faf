import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { RecordStore, RecordTable } from '#core/records.ts';
import { encodedOf, sha256 } from '#oci/digest.ts';

/** A directory that `--mount=type=cache` shows to steps. Its key is the name of the directory. */
export interface CacheMountRecord {
  /** What steps call it. */
  readonly id: string;
  readonly createdAt: string;
  readonly lastUsedAt: string;
  readonly usageCount: number;
}

export interface AcquiredCacheMount extends Disposable {
  readonly path: string;
  /** Nobody has had it before. */
  readonly isNew: boolean;
}

export type CacheSharing = 'shared' | 'private' | 'locked';

/** Directories that outlive builds. `shared` ones are given to everybody, `locked` ones to one at a time, of `private` ones there are as many as are in use. */
export class CacheMounts {
  readonly #dir: string;
  readonly #table: RecordTable<CacheMountRecord>;
  readonly #locks = new KeyedLock();
  /** How many steps have a directory, by its name. */
  readonly #uses = new Map<string, number>();

  constructor(dir: string, records: RecordStore) {
    this.#dir = dir;
    this.#table = records.table('build-cache-mounts');
  }

  async acquire(id: string, sharing: CacheSharing, signal: AbortSignal): Promise<AcquiredCacheMount> {
    const base = encodedOf(sha256(id)).slice(0, 32);
    using stack = new DisposableStack();
    if (sharing === 'locked') stack.use(await acquireUnlessAborted(this.#locks, base, signal));
    const name = sharing === 'private' ? this.#freeName(base) : base;
    const isNew = this.#note(name, id);
    this.#uses.set(name, (this.#uses.get(name) ?? 0) + 1);
    stack.defer(() => {
      const left = (this.#uses.get(name) ?? 1) - 1;
      if (left > 0) this.#uses.set(name, left);
      else this.#uses.delete(name);
    });
    const path = join(this.#dir, name);
    await mkdir(path, { recursive: true });
    const held = stack.move();
    return { path, isNew, [Symbol.dispose]: () => held.dispose() };
  }

  #freeName(base: string): string {
    for (let number = 0; ; number += 1) {
      const name = number === 0 ? base : `${base}-${String(number)}`;
      if (!this.#uses.has(name)) return name;
    }
  }

  #note(name: string, id: string): boolean {
    const now = new Date().toISOString();
    const known = this.#table.get(name);
    this.#table.put(name, { id, createdAt: known?.createdAt ?? now, lastUsedAt: now, usageCount: (known?.usageCount ?? 0) + 1 });
    return known === undefined;
  }

  list(): { readonly name: string; readonly path: string; readonly isInUse: boolean; readonly record: CacheMountRecord }[] {
    return this.#table
      .list()
      .map(({ key, value }) => ({ name: key, path: join(this.#dir, key), isInUse: this.#uses.has(key), record: value }));
  }

  /** Removes a directory; one that is in use stays (false). */
  async remove(name: string): Promise<boolean> {
    if (this.#uses.has(name)) return false;
    this.#table.delete(name);
    const path = join(this.#dir, name);
    await rm(path, { recursive: true, force: true });
    return true;
  }
}

async function acquireUnlessAborted(locks: KeyedLock, key: string, signal: AbortSignal): Promise<Disposable> {
  signal.throwIfAborted();
  const turn = locks.acquire(key);
  const left = Promise.withResolvers<never>();
  const onAbort = (): void => left.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([turn, left.promise]);
  } catch (err) {
    void turn.then(held => held[Symbol.dispose]());
    throw err;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
