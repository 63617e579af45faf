import type { PruneRequest, UsageRecord } from '#api/buildkit/messages.ts';
import { type CacheEntry, isMutable } from '#builder/cache/list.ts';
import type { PruneOptions } from '#builder/cache/prune.ts';
import { roomOf } from '../translate/build.ts';
import { type Fields, parseFilters } from './filters.ts';
import { toTimestamp } from './progress.ts';

/** What the cache of builds keeps, as clients list it. */
export function toUsageRecord(entry: CacheEntry): UsageRecord {
  return {
    ID: entry.id,
    Mutable: isMutable(entry),
    InUse: entry.inUse,
    Size: entry.sizeBytes,
    CreatedAt: toTimestamp(Date.parse(entry.createdAt)),
    LastUsedAt: toTimestamp(Date.parse(entry.lastUsedAt)),
    UsageCount: entry.usageCount,
    Description: entry.description,
    RecordType: entry.type,
    Shared: entry.shared,
    Parents: entry.parents,
  };
}

const fieldsOf = (entry: CacheEntry): Fields => ({
  id: entry.id,
  description: entry.description,
  type: entry.type,
  inuse: String(entry.inUse),
  mutable: String(isMutable(entry)),
  immutable: String(!isMutable(entry)),
  shared: String(entry.shared),
  private: String(!entry.shared),
});

/** Reads filters of entries. Rejects with InvalidArgument. */
export function entryFilter(filters: readonly string[]): (entry: CacheEntry) => boolean {
  const matches = parseFilters(filters);
  return entry => matches(fieldsOf(entry));
}

export function pruneOptions({ all, filter, keepDuration, reservedSpace, maxUsedSpace, minFreeSpace }: PruneRequest): PruneOptions {
  const matches = entryFilter(filter);
  return {
    all,
    room: roomOf({ reservedBytes: reservedSpace, maxUsedBytes: maxUsedSpace, minFreeBytes: minFreeSpace }),
    filters: { ...(keepDuration > 0 && { unusedForMs: keepDuration / 1e6 }), ...(filter.some(text => text !== '') && { matches }) },
  };
}
