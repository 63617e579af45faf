import { type EngineError, resourceExhausted } from '#base/errors.ts';
import { formatBytes } from '#base/size.ts';
import { familiarString } from '#oci/reference.ts';
import type { ImageContext } from './context.ts';
import { type ImageDiskUsage, imageDiskUsage } from './disk-usage.ts';
import type { ImageRecord } from './model.ts';

export interface Shortage {
  readonly budgetBytes: number;
  /** What would be there at the least, with what is about to come. */
  readonly neededBytes: number;
  /** What is there. */
  readonly usedBytes: number;
  /** How many images may go, but were used a moment ago. */
  readonly fresh: number;
}

const shownImages = 3;

/** Says how much there may be, how much there is, what of it stays and why, and what would make room. */
export async function refuse(context: ImageContext, { budgetBytes, neededBytes, usedBytes, fresh }: Shortage): Promise<EngineError> {
  const usage = await imageDiskUsage(context);
  const images = context.store.all();
  const needed = images.filter(({ id }) => context.users.usedBy(id).length > 0);
  const unneeded = images.filter(image => !needed.includes(image));
  const [neededImages, allImages] = [usage.together(needed), usage.together(images)];
  const parts = [
    [neededImages, 'in images that containers use'],
    [allImages - neededImages, `in images that no container uses${namesOf(context, unneeded, usage)}`],
    [Math.max(usedBytes - allImages, 0), 'in the build cache and in what is being done'],
  ] as const;
  const uses = parts.flatMap(([bytes, what]) => (bytes === 0 ? [] : [`${formatBytes(bytes)} ${what}`]));
  return resourceExhausted(
    `no room in the disk budget of ${formatBytes(budgetBytes)}: with this it would be ${formatBytes(neededBytes)}, even without all that may go by itself. ` +
      `In use are ${formatBytes(Math.max(usedBytes, allImages))}${uses.length === 0 ? '' : `: ${uses.join(', ')}`}. ` +
      `${fresh === 0 ? '' : `Images used within the last minute (${String(fresh)}) stay until it is over. `}` +
      `To make room, remove images ("image rm", "image prune --all") or build cache ("builder prune"), let more go by itself with "disk-budget-images", or raise "disk-budget"`,
  );
}

/** The largest. */
function namesOf(context: ImageContext, images: readonly ImageRecord[], usage: ImageDiskUsage): string {
  const own = (image: ImageRecord): number => usage.of(image).totalBytes - usage.of(image).sharedBytes;
  const named = images
    .toSorted((a, b) => own(b) - own(a))
    .flatMap(image => context.store.references(image.id).find(ref => ref.tag !== undefined) ?? []);
  if (named.length === 0) return '';
  const more = named.length > shownImages ? ', …' : '';
  return ` (${named.slice(0, shownImages).map(familiarString).join(', ')}${more})`;
}
