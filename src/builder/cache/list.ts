import type { Digest } from '#oci/digest.ts';
import type { BuilderContext } from '../solver/session.ts';

export type CacheEntryType = 'regular' | 'exec.cachemount';

/** One thing that the cache of builds keeps. */
export interface CacheEntry {
  readonly id: string;
  readonly parents: readonly string[];
  readonly type: CacheEntryType;
  readonly description: string;
  readonly inUse: boolean;
  /** Images have the same layer: removing it frees nothing. */
  readonly shared: boolean;
  /** On the disk. */
  readonly sizeBytes: number;
  readonly createdAt: string;
  readonly lastUsedAt: string;
  readonly usageCount: number;
  /** By what it is removed. */
  readonly handle: { readonly kind: 'record'; readonly key: string } | { readonly kind: 'mount'; readonly name: string };
}

export async function listCache(
  { cache, cacheMounts, files, snapshots }: Pick<BuilderContext, 'cache' | 'cacheMounts' | 'files' | 'snapshots'>,
  isOfImage: (chain: Digest) => boolean,
): Promise<CacheEntry[]> {
  const records = cache.all();
  const byChain = new Map(records.flatMap(({ record }) => (record.layer === null ? [] : [[record.layer.chainId, record.id] as const])));
  const steps = await Promise.all(
    records.map(async ({ key, record }): Promise<CacheEntry> => {
      const { id, description, createdAt, lastUsedAt, usageCount, layer, parentChain } = record;
      const parent = parentChain === null ? undefined : byChain.get(parentChain);
      return {
        id,
        parents: parent === undefined ? [] : [parent],
        type: 'regular',
        description,
        inUse: cache.isInUse(key),
        shared: layer !== null && isOfImage(layer.chainId),
        sizeBytes: layer === null ? 0 : ((await snapshots.diskUsage(layer.chainId)) ?? 0),
        createdAt,
        lastUsedAt,
        usageCount,
        handle: { kind: 'record', key },
      };
    }),
  );
  const mounts = await Promise.all(
    cacheMounts.list().map(
      async ({ name, path, isInUse, record }): Promise<CacheEntry> => ({
        id: name.slice(0, 25),
        parents: [],
        type: 'exec.cachemount',
        description: `cached mount ${record.id}`,
        inUse: isInUse,
        shared: false,
        sizeBytes: await files.usage(path),
        createdAt: record.createdAt,
        lastUsedAt: record.lastUsedAt,
        usageCount: record.usageCount,
        handle: { kind: 'mount', name },
      }),
    ),
  );
  return [...steps, ...mounts];
}
