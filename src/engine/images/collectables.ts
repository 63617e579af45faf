import type { ChainId } from '#core/snapshots.ts';
import type { Digest } from '#oci/digest.ts';
import type { RegistryContext } from './context.ts';
import { deleteImage } from './delete-image.ts';
import { labelsOf } from './image-events.ts';
import type { ImageRecord } from './model.ts';
import type { Reclaimable } from './ports.ts';
import { settleIndexes } from './settle-indexes.ts';

/**
 * Which images may go when they are unused: those without a tag, or tagged ones too whose layers a registry is known to have, or all. Those with
 * containers never go, running or not.
 */
export type CollectableImages = 'untagged' | 'pulled' | 'unused';

/** Whoever has just fetched an image is about to use it. */
export const graceMs = 60_000;

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

/** What of all that is stored may go at the moment, in the order in which it goes. */
export async function collectables(
  context: RegistryContext,
  images: CollectableImages,
  caches: readonly Reclaimable[],
): Promise<Candidate[]> {
  const cached = await Promise.all(caches.map(cache => cache.candidates()));
  return inOrder([
    ...spareBlobs(context).map(
      ({ digest, lastMovedMs }): Candidate => ({
        rank: 0,
        lastUsedMs: lastMovedMs,
        what: `blob ${digest}`,
        remove: async () => void (await context.retention.dropBlob(digest)),
      }),
    ),
    ...cached.flat().map((each): Candidate => ({ ...each, rank: 1 })),
    ...imageCandidates(context, images),
  ]);
}

/** Layers that stay whatever has to go: those of images that may not. */
export function stayingLayers(context: RegistryContext, images: CollectableImages): Set<ChainId> {
  const staying = context.store.all().filter(image => rankOf(context, images, image) === undefined);
  return new Set([...staying, ...freshImages(context, images)].flatMap(image => image.layers.map(layer => layer.chainId)));
}

/** Images that may go, but not yet. */
export function freshImages(context: RegistryContext, images: CollectableImages): ImageRecord[] {
  const newest = Date.now() - graceMs;
  return context.store.all().filter(image => rankOf(context, images, image) !== undefined && context.uses.usedAt(image) > newest);
}

/** Blobs that nothing would be lost without, by the last move of an image that has them. */
export function spareBlobs({ store, snapshots, uses }: RegistryContext): { readonly digest: Digest; readonly lastMovedMs: number }[] {
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

function imageCandidates(context: RegistryContext, images: CollectableImages): Candidate[] {
  const newest = Date.now() - graceMs;
  return context.store.all().flatMap((image): Candidate[] => {
    const rank = rankOf(context, images, image);
    const lastUsedMs = context.uses.usedAt(image);
    if (rank === undefined || lastUsedMs > newest) return [];
    return [{ rank, lastUsedMs, what: `image ${image.id}`, remove: () => removeImage(context, images, image) }];
  });
}

/** Undefined: it stays. */
function rankOf({ store, users, sources }: RegistryContext, images: CollectableImages, image: ImageRecord): 1 | 2 | undefined {
  if (users.usedBy(image.id).length > 0) return undefined;
  if (store.references(image.id).every(ref => ref.tag === undefined) && !store.isMember(image)) return 1;
  if (images === 'unused') return 2;
  return images === 'pulled' && image.layers.every(layer => sources.find(layer.diffId) !== undefined) ? 2 : undefined;
}

async function removeImage(context: RegistryContext, images: CollectableImages, { id }: ImageRecord): Promise<void> {
  const { store, uses } = context;
  const labels = await labelsOf(context, id);
  // From here on nothing waits until the image is forgotten: nobody can begin to use it in between.
  const image = store.get(id);
  if (image === undefined || rankOf(context, images, image) === undefined || Date.now() - uses.usedAt(image) < graceMs) return;
  await deleteImage(context, image, labels, { force: true, pruneParents: false, quiet: true }, []);
  await settleIndexes(context);
}
