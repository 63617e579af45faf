import { notFound } from '#base/errors.ts';
import { type Descriptor, isImageEntry, mediaTypes } from '#oci/manifest.ts';
import { formatPlatform, normalizePlatform, type Platform } from '#oci/platform.ts';
import type { ImageContext } from './context.ts';
import type { ImageRecord, IndexRecord } from './model.ts';

/** One entry of the index that an image came by, or the image's own manifest. */
export interface ManifestSummary {
  readonly descriptor: Descriptor;
  readonly kind: 'image' | 'attestation' | 'unknown';
  /** For an attestation: the manifest that it is about. */
  readonly about: string | undefined;
  /** Undefined when it is not here. */
  readonly image: { readonly record: ImageRecord; readonly platform: Platform; readonly containerIds: readonly string[] } | undefined;
  readonly isAvailable: boolean;
  /** Bytes of the blobs that are here. */
  readonly contentBytes: number;
}

/** The images that a name or id has here, one for each platform; the one that it stands for comes first. Rejects with NotFound. */
export function platformImages(context: ImageContext, nameOrId: string): readonly ImageRecord[] {
  const image = context.store.find(nameOrId);
  const index = context.store.indexFor(nameOrId);
  const others = index === undefined ? [] : context.store.members(index).filter(member => member.id !== image.id);
  return [image, ...others];
}

/**
 * The image for a platform; without one the image that the name or id stands for. Rejects with NotFound when there is none here for it.
 */
export async function selectPlatform(context: ImageContext, nameOrId: string, platform: Platform | undefined): Promise<ImageRecord> {
  const images = platformImages(context, nameOrId);
  if (platform === undefined) return images[0] as ImageRecord;
  const own: string[] = [];
  for (const image of images) {
    const has = await platformOf(context, image);
    const isMeant =
      has.os === platform.os &&
      has.architecture === platform.architecture &&
      (platform.variant === undefined || platform.variant === has.variant);
    if (isMeant) return image;
    own.push(formatPlatform(has));
  }
  throw notFound(
    `image with reference ${nameOrId} was found but does not provide the specified platform (${formatPlatform(platform)}): it is for ${own.join(', ')}`,
  );
}

export const platformOf = async (context: ImageContext, image: ImageRecord): Promise<Platform> =>
  normalizePlatform(await context.store.config(image.id));

/** What an image points at: its index, or its manifest. Undefined when the manifest's bytes are not here. */
export async function targetOf(context: ImageContext, image: ImageRecord, index: IndexRecord | undefined): Promise<Descriptor | undefined> {
  const digest = index?.digest ?? image.manifest;
  const info = await context.content.info(digest);
  if (info === undefined) return undefined;
  const isOci = image.layers.every(layer => !layer.mediaType.includes('docker'));
  return { mediaType: index?.mediaType ?? (isOci ? mediaTypes.ociManifest : mediaTypes.dockerManifest), digest, size: info.sizeBytes };
}

/** The manifests of an image: the entries of its index, or its own alone. */
export async function summarizeManifests(
  context: ImageContext,
  image: ImageRecord,
  index: IndexRecord | undefined,
): Promise<ManifestSummary[]> {
  const own = await targetOf(context, image, undefined);
  const entries = index?.entries ?? (own === undefined ? [] : [own]);
  const members = index === undefined ? [image] : context.store.members(index);
  return await Promise.all(
    entries.map(async (descriptor): Promise<ManifestSummary> => {
      const record = members.find(member => member.manifest === descriptor.digest);
      const about = descriptor.annotations?.['vnd.docker.reference.digest'];
      const isAttestation = descriptor.annotations?.['vnd.docker.reference.type'] === 'attestation-manifest';
      const kind = isAttestation ? 'attestation' : isImageEntry(descriptor) ? 'image' : 'unknown';
      const blobs = record === undefined ? [descriptor.digest] : [record.id, record.manifest, ...record.layers.map(layer => layer.digest)];
      let contentBytes = 0;
      for (const digest of new Set(blobs)) contentBytes += (await context.content.info(digest))?.sizeBytes ?? 0;
      const isAvailable =
        record !== undefined || (kind !== 'image' && (index?.blobs.includes(descriptor.digest) ?? false) && contentBytes > 0);
      const details = record && {
        record,
        platform: await platformOf(context, record),
        containerIds: context.users.usedBy(record.id).map(user => user.containerId),
      };
      return { descriptor, kind, about: isAttestation ? about : undefined, image: details, isAvailable, contentBytes };
    }),
  );
}
