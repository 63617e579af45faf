import type { Bundle, BundleBlob } from '#core/image-bundle.ts';
import { failpoint } from '#base/failpoint.ts';
import { internal, notFound } from '#base/errors.ts';
import type { ContentFile, ContentInfo } from '#core/content.ts';
import type { RegistryAuth, RegistryRepository, RepositoryAccess } from '#core/registry.ts';
import type { ChainId } from '#core/snapshots.ts';
import { chainOf, type Digest, sha256 } from '#oci/digest.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import { encodeManifest, mediaTypes } from '#oci/manifest.ts';
import { formatPlatform, normalizePlatform, type Platform, platformRank } from '#oci/platform.ts';
import { familiarString, type Reference, withDefaultTag } from '#oci/reference.ts';
import { addImage, checkDiffId, type LayerSource } from './add-image.ts';
import { addIndex, type AddedIndex, type Annotations, type NewIndex } from './add-index.ts';
import { blobOfLayer, type LayerForm, pushBundle, type PushBundleOptions } from './bundle.ts';
import type { RegistryContext } from './context.ts';
import { publishImageEvent } from './image-events.ts';
import { parseConfig } from './image-store.ts';
import { hasTar, layerInput } from './layer-tar.ts';
import type { ImageLayer, ImageRecord, Report } from './model.ts';
import { pullImages } from './pull.ts';
import type { Lease } from './retention.ts';

/** An image that a build stands on. */
export interface BaseImage {
  readonly id: Digest;
  readonly config: ImageConfigFile;
  readonly layers: readonly ImageLayer[];
}

/** A layer that was made here: its files are in a writable layer, with the recipe of its tar beside them. */
export interface MadeLayer {
  readonly writableKey: string;
  /** The tar that its recipe gives. */
  readonly tar: ContentInfo;
  readonly sizeBytes: number;
}

export interface BuiltImage {
  readonly config: ImageConfigFile;
  /** Bottom first. */
  readonly layers: readonly ImageLayer[];
  readonly names: readonly Reference[];
  readonly parent: Digest | undefined;
  /** Of its manifest. */
  readonly annotations?: Annotations | undefined;
}

/** What a build needs of images. Whatever it finds, pulls or makes stays until the workspace is disposed; then what no image or cache needs goes. */
export interface ImageWorkspace extends AsyncDisposable {
  /** An image that is here for this platform, held; undefined when there is none. */
  find(nameOrId: string, platform: Platform): Promise<BaseImage | undefined>;
  /** Brings an image here, or brings it up to date. Rejects with NotFound, and with what registries answer. */
  pull(reference: Reference, platform: Platform, auth: RegistryAuth | undefined, report: Report, signal: AbortSignal): Promise<BaseImage>;
  /** Holds a layer; false when it is gone, or its tar is. */
  hold(layer: ImageLayer): Promise<boolean>;
  /** A file for the tar of a layer. */
  file(): Promise<ContentFile>;
  /** Gives a layer its place. */
  commit(layer: MadeLayer, parent: ChainId | undefined): Promise<ImageLayer>;
  /** Stores the tar of a layer that has no place yet, and unpacks it on `parent`. */
  stack(file: ContentFile, blob: ContentInfo, parent: ChainId | undefined, signal: AbortSignal): Promise<ImageLayer>;
  /** Puts the tar of a held layer on another one: the same files in another place. */
  restack(layer: ImageLayer, parent: ChainId | undefined, signal: AbortSignal): Promise<ImageLayer>;
  /** Unpacks the blob of a layer on `parent`. Rejects with DataLoss when it is another layer. */
  unpackBlob(bytes: AsyncIterable<Uint8Array>, diffId: Digest, parent: ChainId | undefined, signal: AbortSignal): Promise<ImageLayer>;
  /** Speaks of a repository. */
  registry(reference: Reference, access: RepositoryAccess): RegistryRepository;
  /** Records an image and gives it names. */
  add(image: BuiltImage, signal: AbortSignal): Promise<ImageRecord>;
  /** Records images for several platforms, or with something said about them, as one. */
  addIndex(index: NewIndex, signal: AbortSignal): Promise<AddedIndex>;
  /** A layer that is held, as a blob for registries and archives. */
  blobOf(layer: ImageLayer, form: LayerForm, signal: AbortSignal): Promise<BundleBlob>;
  /** Sends images to a registry. Returns the digest of the whole. */
  push(bundle: Bundle, options: PushBundleOptions, signal: AbortSignal): Promise<Digest | undefined>;
  /** The id that `add` would give. */
  idOf(config: ImageConfigFile): Digest;
}

export function openWorkspace(context: RegistryContext): ImageWorkspace {
  const lease = context.retention.lease();
  return {
    find: (nameOrId, platform) => find(context, lease, nameOrId, platform),
    async pull(reference, platform, auth, report, signal) {
      await pullImages(context, { reference, allTags: false, platform, acceptsOther: true, auth }, report, signal);
      const name = familiarString(withDefaultTag(reference));
      const image = await find(context, lease, name, platform, { acceptsOther: true });
      if (image === undefined) throw notFound(`No such image: ${name}`);
      return image;
    },
    async hold(layer) {
      return (await lease.keepLayer(layer.chainId)) && (await hasTar(context, lease, layer));
    },
    file: () => context.content.file(),
    async commit({ writableKey, tar: { digest, sizeBytes: tarBytes }, sizeBytes }, parent) {
      const chainId = chainOf(digest, parent);
      await lease.commitWritable(writableKey, chainId, { sizeBytes, tarBytes });
      failpoint('build.layer.committed');
      const layer = { diffId: digest, chainId, digest, sizeBytes: tarBytes, mediaType: mediaTypes.dockerLayer };
      await context.room.placed(lease, [layer]);
      return layer;
    },
    async stack(file, blob, parent, signal) {
      const { digest, sizeBytes } = await lease.commitFile(file, blob);
      failpoint('build.layer.stored');
      const chainId = chainOf(digest, parent);
      return await unpack(
        context,
        lease,
        { diffId: digest, chainId, digest, sizeBytes, mediaType: mediaTypes.dockerLayer },
        parent,
        signal,
      );
    },
    restack: (layer, parent, signal) => restack(context, lease, layer, parent, signal),
    async unpackBlob(bytes, diffId, parent, signal) {
      const chainId = chainOf(diffId, parent);
      await using writer = await context.content.writer();
      for await (const chunk of context.decompress(bytes, { signal })) await writer.write(chunk.slice());
      const { digest, sizeBytes } = await lease.commit(writer, { digest: diffId });
      return await unpack(context, lease, { diffId, chainId, digest, sizeBytes, mediaType: mediaTypes.dockerLayer }, parent, signal);
    },
    registry: (reference, access) => context.registry.repository(reference, access),
    add: (image, signal) => add(context, lease, image, signal),
    addIndex: (index, signal) => addIndex(context, lease, index, layersOfBuild, signal),
    blobOf: (layer, form, signal) => blobOfLayer(context, lease, layer, form, signal),
    push: (bundle, options, signal) => pushBundle(context, bundle, options, signal),
    idOf: config => sha256(encodeConfig(config)),
    [Symbol.asyncDispose]: () => lease[Symbol.asyncDispose](),
  };
}

const encodeConfig = (config: ImageConfigFile): Uint8Array => new TextEncoder().encode(JSON.stringify(config));

async function find(
  context: RegistryContext,
  lease: Lease,
  nameOrId: string,
  platform: Platform,
  { acceptsOther }: { readonly acceptsOther: boolean } = { acceptsOther: false },
): Promise<BaseImage | undefined> {
  const image = context.store.lookUp(nameOrId);
  if (image === undefined) return undefined;
  await lease.hold(
    [image.id, image.manifest, ...image.layers.map(layer => layer.digest)],
    image.layers.map(layer => layer.chainId),
  );
  // It may have gone before it was held.
  if (context.store.get(image.id) === undefined) return undefined;
  context.uses.note(image.id, 'used');
  const config = parseConfig(await context.content.read(image.id), image.id);
  if (!acceptsOther && platformRank(platform, normalizePlatform(config)) === undefined) {
    context.log.debug('an image is here for another platform', { image: nameOrId, platform: formatPlatform(platform) });
    return undefined;
  }
  return { id: image.id, config, layers: image.layers };
}

/** The layer with its files in the place that its chain id names. */
async function unpack(
  context: RegistryContext,
  lease: Lease,
  layer: ImageLayer,
  parent: ChainId | undefined,
  signal: AbortSignal,
): Promise<ImageLayer> {
  if (await lease.keepLayer(layer.chainId)) return layer;
  await using pending = await context.snapshots.unpack(await layerInput(context, layer, signal), { signal });
  checkDiffId(0, layer.diffId, pending.unpacked.diffId);
  await lease.commitLayer(pending, layer.chainId, parent);
  await context.room.placed(lease, [layer]);
  return layer;
}

async function restack(
  context: RegistryContext,
  lease: Lease,
  layer: ImageLayer,
  parent: ChainId | undefined,
  signal: AbortSignal,
): Promise<ImageLayer> {
  const moved = { ...layer, chainId: chainOf(layer.diffId, parent) };
  if (await lease.keepLayer(moved.chainId)) return moved;
  // The place that it comes from has to stay until it is read.
  await lease.keepLayer(layer.chainId);
  await using pending = await context.snapshots.unpack(await layerInput(context, layer, signal), { signal });
  checkDiffId(0, layer.diffId, pending.unpacked.diffId);
  await lease.commitLayer(pending, moved.chainId, parent);
  await context.room.placed(lease, [moved]);
  return moved;
}

/** Layers of builds are in their places already. */
const layersOfBuild: LayerSource = { layer: index => Promise.reject(internal(`layer ${String(index)} of a build is gone`)) };

async function add(context: RegistryContext, lease: Lease, image: BuiltImage, signal: AbortSignal): Promise<ImageRecord> {
  const configBytes = encodeConfig(image.config);
  const layers = image.layers.map(({ mediaType, digest, sizeBytes }) => ({ mediaType, digest, size: sizeBytes }));
  const described = { digest: sha256(configBytes), size: configBytes.length };
  const manifestBytes = image.annotations && encodeManifest(described, layers, image.annotations);
  const record = await addImage(
    context,
    lease,
    {
      configBytes,
      config: image.config,
      manifestBytes,
      replacesManifest: manifestBytes !== undefined,
      layers,
      names: image.names,
      ...(image.parent === undefined ? {} : { parent: image.parent }),
    },
    layersOfBuild,
    signal,
  );
  await publishImageEvent(context, 'create', record.id);
  for (const name of image.names) await publishImageEvent(context, 'tag', record.id, { name: familiarString(name) });
  return record;
}
