import { conflict } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { shortId } from '#base/id.ts';
import type { ChainId } from '#core/snapshots.ts';
import type { Digest } from '#oci/digest.ts';
import { familiarString, type Reference } from '#oci/reference.ts';
import type { ImageContext } from './context.ts';
import { type Labels, labelsOf, publishLabelled } from './image-events.ts';
import type { ImageRecord } from './model.ts';

export type RemovedItem = { readonly untagged: string } | { readonly deleted: string };

export interface DeleteOptions {
  readonly force: boolean;
  /** Untagged parents go too. */
  readonly pruneParents: boolean;
  /** The name is gone already, so an image that is still used just stays, without one. */
  readonly quiet: boolean;
}

/** Takes these names away. Quiet: without events. */
export function untag(
  context: ImageContext,
  image: ImageRecord,
  labels: Labels,
  names: readonly Reference[],
  removed: RemovedItem[],
  options: Pick<DeleteOptions, 'quiet'> = { quiet: false },
): void {
  for (const name of names) {
    context.store.removeName(name);
    failpoint('image.remove.untagged');
    removed.push({ untagged: familiarString(name) });
    if (!options.quiet) publishLabelled(context, 'untag', image.id, labels);
  }
}

export interface Obstacle {
  readonly reason: string;
  readonly canForce: boolean;
  readonly isUse: boolean;
}

/** What forbids deleting an image: running containers and children always, names and stopped containers unless forced. */
export function findObstacle(context: ImageContext, image: ImageRecord, check: { soft: boolean; names: boolean }): Obstacle | undefined {
  const users = context.users.usedBy(image.id);
  const running = users.find(user => user.running);
  if (context.store.all().some(other => other.parent === image.id)) {
    return { reason: 'image has dependent child images', canForce: false, isUse: false };
  }
  if (running !== undefined) {
    return { reason: `image is being used by running container ${shortId(running.containerId)}`, canForce: false, isUse: true };
  }
  if (!check.soft) return undefined;
  if (check.names && context.store.references(image.id).length > 0) {
    return { reason: 'image is referenced in multiple repositories', canForce: true, isUse: false };
  }
  const stopped = users[0];
  if (stopped === undefined) return undefined;
  return { reason: `image is being used by stopped container ${shortId(stopped.containerId)}`, canForce: true, isUse: true };
}

export const conflictOf = (image: ImageRecord, { reason, canForce }: Obstacle): Error =>
  conflict(`conflict: unable to delete ${shortId(image.id)} (${canForce ? 'must be forced' : 'cannot be forced'}) - ${reason}`);

/** The record is the store's of this moment; it is forgotten before anything waits. */
export async function deleteImage(
  context: ImageContext,
  image: ImageRecord,
  labels: Labels,
  options: DeleteOptions,
  removed: RemovedItem[],
): Promise<void> {
  const obstacle = findObstacle(context, image, { soft: !options.force, names: true });
  if (obstacle !== undefined) {
    if (options.quiet) return;
    throw conflictOf(image, obstacle);
  }
  untag(context, image, labels, context.store.references(image.id), removed);
  publishLabelled(context, 'delete', image.id, labels);
  context.store.remove(image.id);
  context.uses.forget(image.id);
  failpoint('image.remove.forgotten');
  removed.push({ deleted: image.id });
  const blobs = new Set<Digest>([image.id, image.manifest, ...image.layers.map(layer => layer.digest)]);
  const chains = new Set<ChainId>(image.layers.map(layer => layer.chainId));
  await context.retention.release(blobs, chains);
  // Uppermost first, as far as they went.
  for (const { chainId } of image.layers.toReversed()) if (!context.snapshots.has(chainId)) removed.push({ deleted: chainId });
  if (image.parent === undefined) return;
  const parentLabels = await labelsOf(context, image.parent);
  const parent = context.store.get(image.parent);
  if (!options.pruneParents || parent === undefined || context.store.references(parent.id).length > 0) return;
  await deleteImage(context, parent, parentLabels, { force: false, pruneParents: true, quiet: true }, removed);
}
