import { notFound } from '#base/errors.ts';
import type { ChainId } from '#core/snapshots.ts';
import type { ImageExecConfig } from '#oci/image-config.ts';
import { formatPlatform, normalizePlatform, parsePlatform, platformRank } from '#oci/platform.ts';
import type { ImageContext } from './context.ts';

export interface ResolvedImage {
  readonly id: string;
  readonly config: ImageExecConfig;
  readonly os: string;
  readonly architecture: string;
  readonly chainId: ChainId | undefined;
}

/** What a container needs of the image that a name or id stands for. Rejects with NotFound, also when it is for another platform than asked. */
export async function resolveImage(context: ImageContext, nameOrId: string, platform: string | undefined): Promise<ResolvedImage> {
  const image = context.store.find(nameOrId);
  context.uses.note(image.id, 'used');
  const config = await context.store.config(image.id);
  const own = normalizePlatform(config);
  if (platform !== undefined && platform !== '') {
    const wanted = parsePlatform(platform, context.platform);
    if (platformRank(wanted, own) === undefined) {
      throw notFound(
        `image with reference ${nameOrId} was found but its platform (${formatPlatform(own)}) does not match the specified platform (${formatPlatform(wanted)})`,
      );
    }
  }
  return {
    id: image.id,
    config: config.config ?? {},
    os: config.os,
    architecture: config.architecture,
    chainId: image.layers.at(-1)?.chainId,
  };
}
