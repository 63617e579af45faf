import { failpoint } from '#base/failpoint.ts';
import { type Digest, sha256 } from '#oci/digest.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import { type Descriptor, encodeManifest, mediaTypes, parseManifest } from '#oci/manifest.ts';
import { normalizePlatform, platformRank } from '#oci/platform.ts';
import { familiarString, type Reference } from '#oci/reference.ts';
import { addImage, type LayerSource } from './add-image.ts';
import type { RegistryContext } from './context.ts';
import { publishImageEvent } from './image-events.ts';
import type { ImageLayer, IndexRecord } from './model.ts';
import type { Lease } from './retention.ts';
import { settleIndexes } from './settle-indexes.ts';

export type Annotations = Readonly<Record<string, string>>;

/** One image of an index that was made here. */
export interface IndexedImage {
  readonly config: ImageConfigFile;
  /** Bottom first. */
  readonly layers: readonly ImageLayer[];
  readonly annotations: Annotations | undefined;
  /** Of its entry in the index. */
  readonly entryAnnotations: Annotations | undefined;
  /** What is said about the image, once its manifest is known: an entry of the index, and what that stands for. */
  attest(about: Descriptor): { readonly entry: Descriptor; readonly blobs: readonly Uint8Array[] } | undefined;
}

export interface NewIndex {
  readonly images: readonly IndexedImage[];
  /** At least one: an index without a name is kept by nobody. */
  readonly names: readonly Reference[];
  readonly annotations: Annotations | undefined;
}

export interface AddedIndex {
  /** The image that the names stand for: the best for this machine, or else the first. */
  readonly id: Digest;
  readonly index: Descriptor;
}

/** Records an index that was made here, with its images, and gives it names. */
export async function addIndex(
  context: RegistryContext,
  lease: Lease,
  { images, names, annotations }: NewIndex,
  source: LayerSource,
  signal: AbortSignal,
): Promise<AddedIndex> {
  const parts = await Promise.all(images.map(image => partOf(context, lease, image)));
  const statements = parts.flatMap(({ image, descriptor }) => image.attest(descriptor) ?? []);
  const entries = [...parts.map(({ descriptor }) => descriptor), ...statements.map(({ entry }) => entry)];
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: entries, ...(annotations !== undefined && { annotations }) };
  const bytes = new TextEncoder().encode(JSON.stringify(index, undefined, 2));
  const blobs: Digest[] = [];
  for (const blob of [bytes, ...statements.flatMap(statement => statement.blobs)]) blobs.push((await lease.put(blob)).digest);
  const record: IndexRecord = { digest: sha256(bytes), mediaType: mediaTypes.ociIndex, blobs, entries };
  const [main, ...others] = parts.toSorted((a, b) => rankOf(context, a.image) - rankOf(context, b.image));
  if (main === undefined) throw new TypeError('an index without images');
  const added = await addImage(context, lease, { ...main.newImage, names, index: record }, source, signal);
  failpoint('image.index.named');
  // After the name that has them: until then they would look as if nobody wanted them.
  for (const other of others) await addImage(context, lease, { ...other.newImage, names: [] }, source, signal);
  await settleIndexes(context);
  for (const name of names) await publishImageEvent(context, 'tag', added.id, { name: familiarString(name) });
  return { id: added.id, index: { mediaType: record.mediaType, digest: record.digest, size: bytes.length } };
}

const rankOf = ({ platform }: RegistryContext, { config }: IndexedImage): number =>
  platformRank(platform, normalizePlatform(config)) ?? Number.POSITIVE_INFINITY;

async function partOf(context: RegistryContext, lease: Lease, image: IndexedImage) {
  const configBytes = new TextEncoder().encode(JSON.stringify(image.config));
  const config = await lease.put(configBytes);
  const layers = image.layers.map(({ mediaType, digest, sizeBytes }) => ({ mediaType, digest, size: sizeBytes }));
  const known = context.store.get(config.digest);
  // What is recorded of an image is what its entry has to name.
  const isKept = known !== undefined && image.annotations === undefined;
  const manifestBytes = isKept
    ? await context.content.read(known.manifest)
    : encodeManifest({ digest: config.digest, size: config.sizeBytes }, layers, image.annotations);
  const { mediaType } = parseManifest(manifestBytes);
  const descriptor: Descriptor = {
    mediaType,
    digest: sha256(manifestBytes),
    size: manifestBytes.length,
    platform: normalizePlatform(image.config),
    ...(image.entryAnnotations !== undefined && { annotations: image.entryAnnotations }),
  };
  const newImage = { configBytes, config: image.config, manifestBytes, layers, replacesManifest: !isKept };
  return { image, descriptor, newImage };
}
