import type { Digest } from '#oci/digest.ts';
import type { ImageContext } from './context.ts';
import type { ImageRecord } from './model.ts';

/** What images take on the disk: their unpacked layers with everything beside them, and the blobs that are kept, and what interrupted pulls left. As `du` counts it. */
export interface ImageDiskUsage {
  /** Everything once. */
  readonly totalBytes: number;
  /** Of one image; `sharedBytes` are those that other images have as well. */
  of(image: ImageRecord): { readonly totalBytes: number; readonly sharedBytes: number };
  /** Of several, each thing once. */
  together(images: readonly ImageRecord[]): number;
}

export async function imageDiskUsage(context: ImageContext): Promise<ImageDiskUsage> {
  const sizes = new Map<string, number>();
  const users = new Map<string, number>();
  const parts = new Map<string, ReadonlySet<string>>();
  for (const image of context.store.all()) {
    const blobs = blobsOf(context, image);
    const own = new Set([...image.layers.map(({ chainId }) => `layer ${chainId}`), ...blobs.map(digest => `blob ${digest}`)]);
    parts.set(image.id, own);
    for (const part of own) users.set(part, (users.get(part) ?? 0) + 1);
    for (const { chainId } of image.layers)
      if (!sizes.has(`layer ${chainId}`)) sizes.set(`layer ${chainId}`, (await context.snapshots.diskUsage(chainId)) ?? 0);
    for (const digest of blobs)
      if (!sizes.has(`blob ${digest}`)) sizes.set(`blob ${digest}`, (await context.content.diskUsage(digest)) ?? 0);
  }
  const sum = (keys: Iterable<string>): number => [...keys].reduce((bytes, key) => bytes + (sizes.get(key) ?? 0), 0);
  const unfinishedBytes = await context.content.unfinishedUsage();
  return {
    totalBytes: sum(sizes.keys()) + unfinishedBytes,
    of(image) {
      const own = parts.get(image.id) ?? new Set<string>();
      return { totalBytes: sum(own), sharedBytes: sum([...own].filter(part => (users.get(part) ?? 0) > 1)) };
    },
    together: images => sum(new Set(images.flatMap(image => [...(parts.get(image.id) ?? [])]))),
  };
}

/** With those of the indexes that its names have. */
const blobsOf = (context: ImageContext, image: ImageRecord): Digest[] => [
  image.id,
  image.manifest,
  ...image.layers.map(layer => layer.digest),
  ...context.store.references(image.id).flatMap(ref => context.store.indexOf(ref)?.blobs ?? []),
];
