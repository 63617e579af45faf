import type { Digest } from '#oci/digest.ts';
import type { BuilderContext } from '../solver/session.ts';

export type CacheEntryType = 'regular' | 'exec.cachemount' | 'source.local';

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
  readonly handle: { readonly kind: 'record'; readonly key: string } | { readonly kind: 'mount' | 'context'; readonly name: string };
}

/** What the cache is made of. */
export type CacheParts = Pick<BuilderContext, 'cache' | 'cacheMounts' | 'keptContexts' | 'files' | 'snapshots'>;

/** Whether the files of an entry may still change. */
export const isMutable = ({ type }: Pick<CacheEntry, 'type'>): boolean => type !== 'regular';

export async function listCache(
  { cache, cacheMounts, keptContexts, files, snapshots }: CacheParts,
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
  const directories = [
    ...cacheMounts
      .list()
      .map(kept => ({ ...kept, kind: 'mount', type: 'exec.cachemount', description: `cached mount ${kept.record.id}` }) as const),
    ...keptContexts
      .list()
      .map(kept => ({ ...kept, kind: 'context', type: 'source.local', description: `local source for ${kept.record.what}` }) as const),
  ];
  const others = await Promise.all(
    directories.map(
      async ({ name, path, isInUse, record, kind, type, description }): Promise<CacheEntry> => ({
        id: idOfDirectory(name),
        parents: [],
        type,
        description,
        inUse: isInUse,
        shared: false,
        sizeBytes: await files.usage(path),
        createdAt: record.createdAt,
        lastUsedAt: record.lastUsedAt,
        usageCount: record.usageCount,
        handle: { kind, name },
      }),
    ),
  );
  return [...steps, ...others];
}

/** Short, and still another one for the second directory of the same thing (`<name>-1`). */
function idOfDirectory(name: string): string {
  const [base = '', number = ''] = name.split('-');
  return number === '' ? base.slice(0, 25) : `${base.slice(0, 24 - number.length)}n${number}`;
}
