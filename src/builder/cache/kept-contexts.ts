import { readFileSync, rmSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { failpoint } from '#base/failpoint.ts';
import type { RecordStore, RecordTable } from '#core/records.ts';
import { encodedOf, sha256 } from '#oci/digest.ts';

/** A directory of a client, kept from one build to the next. Its key is the name of the directory here. */
export interface KeptContextRecord {
  /** What the client calls it: `context`. */
  readonly what: string;
  readonly createdAt: string;
  readonly lastUsedAt: string;
  readonly usageCount: number;
}

/** A directory that one build has for itself until this is disposed. */
export interface KeptContext extends AsyncDisposable {
  readonly path: string;
  /** What `keep` was given last: what is true of the files in it. Undefined: nothing is, and the directory is empty. */
  readonly note: unknown;
  /** Digests of what is in it, known until it changes or the daemon ends. */
  readonly digests: Map<string, string>;
  /** From now on the note is not true, also for a daemon that starts after this one was killed. */
  spoil(): void;
  keep(note: unknown): Promise<void>;
}

/** Directories of clients, so that only what has changed has to be sent. A build that finds one in use gets another. */
export class KeptContexts {
  readonly #dir: string;
  readonly #table: RecordTable<KeptContextRecord>;
  readonly #inUse = new Set<string>();
  readonly #digests = new Map<string, Map<string, string>>();

  constructor(dir: string, records: RecordStore) {
    this.#dir = dir;
    this.#table = records.table('build-contexts');
  }

  /** `key` tells clients and their directories apart. */
  async acquire(key: string, what: string): Promise<KeptContext> {
    const name = this.#freeName(encodedOf(sha256(key)).slice(0, 32));
    this.#inUse.add(name);
    try {
      const now = new Date().toISOString();
      const known = this.#table.get(name);
      this.#table.put(name, { what, createdAt: known?.createdAt ?? now, lastUsedAt: now, usageCount: (known?.usageCount ?? 0) + 1 });
      return await this.#open(name);
    } catch (err) {
      this.#inUse.delete(name);
      throw err;
    }
  }

  async #open(name: string): Promise<KeptContext> {
    const base = join(this.#dir, name);
    const [path, notePath] = [join(base, 'files'), join(base, 'note.json')];
    const note = await readNote(notePath);
    // Somebody was killed while the files changed: nobody knows what they are.
    if (note === undefined) await rm(base, { recursive: true, force: true });
    const digests = (note === undefined ? undefined : this.#digests.get(name)) ?? new Map<string, string>();
    this.#digests.set(name, digests);
    await mkdir(path, { recursive: true, mode: 0o755 });
    return {
      path,
      note,
      digests,
      spoil() {
        digests.clear();
        rmSync(notePath, { force: true });
      },
      async keep(next) {
        await Bun.write(`${notePath}.new`, JSON.stringify({ boot: bootId(), note: next }));
        failpoint('build.context.received');
        await rename(`${notePath}.new`, notePath);
      },
      [Symbol.asyncDispose]: async () => await Promise.resolve(void this.#inUse.delete(name)),
    };
  }

  #freeName(base: string): string {
    for (let number = 0; ; number += 1) {
      const name = number === 0 ? base : `${base}-${String(number)}`;
      if (!this.#inUse.has(name)) return name;
    }
  }

  list(): { readonly name: string; readonly path: string; readonly isInUse: boolean; readonly record: KeptContextRecord }[] {
    return this.#table
      .list()
      .map(({ key, value }) => ({ name: key, path: join(this.#dir, key), isInUse: this.#inUse.has(key), record: value }));
  }

  /** Removes a directory; one that is in use stays (false). */
  async remove(name: string): Promise<boolean> {
    if (this.#inUse.has(name)) return false;
    this.#table.delete(name);
    this.#digests.delete(name);
    // Nobody may take it before it is gone.
    this.#inUse.add(name);
    try {
      await rm(join(this.#dir, name), { recursive: true, force: true });
    } finally {
      this.#inUse.delete(name);
    }
    return true;
  }
}

/** Nothing here is flushed to the disk: after a crash of the machine the note may be there and what it speaks of not. */
const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

async function readNote(path: string): Promise<unknown> {
  try {
    const { boot, note } = (await Bun.file(path).json()) as { readonly boot?: unknown; readonly note?: unknown };
    return boot === bootId() ? note : undefined;
  } catch {
    // There is none.
    return undefined;
  }
}
