import { dataLoss } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { PendingLayer } from '#core/snapshots.ts';
import { chainIds, type Digest, parseDigest } from '#oci/digest.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import { type Descriptor, encodeManifest } from '#oci/manifest.ts';
import type { Reference } from '#oci/reference.ts';
import type { ImageContext } from './context.ts';
import type { ImageLayer, ImageRecord, IndexRecord } from './model.ts';
import type { Lease } from './retention.ts';

export interface NewImage {
  readonly configBytes: Uint8Array;
  readonly config: ImageConfigFile;
  /** As it came; undefined: one is written. */
  readonly manifestBytes: Uint8Array | undefined;
  /** Bottom first, blobs already stored under the lease. */
  readonly layers: readonly Descriptor[];
  readonly names: readonly Reference[];
  /** What the names have, of which this is one image. */
  readonly index?: IndexRecord | undefined;
  readonly parent?: Digest;
  /** The same image, known already by another manifest, gets this one. */
  readonly replacesManifest?: boolean;
}

export interface LayerSource {
  /** Waits until the blob of a layer that is there already is stored; a removed image may have left layers without blobs to its containers. */
  stored?(index: number): Promise<void>;
  /** Gives the layer with this index in the image to be committed; it is asked only for layers that are not there yet. */
  layer(index: number): Promise<PendingLayer>;
  /** Called when the layer is in its place. */
  onPlaced?(index: number): void;
}

/** The diff ids of an image with this many layers. Rejects with DataLoss when config and layers do not match in number. */
export function diffIdsOf(config: ImageConfigFile, layerCount: number): Digest[] {
  const diffIds = config.rootfs.diff_ids.map(parseDigest);
  if (diffIds.length !== layerCount) {
    throw dataLoss(`invalid image: its config lists ${diffIds.length} layers, its manifest ${layerCount}`);
  }
  return diffIds;
}

/** Rejects with DataLoss, in the words clients know, when a layer is not what the config promised. */
export function checkDiffId(index: number, expected: Digest, actual: Digest): void {
  if (expected !== actual) throw dataLoss(`invalid diffID for layer ${index}: expected "${expected}", got "${actual}"`);
}

/**
 * Puts the layers in place, bottom first, then records the image. Disposing the lease afterwards removes nothing of it. Rejects with the signal's
 * reason when it aborts before the image is recorded: who has left gets no image that nobody knows of.
 */
export async function addImage(
  context: ImageContext,
  lease: Lease,
  image: NewImage,
  source: LayerSource,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const diffIds = diffIdsOf(image.config, image.layers.length);
  const chain = chainIds(diffIds);
  let sizeBytes = 0;
  const layers: ImageLayer[] = [];
  for (const [index, descriptor] of image.layers.entries()) {
    const [diffId, chainId] = [diffIds[index] as Digest, chain[index] as Digest];
    layers.push({ diffId, chainId, digest: descriptor.digest, sizeBytes: descriptor.size, mediaType: descriptor.mediaType });
    if (await lease.keepLayer(chainId)) {
      await source.stored?.(index);
    } else {
      await using pending = await source.layer(index);
      checkDiffId(index, diffId, pending.unpacked.diffId);
      await lease.commitLayer(pending, chainId, chain[index - 1]);
      await context.room.placed(lease, layers);
    }
    signal.throwIfAborted();
    failpoint('image.add.layer');
    source.onPlaced?.(index);
    sizeBytes += context.snapshots.layerSize(chainId) ?? 0;
  }
  const { digest: id, sizeBytes: configSize } = await lease.put(image.configBytes);
  const manifestBytes = image.manifestBytes ?? encodeManifest({ digest: id, size: configSize }, image.layers);
  const { digest: manifest } = await lease.put(manifestBytes);
  failpoint('image.add.stored');
  signal.throwIfAborted();
  // The same image may have been added meanwhile: what it is stored as stays.
  const known = context.store.get(id);
  const now = new Date().toISOString();
  const made = { manifest, layers };
  const record: ImageRecord =
    known === undefined
      ? { id, ...made, sizeBytes, addedAt: now, ...(image.parent !== undefined && { parent: image.parent }) }
      : image.replacesManifest === true
        ? { ...known, ...made }
        : known;
  context.store.put(record, image.names, image.index);
  failpoint('image.add.recorded');
  return record;
}
