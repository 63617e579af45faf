import type { Digest } from '#oci/digest.ts';
import type { BuilderContext } from '../solver/session.ts';
import { listCache } from './list.ts';
import { pruneCache } from './prune.ts';

/** The cache as somebody sees it who looks for what could be done without. */
export interface ReclaimableCache {
  /** Bytes of the directories of cache mounts: everything else is layers. */
  ownBytes(): Promise<number>;
  candidates(): Promise<{ readonly lastUsedMs: number; readonly what: string; remove(): Promise<void> }[]>;
}

type Parts = Pick<BuilderContext, 'cache' | 'cacheMounts' | 'files' | 'images' | 'snapshots'>;

export const reclaimableCache = (context: Parts, isOfImage: (chain: Digest) => boolean): ReclaimableCache => ({
  async ownBytes() {
    const sizes = await Promise.all(context.cacheMounts.list().map(({ path }) => context.files.usage(path)));
    return sizes.reduce((sum, bytes) => sum + bytes, 0);
  },
  async candidates() {
    const entries = await listCache(context, isOfImage);
    return entries
      .filter(entry => !entry.inUse && !entry.shared)
      .map(({ id, description, lastUsedAt }) => ({
        lastUsedMs: Date.parse(lastUsedAt),
        what: `build cache ${id} (${description})`,
        remove: async () => void (await pruneCache(context, isOfImage, { all: false, reservedBytes: 0, filters: { ids: [id] } })),
      }));
  },
});
