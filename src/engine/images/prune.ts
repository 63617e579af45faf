import { conflict, invalidArgument } from '#base/errors.ts';
import { parseTimestamp } from '#base/timestamp.ts';
import type { ImageContext } from './context.ts';
import { checkFilters, createdAt, type Filters, matchesLabels, parseBoolean } from './filters.ts';
import { settleIndexes } from './settle-indexes.ts';
import { deleteImage, type RemovedItem } from './delete-image.ts';

export interface PruneReport {
  readonly removed: readonly RemovedItem[];
  readonly reclaimedBytes: number;
}

/** Removes unused images: by default those without a tag, with `dangling=false` every one that no container uses. One at a time. */
export class ImagePruner {
  readonly #context: ImageContext;
  #isRunning = false;

  constructor(context: ImageContext) {
    this.#context = context;
  }

  /** Rejects with Conflict while another prune runs, InvalidArgument for bad filters. */
  async prune(filters: Filters, signal: AbortSignal): Promise<PruneReport> {
    checkFilters(filters, ['dangling', 'label', 'label!', 'until']);
    const [danglingText = 'true', ...moreDangling] = filters.dangling ?? [];
    const [untilText, ...moreUntil] = filters.until ?? [];
    if (moreDangling.length > 0 || moreUntil.length > 0)
      throw invalidArgument("invalid filter: 'dangling' and 'until' take one value each");
    const onlyDangling = parseBoolean(danglingText);
    const until = untilText === undefined ? undefined : new Date(parseTimestamp(untilText, Date.now()));
    if (this.#isRunning) throw conflict('a prune operation is already running');
    this.#isRunning = true;
    try {
      return await this.#prune(filters, onlyDangling, until, signal);
    } finally {
      this.#isRunning = false;
    }
  }

  async #prune(filters: Filters, onlyDangling: boolean, until: Date | undefined, signal: AbortSignal): Promise<PruneReport> {
    const context = this.#context;
    const removed: RemovedItem[] = [];
    // Interrupted downloads have no labels and no date to be chosen by.
    const isFiltered = until !== undefined || (filters.label ?? []).length > 0 || (filters['label!'] ?? []).length > 0;
    let reclaimedBytes = isFiltered ? 0 : await context.content.removeUnfinished(0);
    for (const { id } of context.store.all()) {
      signal.throwIfAborted();
      if (context.store.get(id) === undefined) continue;
      const config = await context.store.config(id).catch((err: unknown) => {
        if (context.store.get(id) === undefined) return undefined;
        throw err;
      });
      // Others may have removed it meanwhile, or added it anew.
      const image = context.store.get(id);
      if (image === undefined || config === undefined) continue;
      const isTagged = context.store.references(image.id).some(ref => ref.tag !== undefined);
      const isMember = context.store.isMember(image) && !isTagged;
      if (isMember || (onlyDangling && isTagged) || context.users.usedBy(image.id).length > 0) continue;
      if (until !== undefined && createdAt(config) >= until) continue;
      const labels = config.config?.Labels ?? {};
      if (!matchesLabels(filters, labels)) continue;
      const chains = image.layers.map(layer => layer.chainId);
      const before = new Map(chains.map(chain => [chain, context.snapshots.layerSize(chain) ?? 0]));
      await deleteImage(context, image, labels, { force: true, pruneParents: true, quiet: true }, removed);
      for (const [chain, size] of before) if (!context.snapshots.has(chain)) reclaimedBytes += size;
    }
    await settleIndexes(context, removed);
    context.events.publish({ type: 'image', action: 'prune', actorId: '', attributes: { reclaimed: String(reclaimedBytes) } });
    return { removed, reclaimedBytes };
  }
}
