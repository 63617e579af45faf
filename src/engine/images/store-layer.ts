import type { ContentInfo } from '#core/content.ts';
import type { LayerCompression, PendingLayer } from '#core/snapshots.ts';
import type { Digest } from '#oci/digest.ts';
import { mediaTypes } from '#oci/manifest.ts';
import type { ImageContext } from './context.ts';
import type { Lease } from './retention.ts';

/** A layer whose blob is stored, and that is being unpacked or has been. */
export interface StoredLayer {
  readonly blob: ContentInfo;
  readonly compression: LayerCompression;
  /** Takes the unpacked layer out, once; undefined when somebody has it. Rejects when it cannot be unpacked. */
  take(): Promise<PendingLayer> | undefined;
}

export interface IncomingLayer {
  readonly head: Uint8Array;
  readonly chunks: AsyncIterator<Uint8Array>;
  readonly onBytes: (done: number) => void;
  readonly signal: AbortSignal;
}

/** One pass over the bytes: the content store writes and hashes them, and what is written is unpacked. Returns when the blob is stored. */
export async function storeLayer(context: ImageContext, lease: Lease, layer: IncomingLayer): Promise<StoredLayer> {
  const compression = compressionOf(layer.head);
  // The blob of an uncompressed layer is the tar itself: one hash for both.
  const stored = Promise.withResolvers<Digest>();
  stored.promise.catch(() => undefined);
  await using writer = await context.content.writer();
  const unpacked = context.snapshots.unpack({ growing: writer.growing, compression, diffId: stored.promise }, { signal: layer.signal });
  // A failure is told to whoever takes the layer; nobody may.
  unpacked.catch(() => undefined);
  try {
    let chunk: Uint8Array | undefined = layer.head;
    while (chunk !== undefined) {
      await writer.write(chunk);
      layer.onBytes(writer.sizeBytes);
      layer.signal.throwIfAborted();
      const next = await layer.chunks.next();
      chunk = next.done === true ? undefined : next.value;
    }
    const blob = await lease.commit(writer);
    stored.resolve(blob.digest);
    let taken = false;
    return {
      blob,
      compression,
      take() {
        if (taken) return undefined;
        taken = true;
        return unpacked;
      },
    };
  } catch (err) {
    stored.reject(err);
    // Closing the writer ends the unpacking.
    await writer[Symbol.asyncDispose]();
    await unpacked.then(
      pending => pending[Symbol.asyncDispose](),
      () => undefined,
    );
    throw err;
  }
}

/** The compression that the first bytes show. */
export function compressionOf(head: Uint8Array): LayerCompression {
  const starts = (...magic: number[]): boolean => magic.every((byte, index) => head[index] === byte);
  if (starts(0x1f, 0x8b)) return 'gzip';
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd';
  if (starts(0x42, 0x5a, 0x68)) return 'bzip2';
  if (starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) return 'xz';
  return 'none';
}

/** What registries call a layer of this compression. */
export const layerMediaTypes: Readonly<Record<LayerCompression, string>> = {
  none: mediaTypes.dockerLayer,
  gzip: mediaTypes.dockerLayerGzip,
  zstd: mediaTypes.ociLayerZstd,
  // Registries know no name for these two: a push compresses such a layer anew.
  bzip2: mediaTypes.dockerLayer,
  xz: mediaTypes.dockerLayer,
};

/** Enough of the beginning to tell what it is. */
export async function readHead(chunks: AsyncIterator<Uint8Array>, wantedBytes: number): Promise<Uint8Array> {
  let head: Uint8Array = new Uint8Array(0);
  while (head.length < wantedBytes) {
    const next = await chunks.next();
    if (next.done === true) break;
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
  }
  return head;
}
