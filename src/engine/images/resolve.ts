import { notFound } from '#base/errors.ts';
import type { ChainId } from '#core/snapshots.ts';
import type { ImageExecConfig } from '#oci/image-config.ts';
import { formatPlatform, parsePlatform, type Platform, platformRank } from '#oci/platform.ts';
import type { ImageContext } from './context.ts';
import type { ImageRecord } from './model.ts';
import { platformImages, platformOf } from './platforms.ts';

export interface ResolvedImage {
  readonly id: string;
  readonly config: ImageExecConfig;
  readonly os: string;
  readonly architecture: string;
  readonly chainId: ChainId | undefined;
}

/** What a container needs of the image that a name or id stands for. Rejects with NotFound, also when it is for another platform than asked. */
export async function resolveImage(context: ImageContext, nameOrId: string, platform: string | undefined): Promise<ResolvedImage> {
  const images = platformImages(context, nameOrId);
  let [image] = images as [ImageRecord];
  if (platform !== undefined && platform !== '') {
    const wanted = parsePlatform(platform, context.platform);
    const best = await bestFor(context, images, wanted);
    if (best === undefined) {
      const own = await platformOf(context, image);
      throw notFound(
        `image with reference ${nameOrId} was found but its platform (${formatPlatform(own)}) does not match the specified platform (${formatPlatform(wanted)})`,
      );
    }
    image = best;
  }
  context.uses.note(image.id, 'used');
  const config = await context.store.config(image.id);
  return {
    id: image.id,
    config: config.config ?? {},
    os: config.os,
    architecture: config.architecture,
    chainId: image.layers.at(-1)?.chainId,
  };
}

async function bestFor(context: ImageContext, images: readonly ImageRecord[], wanted: Platform): Promise<ImageRecord | undefined> {
  let best: { readonly image: ImageRecord; readonly rank: number } | undefined;
  for (const image of images) {
    const rank = platformRank(wanted, await platformOf(context, image));
    if (rank !== undefined && (best === undefined || rank < best.rank)) best = { image, rank };
  }
  return best?.image;
}
