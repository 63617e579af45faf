import type { Digest } from '#oci/digest.ts';
import type { Guard } from './guard.ts';
import { blobPath, layerFolder, layerLink } from './layout.ts';
import { Lru } from './lru.ts';
import type { Repository } from './names.ts';
import type { Quotas } from './quotas.ts';
import { refusal } from './refusal.ts';
import type { ByteRange, Content, Storage } from './storage/storage.ts';

export interface BlobsOptions {
  readonly storage: Storage;
  readonly guard: Guard;
  readonly quotas: Quotas;
  /** A blob that a client was told of is touched at most this often. */
  readonly touchEveryMs: number;
}

/** How long a cached fact may be used when others write to the same storage. */
export const sharedStorageMs = 5_000;
const maxKnown = 100_000;
/** No use is noted more often than this. */
export const touchEveryMs = 10 * 60_000;
const maxSmallBytes = 32 * 1024;
const smallCacheBytes = 32 * 1024 * 1024;

interface Known {
  readonly sizeBytes: number;
  touchedAt: number;
}

/** Blobs of repositories: the bytes are stored once, each repository has a link to what it may hand out. */
export class Blobs {
  readonly #storage: Storage;
  readonly #guard: Guard;
  readonly #quotas: Quotas;
  readonly #touchEveryMs: number;
  readonly #known: Lru<Known>;
  #removals = 0;
  /** Configs and the like, by digest: the bytes never change. */
  readonly #small = new Lru<Uint8Array>(smallCacheBytes);

  constructor({ storage, guard, quotas, touchEveryMs }: BlobsOptions) {
    this.#touchEveryMs = touchEveryMs;
    this.#storage = storage;
    this.#guard = guard;
    this.#quotas = quotas;
    this.#known = new Lru(maxKnown, storage.isExclusive ? undefined : sharedStorageMs);
  }

  /** The size of a blob that the repository has; undefined when it has none. */
  async find(name: Repository, digest: Digest): Promise<number | undefined> {
    return this.findKnown(name, digest) ?? (await this.#look(name, digest))?.sizeBytes;
  }

  /** What can be said without asking the storage. */
  findKnown(name: Repository, digest: Digest): number | undefined {
    return this.#known.get(`${name}@${digest}`)?.sizeBytes;
  }

  /** Like `find`, for a client that may rely on the blob: the collector leaves it alone for its time of grace. */
  async promise(name: Repository, digest: Digest): Promise<number | undefined> {
    const known = this.#known.get(`${name}@${digest}`);
    if (known !== undefined && Date.now() - known.touchedAt <= this.#touchEveryMs) return known.sizeBytes;
    // Not while the collector decides about this repository.
    return await this.#guard.shared(name, async () => {
      const found = await this.#look(name, digest);
      if (found === undefined) return undefined;
      found.touchedAt = Date.now();
      await this.#storage.touch(layerLink(name, digest));
      return found.sizeBytes;
    });
  }

  async #look(name: Repository, digest: Digest): Promise<Known | undefined> {
    const removals = this.#removals;
    const [link, data] = await Promise.all([this.#storage.stat(layerLink(name, digest)), this.#storage.stat(blobPath(digest))]);
    if (link === undefined || data === undefined) return undefined;
    const known = { sizeBytes: data.sizeBytes, touchedAt: link.modifiedAt };
    // What was seen may be gone again.
    if (removals === this.#removals) this.#known.set(`${name}@${digest}`, known);
    return known;
  }

  /** Whether the bytes are stored at all, for whichever repository. */
  async sizeOf(digest: Digest): Promise<number | undefined> {
    return (await this.#storage.stat(blobPath(digest)))?.sizeBytes;
  }

  content(digest: Digest, sizeBytes: number, range?: ByteRange): Content {
    return this.#storage.content(blobPath(digest), sizeBytes, range);
  }

  /** The bytes of a small blob if they are at hand. */
  smallContent(digest: Digest): Uint8Array | undefined {
    return this.#small.get(digest);
  }

  /** The bytes of a blob that is small enough to be kept at hand; undefined for others. */
  async readSmall(digest: Digest, sizeBytes: number): Promise<Uint8Array | undefined> {
    if (sizeBytes > maxSmallBytes) return undefined;
    const data = await this.#storage.get(blobPath(digest));
    if (data !== undefined) this.#small.set(digest, data, data.length);
    return data;
  }

  /** Gives a repository a blob whose verified bytes are in a file of the staging folder. The file is used up. */
  async adopt(name: Repository, digest: Digest, sizeBytes: number, file: string): Promise<void> {
    using _kept = this.#guard.keep(digest);
    const isNew = (await this.sizeOf(digest)) === undefined;
    this.#quotas.claim(name, digest, sizeBytes, isNew);
    // Side by side: a link without bytes counts as no blob.
    const results = await Promise.allSettled([
      this.#guard.withDigest(digest, async () => {
        if ((await this.sizeOf(digest)) === undefined) await this.#storage.adopt(blobPath(digest), file);
      }),
      this.#guard.shared(name, () => this.#writeLink(name, digest)),
    ]);
    const failed = results.find(result => result.status === 'rejected');
    if (failed !== undefined) {
      this.#quotas.release(name, digest);
      if (isNew) this.#quotas.releaseBytes(digest);
      throw failed.reason;
    }
    await this.#guard.shared(name, async () => {
      // The collector may have come by while the link had no bytes.
      if ((await this.#storage.stat(layerLink(name, digest))) === undefined) await this.#writeLink(name, digest);
      this.#tied(name, digest, sizeBytes);
    });
  }

  /** Gives a repository a blob that another has; its size, or undefined when the other does not have it. */
  async mount(name: Repository, digest: Digest, from: Repository): Promise<number | undefined> {
    const sizeBytes = await this.promise(from, digest);
    if (sizeBytes === undefined || from === name) return sizeBytes;
    return await this.tie(name, digest);
  }

  /** Gives a repository a blob whose bytes are stored; its size, or undefined when they are not. */
  async tie(name: Repository, digest: Digest): Promise<number | undefined> {
    using _kept = this.#guard.keep(digest);
    // A removal that is under way is waited for.
    const sizeBytes = await this.#guard.withDigest(digest, () => this.sizeOf(digest));
    if (sizeBytes === undefined) return undefined;
    this.#quotas.claim(name, digest, sizeBytes, false);
    await this.#guard.shared(name, async () => {
      await this.#writeLink(name, digest);
      this.#tied(name, digest, sizeBytes);
    });
    return sizeBytes;
  }

  /** For who shares the repository: what is known must not outlive a link that the collector has taken away. */
  #tied(name: Repository, digest: Digest, sizeBytes: number): void {
    this.#guard.noteTied(digest);
    this.#known.set(`${name}@${digest}`, { sizeBytes, touchedAt: Date.now() });
  }

  async #writeLink(name: Repository, digest: Digest): Promise<void> {
    await this.#storage.put(layerLink(name, digest), new TextEncoder().encode(digest));
  }

  /** Takes a blob from a repository. Refuses with BLOB_UNKNOWN. The bytes go with the next collection, if nobody else has them. */
  async remove(name: Repository, digest: Digest): Promise<void> {
    if ((await this.find(name, digest)) === undefined) throw refusal('BLOB_UNKNOWN', undefined, { detail: { digest } });
    await this.unlink(name, digest);
  }

  async unlink(name: Repository, digest: Digest): Promise<void> {
    this.#removals += 1;
    this.#known.delete(`${name}@${digest}`);
    await this.#storage.remove(layerFolder(name, digest));
    this.#removals += 1;
    this.#known.delete(`${name}@${digest}`);
    this.#quotas.release(name, digest);
  }

  forgetBytes(digest: Digest): void {
    this.#small.delete(digest);
  }
}
