import type { Digest } from '#oci/digest.ts';
import type { BuilderContext } from '../solver/session.ts';
import { type CacheParts, listCache } from './list.ts';
import { pruneCache } from './prune.ts';

/** The cache as somebody sees it who looks for what could be done without. */
export interface ReclaimableCache {
  /** Bytes of the directories of cache mounts and of clients' files: everything else is layers. */
  ownBytes(): Promise<number>;
  candidates(): Promise<{ readonly lastUsedMs: number; readonly what: string; remove(): Promise<void> }[]>;
}

type Parts = CacheParts & Pick<BuilderContext, 'images' | 'workDir'>;

export const reclaimableCache = (context: Parts, isOfImage: (chain: Digest) => boolean): ReclaimableCache => ({
  async ownBytes() {
    const directories = [...context.cacheMounts.list(), ...context.keptContexts.list()];
    const sizes = await Promise.all(directories.map(({ path }) => context.files.usage(path)));
    return sizes.reduce((sum, bytes) => sum + bytes, 0);
  },
  async candidates() {
    const entries = await listCache(context, isOfImage);
    return entries
      .filter(entry => !entry.inUse && !entry.shared)
      .map(({ id, description, lastUsedAt }) => ({
        lastUsedMs: Date.parse(lastUsedAt),
        what: `build cache ${id} (${description})`,
        remove: async () => void (await pruneCache(context, isOfImage, { all: false, filters: { ids: [id] } })),
      }));
  },
});
