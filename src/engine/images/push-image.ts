import { shortId } from '#base/id.ts';
import type { RegistryRepository } from '#core/registry.ts';
import { type Digest, sha256, tryParseDigest } from '#oci/digest.ts';
import { type Descriptor, encodeManifest, mediaTypes, parseManifest } from '#oci/manifest.ts';
import { parseReference, type Reference, repositoryOf } from '#oci/reference.ts';
import type { RegistryContext } from './context.ts';
import { type LayerSource, layerSource, readLayer, readVerifiedLayer } from './layer-tar.ts';
import type { ImageLayer, ImageRecord, Report } from './model.ts';
import { progressMeter } from './progress.ts';

/** A manifest or an index as the registry has it now. */
export interface Pushed {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** Sends an image's blobs. Its manifest is returned and not yet sent. */
export async function pushImage(
  context: RegistryContext,
  repository: RegistryRepository,
  ref: Reference,
  image: ImageRecord,
  report: Report,
  signal: AbortSignal,
): Promise<Pushed> {
  await using lease = context.retention.lease();
  // The image may be removed meanwhile; its bytes stay until they are sent.
  await lease.hold(
    [image.id, image.manifest, ...image.layers.map(layer => layer.digest)],
    image.layers.map(layer => layer.chainId),
  );
  for (const layer of image.layers) report({ id: shortId(layer.diffId), status: 'Preparing' });
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const once = new Map<Digest, Promise<Descriptor>>();
  const pushing = image.layers.map(layer => {
    const known = once.get(layer.digest);
    if (known !== undefined) return known;
    const tell = progressMeter(report);
    if (!context.uploads.isFree) tell({ id: shortId(layer.diffId), status: 'Waiting' });
    const promise = context.uploads.run(either, () => pushLayer(context, repository, ref, layer, tell, either));
    promise.catch((err: unknown) => stop.abort(err));
    once.set(layer.digest, promise);
    return promise;
  });
  const settled = await Promise.allSettled(pushing);
  const failed = settled.find(result => result.status === 'rejected');
  signal.throwIfAborted();
  if (failed !== undefined) throw stop.signal.reason ?? failed.reason;
  const layers = settled.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []));
  await pushSmallBlob(context, repository, image.id, signal);
  const { bytes, mediaType } = await manifestFor(context, image, layers);
  return { descriptor: { mediaType, digest: sha256(bytes), size: bytes.length }, bytes };
}

/** The manifest as it came when its blobs were sent as they are; otherwise one that lists what was sent. */
async function manifestFor(
  context: RegistryContext,
  image: ImageRecord,
  layers: readonly Descriptor[],
): Promise<{ readonly bytes: Uint8Array; readonly mediaType: string }> {
  const bytes = await context.content.read(image.manifest);
  const manifest = parseManifest(bytes);
  if (layers.every((layer, index) => layer.digest === image.layers[index]?.digest)) return { bytes, mediaType: manifest.mediaType };
  const config = await context.content.info(image.id);
  const made = encodeManifest({ digest: image.id, size: config?.sizeBytes ?? 0 }, layers);
  return { bytes: made, mediaType: parseManifest(made).mediaType };
}

export async function pushSmallBlob(
  context: RegistryContext,
  repository: RegistryRepository,
  digest: Digest,
  signal: AbortSignal,
): Promise<void> {
  if (await repository.hasBlob(digest, signal)) return;
  const bytes = await context.content.read(digest);
  const open = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    yield await Promise.resolve(bytes);
  };
  await repository.putBlob({ open, digest: () => digest }, signal);
}

/** Sends a layer unless the registry has it, or has it next door. Returns it as the registry has it now. */
async function pushLayer(
  context: RegistryContext,
  repository: RegistryRepository,
  ref: Reference,
  layer: ImageLayer,
  tell: Report,
  signal: AbortSignal,
): Promise<Descriptor> {
  const id = shortId(layer.diffId);
  const source = await layerSource(context, layer);
  const isTransportable = /gzip$|zstd$/.test(layer.mediaType);
  const known = context.sources.find(layer.diffId);
  const offered: Descriptor | undefined = isTransportable
    ? { digest: layer.digest, size: layer.sizeBytes, mediaType: layer.mediaType }
    : known && { digest: known.digest, size: known.sizeBytes, mediaType: known.mediaType };
  if (offered !== undefined) {
    if (await repository.hasBlob(offered.digest, signal)) {
      tell({ id, status: 'Layer already exists' });
      note(context, layer, offered, ref);
      return offered;
    }
    const from = await mountFrom(repository, offered.digest, known?.digest === offered.digest ? known.repositories : [], ref, signal);
    if (from !== undefined) {
      tell({ id, status: `Mounted from ${from}` });
      note(context, layer, offered, ref);
      return offered;
    }
  }
  // Registries keep these as they are; the rest is sent with gzip: plain tars, and what registries have no name for.
  const isAsStored = isTransportable && source.kind === 'blob';
  const sent = await upload(context, repository, { layer, source, isAsStored }, tell, signal);
  tell({ id, status: 'Pushed' });
  note(context, layer, sent, ref);
  return sent;
}

function note(context: RegistryContext, layer: ImageLayer, blob: Descriptor, ref: Reference): void {
  context.sources.note(layer.diffId, { digest: blob.digest, sizeBytes: blob.size, mediaType: blob.mediaType }, repositoryOf(ref));
}

async function mountFrom(
  repository: RegistryRepository,
  digest: Digest,
  candidates: readonly string[],
  ref: Reference,
  signal: AbortSignal,
): Promise<string | undefined> {
  for (const candidate of candidates.slice(0, 3)) {
    const source = parseReference(candidate);
    if (source.domain !== ref.domain || source.path === ref.path) continue;
    // A neighbour that may not be read is no reason to fail: the layer is sent then.
    if (await repository.mountBlob(digest, source.path, signal).catch(() => false)) return source.path;
  }
  return undefined;
}

async function upload(
  context: RegistryContext,
  repository: RegistryRepository,
  { layer, source, isAsStored }: { readonly layer: ImageLayer; readonly source: LayerSource; readonly isAsStored: boolean },
  tell: Report,
  signal: AbortSignal,
): Promise<Descriptor> {
  const id = shortId(layer.diffId);
  let sent = { digest: layer.digest, size: layer.sizeBytes, mediaType: layer.mediaType };
  const open = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    let read = 0;
    const hash = new Bun.CryptoHasher('sha256');
    let size = 0;
    const counted = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      // A blob as it came is compared with its digest by the registry.
      const bytes = isAsStored
        ? readLayer(source, signal)
        : readVerifiedLayer(source, source.kind === 'blob' ? layer.digest : layer.diffId, signal);
      for await (const chunk of bytes) {
        read += chunk.length;
        tell({ id, status: 'Pushing', current: read, total: source.sizeBytes });
        yield chunk;
      }
    };
    if (isAsStored) return yield* counted();
    for await (const chunk of context.compress(context.decompress(counted(), { signal }), { signal })) {
      hash.update(chunk);
      size += chunk.length;
      yield chunk;
    }
    const digest = tryParseDigest(`sha256:${hash.digest('hex')}`) as Digest;
    sent = { digest, size, mediaType: mediaTypes.dockerLayerGzip };
  };
  await repository.putBlob({ open, digest: () => sent.digest }, signal);
  return sent;
}
