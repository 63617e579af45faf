import { dataLoss } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { PendingLayer } from '#core/snapshots.ts';
import { chainIds, type Digest, sha256 } from '#oci/digest.ts';
import type { Platform } from '#oci/platform.ts';
import { familiarString, type Reference } from '#oci/reference.ts';
import { addImage, checkDiffId, diffIdsOf } from './add-image.ts';
import { readImageArchive } from './archive.ts';
import { type ArchiveImage, listArchiveImages } from './archive-images.ts';
import type { ImageContext } from './context.ts';
import { publishImageEvent } from './image-events.ts';
import { layerInput } from './layer-tar.ts';
import type { ImageLayer, ImageRecord, Report } from './model.ts';
import { settleIndexes } from './settle-indexes.ts';
import { progressMeter } from './progress.ts';
import type { Lease } from './retention.ts';

export interface LoadOptions {
  /** What to take of images for several platforms; none: all that the archive has. Of other images: they must be for one of them. */
  readonly platforms: readonly Platform[];
  /** No progress, only results. */
  readonly quiet: boolean;
}

/**
 * Takes in the images of an archive (docker save of any age, or an OCI layout; compressed or not). All of them are checked before the first is
 * recorded; when something is wrong with the archive nothing of it stays.
 */
export async function loadImages(
  context: ImageContext,
  source: AsyncIterable<Uint8Array>,
  options: LoadOptions,
  report: Report,
  signal: AbortSignal,
): Promise<ImageRecord[]> {
  await using lease = context.retention.lease();
  const meter = progressMeter(options.quiet ? () => undefined : report);
  await using archive = await readImageArchive(
    context,
    lease,
    source,
    (path, done, total) => meter({ id: layerLabel(path), status: 'Loading layer', current: done, total }),
    signal,
  );
  const offered = listArchiveImages(archive, context.platform, options.platforms);
  const unpacked = new UnpackedLayers(context, signal);
  await using _unpacked = unpacked;
  for (const image of offered.flatMap(one => [one, ...(one.others ?? [])])) await unpacked.check(image);
  failpoint('image.load.checked');
  const loaded: ImageRecord[] = [];
  for (const image of offered) loaded.push(await admit(context, lease, image, unpacked, report, signal));
  return loaded;
}

/** `blobs/sha256/<hex>` and `<id>/layer.tar` are known by the first digits. */
const layerLabel = (path: string): string => (/([0-9a-f]{12})[0-9a-f]*(?:\/layer)?(?:\.tar)?$/.exec(path)?.[1] ?? path).slice(0, 64);

async function admit(
  context: ImageContext,
  lease: Lease,
  image: ArchiveImage,
  unpacked: UnpackedLayers,
  report: Report,
  signal: AbortSignal,
): Promise<ImageRecord> {
  for (const blob of image.index?.blobs ?? []) await lease.put(blob);
  const moved = image.names.flatMap(name => movedName(context, name, sha256(image.configBytes)));
  const record = await addImage(
    context,
    lease,
    { ...image, index: image.index?.record, layers: image.layers.map(layer => layer.descriptor) },
    {
      layer: index => unpacked.take(image, index),
    },
    signal,
  );
  // After the name that has them: until then they would look as if nobody wanted them.
  for (const other of image.others ?? []) {
    const layers = other.layers.map(layer => layer.descriptor);
    await addImage(context, lease, { ...other, index: undefined, layers }, { layer: index => unpacked.take(other, index) }, signal);
  }
  await settleIndexes(context);
  for (const text of moved) report({ text });
  for (const name of image.names) report({ text: `Loaded image: ${familiarString(name)}\n` });
  if (image.names.length === 0) report({ text: `Loaded image ID: ${record.id}\n` });
  await publishImageEvent(context, 'load', record.id);
  return record;
}

function movedName(context: ImageContext, name: Reference, id: Digest): string[] {
  const before = context.store.byReference(name);
  if (before === undefined || before.id === id) return [];
  return [`The image ${familiarString(name)} already exists, renaming the old one with ID ${before.id} to empty string\n`];
}

/** Layers that were unpacked while the archive arrived. One that two images have at different places is unpacked again from its blob. */
class UnpackedLayers implements AsyncDisposable {
  readonly #context: ImageContext;
  readonly #signal: AbortSignal;
  readonly #ready = new Map<Digest, PendingLayer>();
  /** Where a layer went first. */
  readonly #placed = new Map<Digest, ImageLayer>();

  constructor(context: ImageContext, signal: AbortSignal) {
    this.#context = context;
    this.#signal = signal;
  }

  /** Waits for the image's layers and compares them with what its config says. */
  async check(image: ArchiveImage): Promise<void> {
    const diffIds = diffIdsOf(image.config, image.layers.length);
    for (const [index, { layer }] of image.layers.entries()) {
      const expected = diffIds[index] as Digest;
      const { digest } = layer.blob;
      const known = this.#ready.get(digest);
      const pending = known ?? (await layer.take());
      if (pending === undefined) throw dataLoss(`invalid archive: layer ${digest} is listed by two images in different ways`);
      this.#ready.set(digest, pending);
      checkDiffId(index, expected, pending.unpacked.diffId);
    }
  }

  async take(image: ArchiveImage, index: number): Promise<PendingLayer> {
    const { descriptor, layer } = image.layers[index] as ArchiveImage['layers'][number];
    const { digest } = layer.blob;
    const pending = this.#ready.get(digest);
    this.#ready.delete(digest);
    const diffIds = diffIdsOf(image.config, image.layers.length);
    const place = { digest, chainId: chainIds(diffIds)[index] as Digest, diffId: diffIds[index] as Digest };
    const known = this.#placed.get(digest);
    this.#placed.set(digest, { ...place, sizeBytes: descriptor.size, mediaType: descriptor.mediaType });
    if (pending !== undefined) return pending;
    const input =
      known === undefined ? { path: await this.#context.content.path(digest) } : await layerInput(this.#context, known, this.#signal);
    return await this.#context.snapshots.unpack(input, { signal: this.#signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pending of this.#ready.values()) await pending[Symbol.asyncDispose]();
  }
}
