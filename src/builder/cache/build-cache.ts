import { newId } from '#base/id.ts';
import type { RecordStore, RecordTable } from '#core/records.ts';
import type { ChainId } from '#core/snapshots.ts';
import type { Digest } from '#oci/digest.ts';
import type { Layer } from '../ports.ts';

/** What a step came to the last time it was done; its key is a digest over everything that the result depends on. */
export interface CacheRecord {
  /** A name for people and for `prune`. */
  readonly id: string;
  /** `RUN make`. */
  readonly description: string;
  /** Null: the step changed no file. */
  readonly layer: Layer | null;
  readonly parentChain: ChainId | null;
  readonly sizeBytes: number;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly lastUsedAt: string;
  readonly usageCount: number;
}

export interface KeyedRecord {
  readonly key: string;
  readonly record: CacheRecord;
}

/** The results of steps, durable. What it holds is kept in the image store. */
export class BuildCache {
  readonly #table: RecordTable<CacheRecord>;
  /** When an image with this content was made first: made again of the same parts, it is the same image. */
  readonly #imageTimes: RecordTable<string>;
  readonly #records: Map<string, CacheRecord>;
  /** How many builds use a record at the moment. */
  readonly #uses = new Map<string, number>();

  constructor(records: RecordStore) {
    this.#table = records.table('build-cache');
    this.#imageTimes = records.table('build-image-times');
    this.#records = new Map(this.#table.list().map(({ key, value }) => [key, value]));
  }

  get(key: string): CacheRecord | undefined {
    return this.#records.get(key);
  }

  put(
    key: string,
    result: Pick<CacheRecord, 'description' | 'layer' | 'parentChain' | 'sizeBytes'> & { readonly createdAt?: string },
  ): CacheRecord {
    const now = new Date().toISOString();
    const record = { id: newId().slice(0, 25), createdAt: now, ...result, lastUsedAt: now, usageCount: 1 };
    this.#table.put(key, record);
    this.#records.set(key, record);
    return record;
  }

  /** Notes that a record was of use again. */
  touch(key: string): void {
    const record = this.#records.get(key);
    if (record === undefined) return;
    const touched = { ...record, lastUsedAt: new Date().toISOString(), usageCount: record.usageCount + 1 };
    this.#table.put(key, touched);
    this.#records.set(key, touched);
  }

  delete(key: string): void {
    this.#table.delete(key);
    this.#records.delete(key);
  }

  all(): KeyedRecord[] {
    return [...this.#records].map(([key, record]) => ({ key, record }));
  }

  /** Marks a record as used until it is disposed. */
  use(key: string): Disposable {
    this.#uses.set(key, (this.#uses.get(key) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        const left = (this.#uses.get(key) ?? 1) - 1;
        if (left > 0) this.#uses.set(key, left);
        else this.#uses.delete(key);
      },
    };
  }

  isInUse(key: string): boolean {
    return this.#uses.has(key);
  }

  /** The time of an image with this content; `now` when there was none before. */
  imageTime(content: Digest, now: string): string {
    const known = this.#imageTimes.get(content);
    if (known === undefined) this.#imageTimes.put(content, now);
    return known ?? now;
  }

  /** From now on an image with this content has this time. */
  setImageTime(content: Digest, time: string): void {
    this.#imageTimes.put(content, time);
  }

  forgetImageTimes(): void {
    for (const { key } of this.#imageTimes.list()) this.#imageTimes.delete(key);
  }

  /** Forgets the results that are this layer. Returns what they were of. */
  forget(chainId: ChainId): string[] {
    return this.all().flatMap(({ key, record }) => {
      if (record.layer?.chainId !== chainId) return [];
      this.delete(key);
      return [`the build step ${record.description}`];
    });
  }

  /** What has to stay for the records to be of use. */
  layers(): Layer[] {
    return [...this.#records.values()].flatMap(({ layer }) => (layer === null ? [] : [layer]));
  }
}
