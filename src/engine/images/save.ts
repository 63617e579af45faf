import { notFound } from '#base/errors.ts';
import { type Digest, encodedOf, sha256 } from '#oci/digest.ts';
import { type Descriptor, encodeManifest, mediaTypes, parseManifest } from '#oci/manifest.ts';
import { canonicalString, familiarName, familiarString, type Reference, repositoryOf, tryParseReference } from '#oci/reference.ts';
import { type NewTarFile, writeTar } from '#oci/tar/writer.ts';
import type { ImageContext } from './context.ts';
import { publishImageEvent } from './image-events.ts';
import { type LayerSource, layerSource, readVerifiedLayer } from './layer-tar.ts';
import type { ImageRecord } from './model.ts';
import type { Lease } from './retention.ts';

interface NamedImage {
  readonly image: ImageRecord;
  readonly names: Reference[];
}

/** An image as it goes into the archive. */
interface SavedImage extends NamedImage {
  readonly layers: readonly { readonly diffId: Digest; readonly blob: Descriptor; readonly source: LayerSource }[];
  readonly manifest: { readonly bytes: Uint8Array; readonly digest: Digest };
}

/**
 * An archive with these images, which every Docker since version 1.10, skopeo and others load: an OCI layout and Docker's manifest.json beside
 * it, all layers as they are stored; those of which only the files are here as plain tars. A name without a tag stands for all its tags, an id for the image without a name. Rejects with NotFound
 * before the first byte. The images cannot be removed until the archive was read or dropped.
 */
export async function saveImages(
  context: ImageContext,
  names: readonly string[],
  signal: AbortSignal,
): Promise<AsyncGenerator<Uint8Array, void, undefined>> {
  const named = collectImages(context, names);
  await using undo = new AsyncDisposableStack();
  const lease = undo.use(context.retention.lease());
  const saved: SavedImage[] = [];
  for (const each of named) {
    const { id, manifest, layers } = each.image;
    await lease.hold(
      [id, manifest, ...layers.map(layer => layer.digest)],
      layers.map(layer => layer.chainId),
    );
    saved.push(await prepare(context, each));
  }
  undo.move();
  return writeArchive(context, lease, saved, signal);
}

async function prepare(context: ImageContext, { image, names }: NamedImage): Promise<SavedImage> {
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
  return { image, names, layers, manifest: { bytes, digest: sha256(bytes) } };
}

const plainTypeOf = (mediaType: string): string =>
  mediaType.startsWith('application/vnd.oci.') ? mediaTypes.ociLayer : mediaTypes.dockerLayer;

function collectImages(context: ImageContext, names: readonly string[]): NamedImage[] {
  const saved = new Map<Digest, NamedImage>();
  const add = (image: ImageRecord, refs: readonly Reference[]): void => {
    const known = saved.get(image.id) ?? { image, names: [] };
    saved.set(image.id, known);
    for (const ref of refs) if (!known.names.some(other => canonicalString(other) === canonicalString(ref))) known.names.push(ref);
  };
  for (const name of names) {
    const ref = tryParseReference(name);
    const tagged = ref === undefined || ref.tag !== undefined || ref.digest !== undefined ? [] : tagsOf(context, ref);
    for (const entry of tagged) add(entry.image, [entry.ref]);
    if (tagged.length > 0) continue;
    const image = context.store.find(name);
    add(image, ref?.tag === undefined || context.store.isId(image, name) || ref.digest !== undefined ? [] : [ref]);
  }
  if (saved.size === 0) throw notFound('no image was named to save');
  return [...saved.values()];
}

function tagsOf(context: ImageContext, wanted: Reference): { readonly ref: Reference; readonly image: ImageRecord }[] {
  return context.store.allReferences().flatMap(({ ref, image: id }) => {
    const image = context.store.get(id);
    return ref.tag !== undefined && repositoryOf(ref) === repositoryOf(wanted) && image !== undefined ? [{ ref, image }] : [];
  });
}

async function* writeArchive(
  context: ImageContext,
  lease: Lease,
  saved: readonly SavedImage[],
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  await using _lease = lease;
  yield* writeTar(membersOf(context, saved, signal));
  for (const { image } of saved) await publishImageEvent(context, 'save', image.id);
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
  yield jsonFile('index.json', indexOf(saved));
  yield jsonFile('manifest.json', saved.map(savedItem));
  yield jsonFile('oci-layout', { imageLayoutVersion: '1.0.0' });
  const repositories = repositoriesOf(saved);
  if (Object.keys(repositories).length > 0) yield jsonFile('repositories', repositories);
}

const blobPath = (digest: Digest): string => `blobs/${digest.replace(':', '/')}`;

const jsonFile = (name: string, value: unknown): NewTarFile => ({
  entry: { name },
  content: new TextEncoder().encode(JSON.stringify(value)),
});

function indexOf(saved: readonly SavedImage[]): object {
  const manifests: object[] = [];
  for (const {
    names,
    manifest: { bytes, digest },
  } of saved) {
    const { mediaType } = parseManifest(bytes);
    const descriptor = { mediaType, digest, size: bytes.length };
    if (names.length === 0) manifests.push(descriptor);
    for (const ref of names) {
      const annotations = { 'io.containerd.image.name': canonicalString(ref), 'org.opencontainers.image.ref.name': ref.tag ?? '' };
      manifests.push({ ...descriptor, annotations });
    }
  }
  return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
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
