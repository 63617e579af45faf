import { dataLoss, notFound } from '#base/errors.ts';
import type { LayerInput } from '#core/snapshots.ts';
import { algorithmOf, type Digest, encodedOf } from '#oci/digest.ts';
import type { ImageContext } from './context.ts';
import { readFileChunks } from './file-chunks.ts';
import type { ImageLayer } from './model.ts';
import type { Lease } from './retention.ts';

/**
 * How the bytes of a layer are had. The blob, as it came, is worth more: a registry and a manifest know it by its digest. It may be gone when the layer's tar
 * can be made again of its files.
 */
export type LayerSource =
  | { readonly kind: 'blob'; readonly path: string; readonly sizeBytes: number }
  | { readonly kind: 'tar'; readonly sizeBytes: number; open(signal: AbortSignal): AsyncIterable<Uint8Array> };

/** Rejects with NotFound when there is neither. */
export async function layerSource(context: ImageContext, { chainId, diffId, digest }: ImageLayer): Promise<LayerSource> {
  const info = await context.content.info(digest);
  if (info !== undefined) return { kind: 'blob', path: await context.content.path(digest), sizeBytes: info.sizeBytes };
  const sizeBytes = context.snapshots.tarSize(chainId);
  if (sizeBytes === undefined) throw notFound(`neither the blob ${digest} nor the tar of layer ${diffId} is here: pull the image again`);
  return { kind: 'tar', sizeBytes, open: signal => context.snapshots.tar(chainId, { signal }) };
}

/** The bytes, whatever they are compressed with. */
export const readLayer = (source: LayerSource, signal: AbortSignal): AsyncIterable<Uint8Array> =>
  source.kind === 'blob' ? readFileChunks(source.path, signal) : source.open(signal);

/** The same, for a reader that does not compare them with a digest itself. Rejects at their end with DataLoss when they are not what they should be. */
export async function* readVerifiedLayer(
  source: LayerSource,
  expected: Digest,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = new Bun.CryptoHasher(algorithmOf(expected));
  for await (const chunk of readLayer(source, signal)) {
    hash.update(chunk);
    yield chunk;
  }
  const actual = hash.digest('hex');
  if (actual === encodedOf(expected)) return;
  throw dataLoss(`the layer ${expected} is damaged on disk: its bytes have the digest ${actual}; berth system verify heals it`);
}

/** For unpacking a layer once more. */
export async function layerInput(context: ImageContext, layer: ImageLayer, signal: AbortSignal): Promise<LayerInput> {
  const source = await layerSource(context, layer);
  return source.kind === 'blob' ? { path: source.path } : { stream: source.open(signal), compression: 'none' };
}

/** Whether the bytes of a layer that is here can be had; its blob is held then if it is there. */
export async function hasTar(context: ImageContext, lease: Lease, { chainId, digest }: ImageLayer): Promise<boolean> {
  return (await lease.keep(digest)) !== undefined || context.snapshots.tarSize(chainId) !== undefined;
}
