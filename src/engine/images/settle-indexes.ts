import type { ImageContext } from './context.ts';
import { labelsOf } from './image-events.ts';
import { deleteImage, type RemovedItem } from './delete-image.ts';

/**
 * Lets go of what indexes held that no name has any more: their own blobs, and for a removal the images of other platforms that only they held. One that a
 * container uses stays, without a name.
 */
export async function settleIndexes(context: ImageContext, removed?: RemovedItem[]): Promise<void> {
  for (const index of context.store.takeDroppedIndexes()) {
    for (const { id } of removed === undefined ? [] : context.store.members(index)) {
      const labels = await labelsOf(context, id);
      const image = context.store.get(id);
      if (image === undefined || context.store.references(id).length > 0 || context.store.isMember(image)) continue;
      await deleteImage(context, image, labels, { force: false, pruneParents: true, quiet: true }, removed ?? []);
    }
    await context.retention.release(new Set(index.blobs), new Set());
  }
}
