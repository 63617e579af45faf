import { notFound } from '#base/errors.ts';
import { type Digest, encodedOf, sha256 } from '#oci/digest.ts';
import { type Descriptor, encodeManifest, mediaTypes, parseManifest } from '#oci/manifest.ts';
import type { Platform } from '#oci/platform.ts';
import { canonicalString, familiarName, familiarString, type Reference, repositoryOf, tryParseReference } from '#oci/reference.ts';
import { type NewTarFile, writeTar } from '#oci/tar/writer.ts';
import type { ImageContext } from './context.ts';
import { publishImageEvent } from './image-events.ts';
import { type LayerSource, layerSource, readVerifiedLayer } from './layer-tar.ts';
import type { ImageRecord, IndexRecord } from './model.ts';
import { platformOf, selectPlatform } from './platforms.ts';
import type { Lease } from './retention.ts';

interface NamedImage {
  readonly image: ImageRecord;
  /** Of the image, or of an index that it is one platform of. */
  readonly names: readonly Reference[];
  readonly index: IndexRecord | undefined;
}

/** An image as it goes into the archive. */
interface SavedImage extends NamedImage {
  readonly layers: readonly { readonly diffId: Digest; readonly blob: Descriptor; readonly source: LayerSource }[];
  readonly manifest: { readonly bytes: Uint8Array; readonly digest: Digest };
  readonly platform: Platform;
}

/**
 * An archive with these images, which every Docker since version 1.10, skopeo and others load: an OCI layout and Docker's manifest.json beside
 * it, all layers as they are stored; those of which only the files are here as plain tars. A name without a tag stands for all its tags, an id for the image
 * without a name. A name that has several platforms is saved with its index and all that are here, or with only those asked for. Rejects with NotFound before
 * the first byte. The images cannot be removed until the archive was read or dropped.
 */
export async function saveImages(
  context: ImageContext,
  names: readonly string[],
  platforms: readonly Platform[],
  signal: AbortSignal,
): Promise<AsyncGenerator<Uint8Array, void, undefined>> {
  const named = await collectImages(context, names, platforms);
  await using undo = new AsyncDisposableStack();
  const lease = undo.use(context.retention.lease());
  const saved: SavedImage[] = [];
  for (const each of withMembers(context, named)) {
    const { id, manifest, layers } = each.image;
    await lease.hold(
      [id, manifest, ...layers.map(layer => layer.digest), ...(each.index?.blobs ?? [])],
      layers.map(layer => layer.chainId),
    );
    saved.push(await prepare(context, each));
  }
  undo.move();
  return writeArchive(context, lease, saved, signal);
}

/** With every index the other platforms of it that are here, without names. */
function withMembers(context: ImageContext, named: readonly NamedImage[]): NamedImage[] {
  const all = new Map<Digest, NamedImage>(named.map(each => [each.image.id, each]));
  for (const { index } of named) {
    for (const image of index === undefined ? [] : context.store.members(index)) {
      if (!all.has(image.id)) all.set(image.id, { image, names: [], index });
    }
  }
  return [...all.values()];
}

async function prepare(context: ImageContext, { image, names, index }: NamedImage): Promise<SavedImage> {
  const layers = await Promise.all(
    image.layers.map(async layer => {
      const source = await layerSource(context, layer);
      const { diffId, digest, mediaType } = layer;
      const size = source.sizeBytes;
      return {
        diffId,
        source,
        blob: source.kind === 'blob' ? { mediaType, digest, size } : { mediaType: plainTypeOf(mediaType), digest: diffId, size },
      };
    }),
  );
  const isAsItCame = layers.every(({ blob }, index) => blob.digest === image.layers[index]?.digest);
  const config = await context.content.info(image.id);
  const bytes = isAsItCame
    ? await context.content.read(image.manifest)
    : encodeManifest(
        { digest: image.id, size: config?.sizeBytes ?? 0 },
        layers.map(({ blob }) => blob),
      );
  return { image, names, index, layers, manifest: { bytes, digest: sha256(bytes) }, platform: await platformOf(context, image) };
}

const plainTypeOf = (mediaType: string): string =>
  mediaType.startsWith('application/vnd.oci.') ? mediaTypes.ociLayer : mediaTypes.dockerLayer;

async function collectImages(context: ImageContext, names: readonly string[], platforms: readonly Platform[]): Promise<NamedImage[]> {
  const saved = new Map<Digest, { readonly image: ImageRecord; names: Reference[]; index: IndexRecord | undefined }>();
  const add = async (name: string, refs: readonly Reference[]): Promise<void> => {
    const images: ImageRecord[] = [];
    for (const platform of platforms) images.push(await selectPlatform(context, name, platform));
    const index = platforms.length === 0 && refs[0] !== undefined ? context.store.indexOf(refs[0]) : undefined;
    for (const image of images.length === 0 ? [context.store.find(name)] : images) {
      const known = saved.get(image.id) ?? { image, names: [], index };
      saved.set(image.id, known);
      for (const ref of refs) if (!known.names.some(other => canonicalString(other) === canonicalString(ref))) known.names.push(ref);
    }
  };
  for (const name of names) {
    const ref = tryParseReference(name);
    const tagged = ref === undefined || ref.tag !== undefined || ref.digest !== undefined ? [] : tagsOf(context, ref);
    for (const each of tagged) await add(familiarString(each), [each]);
    if (tagged.length > 0) continue;
    const image = context.store.find(name);
    await add(name, ref?.tag === undefined || context.store.isId(image, name) || ref.digest !== undefined ? [] : [ref]);
  }
  if (saved.size === 0) throw notFound('no image was named to save');
  return [...saved.values()];
}

const tagsOf = (context: ImageContext, wanted: Reference): Reference[] =>
  context.store.allReferences().flatMap(({ ref }) => (ref.tag !== undefined && repositoryOf(ref) === repositoryOf(wanted) ? [ref] : []));

async function* writeArchive(
  context: ImageContext,
  lease: Lease,
  saved: readonly SavedImage[],
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  await using _lease = lease;
  yield* writeTar(membersOf(context, saved, signal));
  for (const { image, names, index } of saved)
    if (names.length > 0 || index === undefined) await publishImageEvent(context, 'save', image.id);
}

async function* membersOf(
  context: ImageContext,
  saved: readonly SavedImage[],
  signal: AbortSignal,
): AsyncGenerator<NewTarFile, void, undefined> {
  yield { entry: { name: 'blobs', type: 'directory' } };
  yield { entry: { name: 'blobs/sha256', type: 'directory' } };
  const written = new Set<Digest>();
  const isNew = (digest: Digest): boolean => !written.has(digest) && written.add(digest).has(digest);
  for (const { image, layers, manifest } of saved) {
    for (const { blob, source } of layers)
      if (isNew(blob.digest))
        yield { entry: { name: blobPath(blob.digest), sizeBytes: blob.size }, content: readVerifiedLayer(source, blob.digest, signal) };
    if (isNew(image.id)) yield { entry: { name: blobPath(image.id) }, content: await context.content.read(image.id) };
    if (isNew(manifest.digest)) yield { entry: { name: blobPath(manifest.digest) }, content: manifest.bytes };
  }
  const descriptors: object[] = [];
  for (const each of saved) {
    const target = await targetIn(context, saved, each);
    const isOneOfSeveral = saved.some(other => other !== each && other.names.some(name => each.names.some(own => isSame(name, own))));
    descriptors.push(...describe(each, target, isOneOfSeveral));
    if (target === undefined) continue;
    for (const digest of each.index?.blobs ?? []) {
      const info = isNew(digest) ? await context.content.info(digest) : undefined;
      if (info !== undefined) yield { entry: { name: blobPath(digest) }, content: await context.content.read(digest) };
    }
  }
  const listed = saved.filter(({ names, index }) => names.length > 0 || index === undefined);
  yield jsonFile('index.json', { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: descriptors });
  yield jsonFile('manifest.json', listed.map(savedItem));
  yield jsonFile('oci-layout', { imageLayoutVersion: '1.0.0' });
  const repositories = repositoriesOf(saved);
  if (Object.keys(repositories).length > 0) yield jsonFile('repositories', repositories);
}

const blobPath = (digest: Digest): string => `blobs/${digest.replace(':', '/')}`;

const jsonFile = (name: string, value: unknown): NewTarFile => ({
  entry: { name },
  content: new TextEncoder().encode(JSON.stringify(value)),
});

const isSame = (one: Reference, other: Reference): boolean => canonicalString(one) === canonicalString(other);

/** The index, for the name of an image that came by one, when its images are saved as they came; otherwise the image alone. */
async function targetIn(context: ImageContext, saved: readonly SavedImage[], { index }: SavedImage): Promise<Descriptor | undefined> {
  if (index === undefined) return undefined;
  const own = saved.filter(each => index.entries.some(entry => entry.digest === each.image.manifest));
  const info = await context.content.info(index.digest);
  if (info === undefined || own.some(({ image, manifest }) => image.manifest !== manifest.digest)) return undefined;
  return { mediaType: index.mediaType, digest: index.digest, size: info.sizeBytes };
}

function describe({ names, index, manifest, platform }: SavedImage, target: Descriptor | undefined, isOneOfSeveral: boolean): object[] {
  // Another platform of an index that is there: found through it.
  if (names.length === 0 && index !== undefined && target !== undefined) return [];
  const { mediaType } = parseManifest(manifest.bytes);
  const descriptor = target ?? { mediaType, digest: manifest.digest, size: manifest.bytes.length, ...(isOneOfSeveral && { platform }) };
  if (names.length === 0) return [descriptor];
  return names.map(ref => ({
    ...descriptor,
    annotations: { 'io.containerd.image.name': canonicalString(ref), 'org.opencontainers.image.ref.name': ref.tag ?? '' },
  }));
}

function savedItem({ image, names, layers }: SavedImage): object {
  return {
    Config: blobPath(image.id),
    RepoTags: names.length === 0 ? null : names.map(familiarString),
    Layers: layers.map(({ blob }) => blobPath(blob.digest)),
    LayerSources: Object.fromEntries(layers.map(({ diffId, blob }) => [diffId, blob])) as object,
  };
}

/** What Docker before version 1.10 looked for; it names the topmost layer. */
function repositoriesOf(saved: readonly SavedImage[]): Record<string, Record<string, string>> {
  const repositories: Record<string, Record<string, string>> = {};
  for (const { names, layers } of saved) {
    const top = layers.at(-1);
    if (top === undefined) continue;
    for (const ref of names) (repositories[familiarName(ref)] ??= {})[ref.tag ?? 'latest'] = encodedOf(top.blob.digest);
  }
  return repositories;
}
