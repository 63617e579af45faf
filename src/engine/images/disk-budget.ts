import { messageOf } from '#base/errors.ts';
import type { Digest } from '#oci/digest.ts';
import type { RegistryContext } from './context.ts';
import { labelsOf } from './image-events.ts';
import type { ImageRecord } from './model.ts';
import type { Reclaimable } from './ports.ts';
import { unfinishedLifetimeMs } from './fetch-layer.ts';
import { settleIndexes } from './settle-indexes.ts';
import { deleteImage } from './delete-image.ts';

export interface DiskBudgetOptions {
  /** What images, their blobs and the build cache may take together; undefined: what there is. */
  readonly totalBytes: number | undefined;
  /**
   * Which images may go when they are unused: those without a tag, or tagged ones too whose layers a registry is known to have, or all. Those with
   * containers never go, running or not.
   */
  readonly images: 'untagged' | 'pulled' | 'unused';
  /** Compressed blobs go when their images were not moved for this long, and their layers' tars can be made without them; undefined: never. */
  readonly blobsUnusedForMs: number | undefined;
}

/** Whoever has just fetched an image is about to use it. */
export const graceMs = 60_000;
const ageCheckMs = 3_600_000;

/** Something that may go, or rather what it would take to let it. */
export interface Candidate {
  /** What goes first, whatever its age: blobs that can be spared are the cheapest to lose, tagged images the dearest. */
  readonly rank: 0 | 1 | 2;
  readonly lastUsedMs: number;
  readonly what: string;
  remove(): Promise<void>;
}

/** Lower ranks first, and of each what was not used for longest. */
export const inOrder = (candidates: readonly Candidate[]): Candidate[] =>
  candidates.toSorted((a, b) => a.rank - b.rank || a.lastUsedMs - b.lastUsedMs);

/** Keeps what is stored within the operator's limits. Nobody waits for it. */
export class DiskBudget implements Disposable {
  readonly #context: RegistryContext;
  readonly #options: () => DiskBudgetOptions;
  readonly #caches: () => readonly Reclaimable[];
  readonly #timer: NodeJS.Timeout;
  #running: Promise<void> | undefined;
  #isWanted = false;

  constructor(context: RegistryContext, options: () => DiskBudgetOptions, caches: () => readonly Reclaimable[]) {
    this.#context = context;
    this.#options = options;
    this.#caches = caches;
    this.#timer = setInterval(() => this.check(), ageCheckMs);
    this.#timer.unref();
  }

  /** Something was added: looks whether it is too much. */
  check(): void {
    this.#isWanted = true;
    this.#running ??= this.#run();
  }

  /** Resolves when nothing is being looked at. */
  async settled(): Promise<void> {
    await this.#running;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #run(): Promise<void> {
    // Whatever called this has not ended yet.
    await new Promise(resolve => setImmediate(resolve));
    while (this.#isWanted) {
      this.#isWanted = false;
      try {
        await this.#context.content.removeUnfinished(unfinishedLifetimeMs);
        await this.#dropOldBlobs();
        await this.#collect();
      } catch (err) {
        this.#context.log.warn('the disk could not be kept within its budget', { error: err });
      }
    }
    this.#running = undefined;
  }

  async #dropOldBlobs(): Promise<void> {
    const { blobsUnusedForMs } = this.#options();
    if (blobsUnusedForMs === undefined) return;
    const old = this.#spareBlobs().filter(({ lastMovedMs }) => Date.now() - lastMovedMs >= blobsUnusedForMs);
    let bytes = 0;
    for (const { digest } of old) bytes += await this.#context.retention.dropBlob(digest);
    if (bytes > 0) this.#tell(bytes, { cause: 'unused-blobs', blobs: String(old.length) });
  }

  /** Blobs that nothing would be lost without, by the last move of an image that has them. */
  #spareBlobs(): { readonly digest: Digest; readonly lastMovedMs: number }[] {
    const { store, snapshots, uses } = this.#context;
    const moved = new Map<Digest, number>();
    const kept = new Set<Digest>();
    for (const image of store.all()) {
      for (const { digest, chainId } of image.layers) {
        if (snapshots.tarSize(chainId) === undefined) kept.add(digest);
        moved.set(digest, Math.max(moved.get(digest) ?? 0, uses.movedAt(image)));
      }
    }
    return [...moved].filter(([digest]) => !kept.has(digest)).map(([digest, lastMovedMs]) => ({ digest, lastMovedMs }));
  }

  async #collect(): Promise<void> {
    const { totalBytes } = this.#options();
    if (totalBytes === undefined) return;
    const before = await this.#usedBytes();
    if (before <= totalBytes) return;
    // Nobody has anything yet of what was interrupted.
    await this.#context.content.removeUnfinished(0);
    let now = await this.#usedBytes();
    const removed: string[] = [];
    for (const candidate of inOrder([...this.#blobCandidates(), ...(await this.#cacheCandidates()), ...this.#imageCandidates()])) {
      if (now <= totalBytes) break;
      try {
        await candidate.remove();
      } catch (err) {
        this.#context.log.debug('could not collect', { what: candidate.what, why: messageOf(err) });
        continue;
      }
      const after = await this.#usedBytes();
      if (after < now) removed.push(candidate.what);
      now = after;
    }
    if (removed.length > 0) this.#tell(before - now, { cause: 'disk-budget', removed: String(removed.length) });
    if (now > totalBytes) this.#context.log.warn('more is in use than the disk budget allows', { usedBytes: now, budgetBytes: totalBytes });
  }

  #tell(bytes: number, attributes: Readonly<Record<string, string>>): void {
    this.#context.log.info('collected what was not used for longest', { bytes, ...attributes });
    this.#context.events.publish({ type: 'image', action: 'prune', actorId: '', attributes: { reclaimed: String(bytes), ...attributes } });
  }

  async #usedBytes(): Promise<number> {
    const { content, snapshots } = this.#context;
    let bytes = await content.unfinishedUsage();
    for await (const { sizeBytes } of content.list()) bytes += sizeBytes;
    for (const { chainId } of snapshots.chains()) bytes += (await snapshots.diskUsage(chainId)) ?? 0;
    for (const cache of this.#caches()) bytes += await cache.ownBytes();
    return bytes;
  }

  #blobCandidates(): Candidate[] {
    return this.#spareBlobs().map(({ digest, lastMovedMs }) => ({
      rank: 0,
      lastUsedMs: lastMovedMs,
      what: `blob ${digest}`,
      remove: async () => void (await this.#context.retention.dropBlob(digest)),
    }));
  }

  async #cacheCandidates(): Promise<Candidate[]> {
    const candidates = await Promise.all(this.#caches().map(cache => cache.candidates()));
    return candidates.flat().map(each => ({ ...each, rank: 1 }));
  }

  #imageCandidates(): Candidate[] {
    const { store, uses } = this.#context;
    const newest = Date.now() - graceMs;
    return store.all().flatMap(image => {
      const rank = this.#rankOf(image);
      const lastUsedMs = uses.usedAt(image);
      if (rank === undefined || lastUsedMs > newest) return [];
      return [{ rank, lastUsedMs, what: `image ${image.id}`, remove: () => this.#removeImage(image) }];
    });
  }

  /** Undefined: it stays. */
  #rankOf(image: ImageRecord): 1 | 2 | undefined {
    const { store, users, sources } = this.#context;
    if (users.usedBy(image.id).length > 0) return undefined;
    if (store.references(image.id).every(ref => ref.tag === undefined) && !store.isMember(image)) return 1;
    const { images } = this.#options();
    if (images === 'unused') return 2;
    return images === 'pulled' && image.layers.every(layer => sources.find(layer.diffId) !== undefined) ? 2 : undefined;
  }

  async #removeImage({ id }: ImageRecord): Promise<void> {
    const { store, uses } = this.#context;
    const labels = await labelsOf(this.#context, id);
    // From here on nothing waits until the image is forgotten: nobody can begin to use it in between.
    const image = store.get(id);
    if (image === undefined || this.#rankOf(image) === undefined || Date.now() - uses.usedAt(image) < graceMs) return;
    await deleteImage(this.#context, image, labels, { force: true, pruneParents: false, quiet: true }, []);
    await settleIndexes(this.#context);
  }
}
