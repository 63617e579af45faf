import { statfs } from 'node:fs/promises';
import type { Digest } from '#oci/digest.ts';
import type { BuilderContext } from '../solver/session.ts';
import { type CacheEntry, type CacheParts, listCache } from './list.ts';

export interface PruneOptions {
  /** Also what images share; else only what nobody but the cache has. */
  readonly all: boolean;
  /** How much the cache may keep; what was used longest ago goes first. Undefined: nothing. */
  readonly room?: PruneRoom | undefined;
  /** By key; every one has to match. */
  readonly filters: PruneFilters;
}

/** Bounds of what the cache may keep, in bytes; 0: this bound is none. */
export interface PruneRoom {
  /** It is never made smaller than this. */
  readonly reservedBytes: number;
  readonly maxUsedBytes: number;
  /** So much of the disk has to be free, as far as the cache can help it. */
  readonly minFreeBytes: number;
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
  context: CacheParts & Pick<BuilderContext, 'images' | 'workDir'>,
  isOfImage: (chain: Digest) => boolean,
  options: PruneOptions,
): Promise<PruneResult> {
  const entries = await listCache(context, isOfImage);
  const free = options.room === undefined ? 0 : await freeBytes(context.workDir);
  const chosen = choose(entries, options, { nowMs: Date.now(), freeBytes: free });
  const blobs = new Set<Digest>();
  const chains = new Set<Digest>();
  const layers: [chain: Digest, sizeBytes: number][] = [];
  const ids: string[] = [];
  let reclaimedBytes = 0;
  for (const { id, handle, sizeBytes } of chosen) {
    if (handle.kind !== 'record') {
      const directories = handle.kind === 'mount' ? context.cacheMounts : context.keptContexts;
      if (!(await directories.remove(handle.name))) continue;
      reclaimedBytes += sizeBytes;
    } else {
      const layer = context.cache.get(handle.key)?.layer;
      context.cache.delete(handle.key);
      if (layer !== undefined && layer !== null) {
        blobs.add(layer.digest);
        chains.add(layer.chainId);
        layers.push([layer.chainId, sizeBytes]);
      }
    }
    ids.push(id);
  }
  if (chosen.length === entries.length) context.cache.forgetImageTimes();
  const released = await context.images.release(blobs, chains);
  // What the list said of a layer counts, if nobody else has it.
  const gone = await Promise.all(
    layers.map(async ([chain, bytes]) => ((await context.snapshots.diskUsage(chain)) === undefined ? bytes : 0)),
  );
  reclaimedBytes += Math.max(
    released,
    gone.reduce((sum, bytes) => sum + bytes, 0),
  );
  return { ids, reclaimedBytes };
}

async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

/** Which entries go, the longest unused first. */
export function choose(
  entries: readonly CacheEntry[],
  { all, room, filters }: PruneOptions,
  { nowMs, freeBytes: free }: { readonly nowMs: number; readonly freeBytes: number },
): CacheEntry[] {
  const candidates = entries
    .filter(entry => !entry.inUse && (all || !entry.shared) && matches(entry, filters, nowMs))
    .toSorted((a, b) => (a.lastUsedAt < b.lastUsedAt ? -1 : 1));
  if (room === undefined) return candidates;
  // What images have as well stays with them: it is not the cache that keeps it.
  let total = entries.reduce((sum, entry) => sum + (entry.shared ? 0 : entry.sizeBytes), 0);
  const kept = keptBytes(room, total, free);
  const chosen: CacheEntry[] = [];
  for (const entry of candidates) {
    if (total <= kept) break;
    chosen.push(entry);
    if (!entry.shared) total -= entry.sizeBytes;
  }
  return chosen;
}

/** How much may stay, of what there is and with this much of the disk free. */
function keptBytes({ reservedBytes, maxUsedBytes, minFreeBytes }: PruneRoom, totalBytes: number, free: number): number {
  const bounds: number[] = [];
  if (maxUsedBytes > 0) bounds.push(maxUsedBytes);
  if (minFreeBytes > 0) bounds.push(totalBytes - Math.max(0, minFreeBytes - free));
  return bounds.length === 0 ? reservedBytes : Math.max(reservedBytes, Math.min(...bounds));
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
