import { cleanUp } from '#base/dispose.ts';
import { failpoint } from '#base/failpoint.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import type { ContentFile, ContentInfo, ContentStore, ContentWriter } from '#core/content.ts';
import type { ChainId, PendingLayer, Snapshotter } from '#core/snapshots.ts';
import type { Digest } from '#oci/digest.ts';
import type { ImageStore } from './image-store.ts';
import type { ContentUser, NeededLayer } from './ports.ts';

/**
 * Decides what may go. A blob or a layer stays while an image needs it or an operation in progress holds a lease on it. Committing and removing
 * exclude each other, so that nothing can be removed between the moment it was found to be there and the moment it is leased.
 */
export class Retention {
  readonly #content: ContentStore;
  readonly #snapshots: Snapshotter;
  readonly #store: ImageStore;
  readonly #others: readonly ContentUser[];
  readonly #log: Logger;
  readonly #leases = new Set<Lease>();
  readonly #lock = new KeyedLock();

  constructor(content: ContentStore, snapshots: Snapshotter, store: ImageStore, others: readonly ContentUser[], log: Logger) {
    this.#others = others;
    this.#content = content;
    this.#snapshots = snapshots;
    this.#store = store;
    this.#log = log;
  }

  /** Disposing the lease removes what it held and no image needs: after success nothing, after a failure all of it. */
  lease(): Lease {
    const lease = new Lease(this.#content, this.#snapshots, this.#lock, async () => {
      this.#leases.delete(lease);
      await cleanUp('content of an image operation', this.#log, () => this.release(lease.blobs, lease.chains));
    });
    this.#leases.add(lease);
    return lease;
  }

  /** Removes those of the blobs and layers that nobody needs any more. Returns the bytes that became free. */
  async release(blobs: ReadonlySet<Digest>, chains: ReadonlySet<ChainId>): Promise<number> {
    return await this.#lock.run('content', async () => {
      const needed = this.#needed();
      let freed = 0;
      for (const digest of blobs) {
        if (needed.blobs.has(digest)) continue;
        const info = await this.#content.info(digest);
        if (info !== undefined && (await this.#content.remove(digest))) freed += info.sizeBytes;
        failpoint('image.release.blob');
      }
      if ([...chains].some(chain => !needed.chains.has(chain) && this.#snapshots.has(chain)))
        freed += await this.#snapshots.collect(needed.chains);
      return freed;
    });
  }

  /** Removes a blob that images can do without, unless an operation in progress holds it. Returns the bytes that became free. */
  async dropBlob(digest: Digest): Promise<number> {
    return await this.#lock.run('content', async () => {
      if ([...this.#leases].some(lease => lease.blobs.has(digest))) return 0;
      const info = await this.#content.info(digest);
      return info !== undefined && (await this.#content.remove(digest)) ? info.sizeBytes : 0;
    });
  }

  /** Removes layers that nobody needs any more. */
  async collectLayers(): Promise<void> {
    await this.#lock.run('content', () => this.#snapshots.collect(this.#needed().chains));
  }

  /** Removes every blob and layer that nobody needs: what a killed daemon left, or what containers of a removed image stood on. */
  async sweep(): Promise<{ readonly blobs: number; readonly freedBytes: number }> {
    return await this.#lock.run('content', async () => {
      const needed = this.#needed();
      let blobs = 0;
      let freedBytes = 0;
      for await (const info of this.#content.list()) {
        if (needed.blobs.has(info.digest) || !(await this.#content.remove(info.digest))) continue;
        blobs += 1;
        freedBytes += info.sizeBytes;
      }
      freedBytes += await this.#snapshots.collect(needed.chains);
      return { blobs, freedBytes };
    });
  }

  #needed(): { readonly blobs: Set<Digest>; readonly chains: Set<ChainId> } {
    const blobs = new Set<Digest>();
    const chains = new Set<ChainId>();
    const addLayer = ({ chainId, diffId, digest }: NeededLayer): void => {
      chains.add(chainId);
      // The tar itself is no use beside the files it can be made of.
      if (digest !== diffId || this.#snapshots.tarSize(chainId) === undefined) blobs.add(digest);
    };
    for (const image of this.#store.all()) {
      blobs.add(image.id).add(image.manifest);
      for (const layer of image.layers) addLayer(layer);
    }
    for (const index of this.#store.indexes()) for (const digest of index.blobs) blobs.add(digest);
    for (const user of this.#others) for (const layer of user.layers()) addLayer(layer);
    for (const lease of this.#leases) {
      for (const digest of lease.blobs) blobs.add(digest);
      for (const chain of lease.chains) chains.add(chain);
    }
    return { blobs, chains };
  }
}

/** What an operation in progress relies on. */
export class Lease implements AsyncDisposable {
  readonly blobs = new Set<Digest>();
  readonly chains = new Set<ChainId>();
  readonly #content: ContentStore;
  readonly #snapshots: Snapshotter;
  readonly #lock: KeyedLock;
  #release: (() => Promise<void>) | undefined;

  constructor(content: ContentStore, snapshots: Snapshotter, lock: KeyedLock, release: () => Promise<void>) {
    this.#content = content;
    this.#snapshots = snapshots;
    this.#lock = lock;
    this.#release = release;
  }

  /** Stores what was written and keeps it. */
  async commit(writer: ContentWriter, expected?: { readonly digest?: Digest; readonly sizeBytes?: number }): Promise<ContentInfo> {
    return await this.#lock.run('content', async () => {
      const info = await writer.commit(expected);
      this.blobs.add(info.digest);
      return info;
    });
  }

  /** Stores what another process wrote and keeps it. */
  async commitFile(file: ContentFile, blob: ContentInfo): Promise<ContentInfo> {
    return await this.#lock.run('content', async () => {
      const info = await file.commit(blob);
      this.blobs.add(info.digest);
      return info;
    });
  }

  /** Makes a writable layer a layer of images and keeps it. */
  async commitWritable(key: string, chainId: ChainId, made: { readonly sizeBytes: number; readonly tarBytes: number }): Promise<void> {
    await this.#lock.run('content', async () => {
      this.chains.add(chainId);
      await this.#snapshots.commit(key, chainId, made);
    });
  }

  /** Stores a small blob and keeps it. */
  async put(data: Uint8Array): Promise<ContentInfo> {
    return await this.#lock.run('content', async () => {
      const info = await this.#content.put(data);
      this.blobs.add(info.digest);
      return info;
    });
  }

  /** Keeps a blob that is there; undefined when it is not. */
  async keep(digest: Digest): Promise<ContentInfo | undefined> {
    return await this.#lock.run('content', async () => {
      const info = await this.#content.info(digest);
      if (info !== undefined) this.blobs.add(digest);
      return info;
    });
  }

  /** Gives a layer its place and keeps it; one that is there already is left as it is. */
  async commitLayer(layer: PendingLayer, chainId: ChainId, parent: ChainId | undefined): Promise<void> {
    await this.#lock.run('content', async () => {
      this.chains.add(chainId);
      if (!this.#snapshots.has(chainId)) await layer.commit(chainId, parent);
    });
  }

  /** Keeps these, whether they are there or come later. */
  async hold(blobs: readonly Digest[], chains: readonly ChainId[]): Promise<void> {
    await this.#lock.run('content', () => {
      for (const digest of blobs) this.blobs.add(digest);
      for (const chainId of chains) this.chains.add(chainId);
      return Promise.resolve();
    });
  }

  /** Keeps a layer that is there; false when it is not. */
  async keepLayer(chainId: ChainId): Promise<boolean> {
    return await this.#lock.run('content', () => {
      if (!this.#snapshots.has(chainId)) return Promise.resolve(false);
      this.chains.add(chainId);
      return Promise.resolve(true);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const release = this.#release;
    this.#release = undefined;
    await release?.();
  }
}
