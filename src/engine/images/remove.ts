import { conflict } from '#base/errors.ts';
import { shortId } from '#base/id.ts';
import type { Platform } from '#oci/platform.ts';
import { parseReference, type Reference, repositoryOf, withDefaultTag, withDigest } from '#oci/reference.ts';
import type { ImageContext } from './context.ts';
import { conflictOf, deleteImage, findObstacle, type RemovedItem, untag } from './delete-image.ts';
import { labelsOf } from './image-events.ts';
import type { ImageRecord } from './model.ts';
import { platformImages, selectPlatform } from './platforms.ts';
import { settleIndexes } from './settle-indexes.ts';

export interface RemoveOptions {
  readonly force: boolean;
  /** Untagged parents go too. */
  readonly pruneParents: boolean;
  /** Only these of an image for several; undefined or empty: the image as a whole. */
  readonly platforms?: readonly Platform[];
}

/**
 * Takes a name away, and with the last one the image and what nothing else needs. By id: everything at once. Rejects with NotFound; with Conflict
 * while containers, children or more names stand in the way, before anything was changed.
 */
export async function removeImage(context: ImageContext, nameOrId: string, options: RemoveOptions): Promise<RemovedItem[]> {
  const { platforms = [] } = options;
  if (platforms.length > 0) return await removePlatforms(context, nameOrId, platforms, options);
  const { id } = context.store.find(nameOrId);
  const labels = await labelsOf(context, id);
  // From here on nothing waits until the image is forgotten: it cannot get a name or a container, or be added anew, between the look and the deed.
  const image = context.store.find(nameOrId);
  if (image.id !== id) return await removeImage(context, nameOrId, options);
  const refs = context.store.references(image.id);
  const removed: RemovedItem[] = [];
  let isUntagged = false;
  if (!context.store.isId(image, nameOrId)) {
    const [user] = context.users.usedBy(image.id);
    if (!options.force && isSingleName(refs) && user !== undefined) {
      throw conflict(
        `conflict: unable to remove repository reference "${nameOrId}" (must force) - container ${shortId(user.containerId)} is using its referenced image ${shortId(image.id)}`,
      );
    }
    const { name, digests } = namesToRemove(parseReference(nameOrId), refs);
    untag(context, image, labels, [name], removed);
    untag(context, image, labels, digests, removed, { quiet: true });
    if (context.store.references(image.id).length > 0) return removed;
    isUntagged = true;
  } else if (isSingleName(refs)) {
    const obstacle = findObstacle(context, image, { soft: !options.force, names: false });
    if (obstacle !== undefined) throw conflictOf(image, obstacle);
    untag(context, image, labels, refs, removed);
  }
  await deleteImage(context, image, labels, { ...options, quiet: isUntagged }, removed);
  // A name goes with all its platforms.
  await settleIndexes(context, removed);
  return removed;
}

/**
 * Removes single platforms of an image for several. The name stands for another one that is here then; with the last it goes. Rejects with NotFound when one
 * of them is not here, Conflict while a container needs it.
 */
async function removePlatforms(
  context: ImageContext,
  nameOrId: string,
  platforms: readonly Platform[],
  options: RemoveOptions,
): Promise<RemovedItem[]> {
  const chosen: ImageRecord[] = [];
  for (const platform of platforms) chosen.push(await selectPlatform(context, nameOrId, platform));
  const removed: RemovedItem[] = [];
  const others = platformImages(context, nameOrId).filter(image => !chosen.includes(image));
  const [next] = others;
  if (next === undefined) return await removeImage(context, nameOrId, { ...options, platforms: [] });
  for (const { id } of chosen) {
    const labels = await labelsOf(context, id);
    const image = context.store.get(id);
    if (image === undefined) continue;
    const obstacle = findObstacle(context, image, { soft: !options.force, names: false });
    if (obstacle !== undefined) throw conflictOf(image, obstacle);
    for (const ref of context.store.references(id)) context.store.put(next, [ref], context.store.indexOf(ref));
    await deleteImage(context, image, labels, { ...options, quiet: true }, removed);
  }
  return removed;
}

/** At most one tag, and everything else a digest of the same repository. */
function isSingleName(refs: readonly Reference[]): boolean {
  if (refs.length <= 1) return true;
  const repositories = new Set(refs.map(repositoryOf));
  return repositories.size === 1 && refs.filter(ref => ref.digest === undefined).length <= 1;
}

/** With a repository's last tag go its digests. */
function namesToRemove(asked: Reference, refs: readonly Reference[]): { readonly name: Reference; readonly digests: readonly Reference[] } {
  const name = asked.digest === undefined ? withDefaultTag(asked) : withDigest(asked, asked.digest);
  const sameRepository = refs.filter(ref => repositoryOf(ref) === repositoryOf(name));
  const others = sameRepository.filter(ref => ref.digest === undefined && ref.tag !== name.tag);
  if (name.digest !== undefined || others.length > 0) return { name, digests: [] };
  return { name, digests: sameRepository.filter(ref => ref.digest !== undefined) };
}
