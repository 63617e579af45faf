import type { Digest } from '#oci/digest.ts';
import type { BuilderContext } from '../solver/session.ts';
import { type CacheEntry, listCache } from './list.ts';

export interface PruneOptions {
  /** Also what images share; else only what nobody but the cache has. */
  readonly all: boolean;
  /** The cache may keep this much: what was used longest ago goes first. 0: it keeps nothing. */
  readonly reservedBytes: number;
  /** By key; every one has to match. */
  readonly filters: PruneFilters;
}

export interface PruneFilters {
  /** Not used for this long. */
  readonly unusedForMs?: number;
  readonly ids?: readonly string[];
  readonly parents?: readonly string[];
  readonly types?: readonly string[];
  readonly descriptions?: readonly string[];
  readonly inUse?: boolean;
  readonly shared?: boolean;
  readonly isPrivate?: boolean;
  readonly matches?: (entry: CacheEntry) => boolean;
}

export interface PruneResult {
  readonly ids: readonly string[];
  readonly reclaimedBytes: number;
}

/** Removes what is not in use. */
export async function pruneCache(
  context: Pick<BuilderContext, 'cache' | 'cacheMounts' | 'files' | 'images' | 'snapshots'>,
  isOfImage: (chain: Digest) => boolean,
  options: PruneOptions,
): Promise<PruneResult> {
  const entries = await listCache(context, isOfImage);
  const chosen = choose(entries, options, Date.now());
  const blobs = new Set<Digest>();
  const chains = new Set<Digest>();
  const ids: string[] = [];
  let reclaimedBytes = 0;
  for (const { id, handle, sizeBytes } of chosen) {
    if (handle.kind === 'mount') {
      if (!(await context.cacheMounts.remove(handle.name))) continue;
      reclaimedBytes += sizeBytes;
    } else {
      const layer = context.cache.get(handle.key)?.layer;
      context.cache.delete(handle.key);
      if (layer !== undefined && layer !== null) {
        blobs.add(layer.digest);
        chains.add(layer.chainId);
      }
    }
    ids.push(id);
  }
  if (chosen.length === entries.length) context.cache.forgetImageTimes();
  reclaimedBytes += await context.images.release(blobs, chains);
  return { ids, reclaimedBytes };
}

/** Which entries go, the longest unused first. */
export function choose(entries: readonly CacheEntry[], { all, reservedBytes, filters }: PruneOptions, nowMs: number): CacheEntry[] {
  const candidates = entries
    .filter(entry => !entry.inUse && (all || !entry.shared) && matches(entry, filters, nowMs))
    .toSorted((a, b) => (a.lastUsedAt < b.lastUsedAt ? -1 : 1));
  if (reservedBytes <= 0) return candidates;
  // What images have as well stays with them: it is not the cache that keeps it.
  let total = entries.reduce((sum, entry) => sum + (entry.shared ? 0 : entry.sizeBytes), 0);
  const chosen: CacheEntry[] = [];
  for (const entry of candidates) {
    if (total <= reservedBytes) break;
    chosen.push(entry);
    if (!entry.shared) total -= entry.sizeBytes;
  }
  return chosen;
}

function matches(entry: CacheEntry, filters: PruneFilters, nowMs: number): boolean {
  const { unusedForMs, ids, parents, types, descriptions, inUse, shared, isPrivate } = filters;
  return (
    (unusedForMs === undefined || nowMs - Date.parse(entry.lastUsedAt) >= unusedForMs) &&
    (ids === undefined || ids.some(id => entry.id.startsWith(id))) &&
    (parents === undefined || entry.parents.some(parent => parents.some(id => parent.startsWith(id)))) &&
    (types === undefined || types.includes(entry.type)) &&
    (descriptions === undefined || descriptions.some(text => entry.description.includes(text))) &&
    (inUse === undefined || entry.inUse === inUse) &&
    (shared === undefined || entry.shared === shared) &&
    (isPrivate === undefined || entry.shared !== isPrivate) &&
    (filters.matches?.(entry) ?? true)
  );
}
