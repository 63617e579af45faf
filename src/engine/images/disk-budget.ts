import { KeyedLock } from '#base/keyed-lock.ts';
import { messageOf } from '#base/errors.ts';
import type { ChainId } from '#core/snapshots.ts';
import type { Digest } from '#oci/digest.ts';
import { refuse } from './budget-refusal.ts';
import { type CollectableImages, collectables, freshImages, spareBlobs, stayingLayers } from './collectables.ts';
import type { RegistryContext } from './context.ts';
import { unfinishedLifetimeMs } from './fetch-layer.ts';
import type { ImageLayer } from './model.ts';
import type { Reclaimable } from './ports.ts';
import type { Lease } from './retention.ts';
import { boundlessRoom, type Room } from './room.ts';

export interface DiskBudgetOptions {
  /** What images, their blobs and the build cache may take together; undefined: what there is. */
  readonly totalBytes: number | undefined;
  readonly images: CollectableImages;
  /** Compressed blobs go when their images were not moved for this long, and their layers' tars can be made without them; undefined: never. */
  readonly blobsUnusedForMs: number | undefined;
}

const ageCheckMs = 3_600_000;

/**
 * Keeps what is stored within the operator's limits: lets go of what may go when it is too much, and refuses what would be too much without it. Of the
 * latter it looks at what is there only when what was found to be left may be used up.
 */
export class DiskBudget implements Disposable, Room {
  readonly #context: RegistryContext;
  readonly #options: () => DiskBudgetOptions;
  readonly #caches: () => readonly Reclaimable[];
  readonly #timer: NodeJS.Timeout;
  readonly #turns = new KeyedLock();
  /** Blobs that are about to come, with their sizes, by who fetches them. */
  readonly #coming = new Set<Map<Digest, number>>();
  #left: { readonly budgetBytes: number; bytes: number } | undefined;
  #running: Promise<void> | undefined;
  #isWanted = false;

  constructor(context: RegistryContext, options: () => DiskBudgetOptions, caches: () => readonly Reclaimable[]) {
    this.#context = context;
    this.#options = options;
    this.#caches = caches;
    this.#timer = setInterval(() => this.check(), ageCheckMs);
    this.#timer.unref();
  }

  /** Something was added: looks, some time later, whether it is too much. */
  check(): void {
    this.#isWanted = true;
    this.#running ??= this.#run();
  }

  async keep(blobs: readonly { readonly digest: Digest; readonly size: number }[]): Promise<Disposable> {
    const budgetBytes = this.#options().totalBytes;
    if (budgetBytes === undefined) return await boundlessRoom.keep(blobs);
    if (blobs.length === 0) return await boundlessRoom.keep(blobs);
    const coming = new Map(blobs.map(({ digest, size }) => [digest, size]));
    this.#coming.add(coming);
    const kept = { [Symbol.dispose]: () => void this.#coming.delete(coming) };
    try {
      await this.#turns.run('room', () => this.#makeRoom(budgetBytes, new Set()));
      return kept;
    } catch (err) {
      kept[Symbol.dispose]();
      throw err;
    }
  }

  async placed(lease: Lease, layers: readonly ImageLayer[]): Promise<void> {
    const budgetBytes = this.#options().totalBytes;
    const last = layers.at(-1);
    if (budgetBytes === undefined || last === undefined) return;
    if (this.#left?.budgetBytes === budgetBytes) {
      this.#left.bytes -= last.sizeBytes + (this.#context.snapshots.layerSize(last.chainId) ?? 0);
      if (this.#left.bytes > 0) return;
    }
    await this.#turns.run('room', async () => {
      if ((await this.#neededBytes()) <= budgetBytes) return await this.#makeRoom(budgetBytes, lease.chains);
      // What came compressed is kept to spare work later on: rather that than the image.
      for (const layer of layers) await this.#letGo(lease, layer);
      await this.#makeRoom(budgetBytes, lease.chains);
    });
  }

  /** Lets go of what may go until all fits, nothing when that would not be enough. Rejects with ResourceExhausted then. */
  async #makeRoom(budgetBytes: number, held: ReadonlySet<ChainId>): Promise<void> {
    const leastBytes = await this.#leastBytes(held);
    const neededBytes = leastBytes > budgetBytes ? leastBytes : await this.#shrinkTo(budgetBytes);
    if (neededBytes <= budgetBytes) return;
    const fresh = freshImages(this.#context, this.#options().images).length;
    throw await refuse(this.#context, { budgetBytes, neededBytes, usedBytes: await this.#usedBytes(), fresh });
  }

  /** What would be there without all that may go, with what is about to come: at least so much, as layers may be needed by others too. */
  async #leastBytes(held: ReadonlySet<ChainId>): Promise<number> {
    const { snapshots } = this.#context;
    let bytes = await this.#comingBytes();
    for (const chainId of stayingLayers(this.#context, this.#options().images).union(held))
      bytes += (await snapshots.diskUsage(chainId)) ?? 0;
    return bytes;
  }

  async #letGo(lease: Lease, { digest, chainId }: ImageLayer): Promise<void> {
    const { snapshots, retention, blobLocks } = this.#context;
    if (snapshots.tarSize(chainId) === undefined) return;
    // The same layer at another place of the image may be unpacked from it just now.
    using _only = await blobLocks.acquire(digest);
    lease.blobs.delete(digest);
    for (const blobs of this.#coming) blobs.delete(digest);
    await retention.dropBlob(digest);
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
        await this.#turns.run('room', () => this.#collect());
      } catch (err) {
        this.#context.log.warn('the disk could not be kept within its budget', { error: err });
      }
    }
    this.#running = undefined;
  }

  async #dropOldBlobs(): Promise<void> {
    const { blobsUnusedForMs } = this.#options();
    if (blobsUnusedForMs === undefined) return;
    const old = spareBlobs(this.#context).filter(({ lastMovedMs }) => Date.now() - lastMovedMs >= blobsUnusedForMs);
    let bytes = 0;
    for (const { digest } of old) bytes += await this.#context.retention.dropBlob(digest);
    if (bytes > 0) this.#tell(bytes, { cause: 'unused-blobs', blobs: String(old.length) });
  }

  async #collect(): Promise<void> {
    const budgetBytes = this.#options().totalBytes;
    if (budgetBytes === undefined) return;
    const usedBytes = await this.#shrinkTo(budgetBytes);
    if (usedBytes > budgetBytes) this.#context.log.warn('more is in use than the disk budget allows', { usedBytes, budgetBytes });
  }

  /** Lets go of what may go until it fits. Returns what is used then, with what is about to come. */
  async #shrinkTo(budgetBytes: number): Promise<number> {
    const before = await this.#neededBytes();
    let now = before;
    const removed: string[] = [];
    if (now > budgetBytes) {
      // Nobody has anything yet of what was interrupted, and is not gone on with.
      await this.#context.content.removeUnfinished(0, digest => !this.#isComing(digest));
      now = await this.#neededBytes();
      for (const candidate of now > budgetBytes ? await collectables(this.#context, this.#options().images, this.#caches()) : []) {
        if (now <= budgetBytes) break;
        try {
          await candidate.remove();
        } catch (err) {
          this.#context.log.debug('could not collect', { what: candidate.what, why: messageOf(err) });
          continue;
        }
        const after = await this.#neededBytes();
        if (after < now) removed.push(candidate.what);
        now = after;
      }
    }
    if (removed.length > 0) this.#tell(before - now, { cause: 'disk-budget', removed: String(removed.length) });
    this.#left = { budgetBytes, bytes: budgetBytes - now };
    return now;
  }

  #tell(bytes: number, attributes: Readonly<Record<string, string>>): void {
    this.#context.log.info('collected what was not used for longest', { bytes, ...attributes });
    this.#context.events.publish({ type: 'image', action: 'prune', actorId: '', attributes: { reclaimed: String(bytes), ...attributes } });
  }

  #isComing(digest: Digest): boolean {
    return [...this.#coming].some(blobs => blobs.has(digest));
  }

  /** What is there, and what is about to come. */
  async #neededBytes(): Promise<number> {
    const { content } = this.#context;
    const bytes = (await this.#usedBytes()) + (await this.#comingBytes());
    return this.#coming.size === 0 ? bytes : bytes - (await content.unfinishedUsage(digest => this.#isComing(digest)));
  }

  /** Of blobs that are not here yet, also where a part of them is. */
  async #comingBytes(): Promise<number> {
    const coming = new Map([...this.#coming].flatMap(blobs => [...blobs]));
    let bytes = 0;
    for (const [digest, sizeBytes] of coming) if ((await this.#context.content.info(digest)) === undefined) bytes += sizeBytes;
    return bytes;
  }

  async #usedBytes(): Promise<number> {
    const { content, snapshots } = this.#context;
    let bytes = await content.unfinishedUsage();
    for await (const { sizeBytes } of content.list()) bytes += sizeBytes;
    for (const { chainId } of snapshots.chains()) bytes += (await snapshots.diskUsage(chainId)) ?? 0;
    for (const cache of this.#caches()) bytes += await cache.ownBytes();
    return bytes;
  }
}
