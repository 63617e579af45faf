import type { Bundle, BundleBlob } from '#core/image-bundle.ts';
import type { RegistryAuth } from '#core/registry.ts';
import type { Digest } from '#oci/digest.ts';
import { mediaTypes } from '#oci/manifest.ts';
import { familiarName, familiarString, type Reference, repositoryOf } from '#oci/reference.ts';
import type { RegistryContext } from './context.ts';
import { publishImageEvent } from './image-events.ts';
import { layerSource, readLayer, readVerifiedLayer } from './layer-tar.ts';
import type { ImageLayer } from './model.ts';
import type { Lease } from './retention.ts';

export interface LayerForm {
  readonly compression: 'uncompressed' | 'gzip' | 'zstd';
  /** 0 to 9 for gzip, 1 to 22 for zstd; undefined: the usual one. */
  readonly level?: number | undefined;
  /** Layers that came compressed in another way are made again as well. */
  readonly isForced: boolean;
}

const layerTypes = {
  uncompressed: mediaTypes.dockerLayer,
  gzip: mediaTypes.dockerLayerGzip,
  zstd: mediaTypes.ociLayerZstd,
} as const satisfies Record<LayerForm['compression'], string>;

/** A layer as a blob in this form. One that is compressed for it stays as long as the lease. */
export async function blobOfLayer(
  context: RegistryContext,
  lease: Lease,
  layer: ImageLayer,
  { compression, level, isForced }: LayerForm,
  signal: AbortSignal,
): Promise<BundleBlob> {
  const source = await layerSource(context, layer);
  const own = /(gzip|zstd)$/.exec(layer.mediaType)?.[1];
  const isCompressed = source.kind === 'blob' && own !== undefined;
  const fits = (isCompressed ? own : 'uncompressed') === compression;
  if (source.kind === 'blob' && (fits || (isCompressed && !isForced))) {
    const descriptor = { mediaType: layer.mediaType, digest: layer.digest, size: source.sizeBytes };
    return { descriptor, open: stop => readVerifiedLayer(source, layer.digest, stop) };
  }
  if (compression === 'uncompressed' && source.kind === 'tar') {
    const descriptor = { mediaType: mediaTypes.dockerLayer, digest: layer.diffId, size: source.sizeBytes };
    return { descriptor, open: stop => readVerifiedLayer(source, layer.diffId, stop) };
  }
  const plain = context.decompress(readLayer(source, signal), { signal });
  await using writer = await context.content.writer();
  const chunks = compression === 'uncompressed' ? plain : context.compress(plain, { signal, form: { format: compression, level } });
  for await (const chunk of chunks) await writer.write(chunk.slice());
  const { digest, sizeBytes } = await lease.commit(writer);
  const path = await context.content.path(digest);
  const mediaType = layerTypes[compression];
  return {
    descriptor: { mediaType, digest, size: sizeBytes },
    open: stop => readVerifiedLayer({ kind: 'blob', path, sizeBytes }, digest, stop),
  };
}

export interface PushBundleOptions {
  readonly reference: Reference;
  readonly auth: RegistryAuth | undefined;
  /** Told of each blob as it is sent. */
  readonly report: (blob: Digest, sentBytes: number, totalBytes: number) => void;
}

/** Sends a bundle to a registry; the whole gets the reference's tag. Returns its digest. */
export async function pushBundle(
  context: RegistryContext,
  { blobs, manifests }: Bundle,
  { reference, auth, report }: PushBundleOptions,
  signal: AbortSignal,
): Promise<Digest | undefined> {
  const repository = context.registry.repository(reference, { actions: 'push', auth });
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const unique = new Map(blobs.map(blob => [blob.descriptor.digest, blob]));
  const sending = [...unique.values()].map(async ({ descriptor, open }) => {
    try {
      await context.uploads.run(either, async () => {
        if (!(await repository.hasBlob(descriptor.digest, either))) {
          const counted = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
            let sent = 0;
            for await (const chunk of open(either)) {
              report(descriptor.digest, (sent += chunk.length), descriptor.size);
              yield chunk;
            }
          };
          await repository.putBlob({ open: counted, digest: () => descriptor.digest }, either);
        }
        report(descriptor.digest, descriptor.size, descriptor.size);
      });
    } catch (err) {
      stop.abort(err);
      throw err;
    }
  });
  const settled = await Promise.allSettled(sending);
  signal.throwIfAborted();
  if (settled.some(({ status }) => status === 'rejected')) throw stop.signal.reason;
  for (const [index, { descriptor, bytes }] of manifests.entries()) {
    const name = index === manifests.length - 1 ? (reference.tag ?? 'latest') : descriptor.digest;
    await repository.putManifest(name, descriptor.mediaType, bytes, signal);
  }
  const whole = manifests.at(-1)?.descriptor.digest;
  if (whole !== undefined)
    await publishImageEvent(context, 'push', whole, { actorId: familiarString(reference), name: familiarName(reference) });
  context.log.debug('pushed the result of a build', { repository: repositoryOf(reference), manifests: manifests.length });
  return whole;
}
