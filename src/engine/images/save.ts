import { notFound } from '#base/errors.ts';
import { type Digest, encodedOf } from '#oci/digest.ts';
import { mediaTypes, parseManifest } from '#oci/manifest.ts';
import { canonicalString, familiarName, familiarString, type Reference, repositoryOf, tryParseReference } from '#oci/reference.ts';
import { type NewTarFile, writeTar } from '#oci/tar/writer.ts';
import type { ImageContext } from './context.ts';
import { readFileChunks } from './file-chunks.ts';
import { publishImageEvent } from './image-events.ts';
import type { ImageRecord } from './model.ts';
import type { Lease } from './retention.ts';

interface SavedImage {
  readonly image: ImageRecord;
  readonly names: Reference[];
}

/**
 * An archive with these images, which every Docker since version 1.10, skopeo and others load: an OCI layout and Docker's manifest.json beside
 * it, all layers as they are stored. A name without a tag stands for all its tags, an id for the image without a name. Rejects with NotFound
 * before the first byte. The images cannot be removed until the archive was read or dropped.
 */
export async function saveImages(
  context: ImageContext,
  names: readonly string[],
  signal: AbortSignal,
): Promise<AsyncGenerator<Uint8Array, void, undefined>> {
  const saved = collectImages(context, names);
  const lease = context.retention.lease();
  for (const { image } of saved) await lease.hold([image.id, image.manifest, ...image.layers.map(layer => layer.digest)], []);
  return writeArchive(context, lease, saved, signal);
}

function collectImages(context: ImageContext, names: readonly string[]): SavedImage[] {
  const saved = new Map<Digest, SavedImage>();
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
  for (const { image } of saved) {
    for (const digest of [...image.layers.map(layer => layer.digest), image.id, image.manifest]) {
      if (written.has(digest)) continue;
      written.add(digest);
      const path = await context.content.path(digest);
      const info = await context.content.info(digest);
      yield { entry: { name: blobPath(digest), sizeBytes: info?.sizeBytes ?? 0 }, content: readFileChunks(path, signal) };
    }
  }
  yield jsonFile('index.json', await indexOf(context, saved));
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

async function indexOf(context: ImageContext, saved: readonly SavedImage[]): Promise<object> {
  const manifests: object[] = [];
  for (const { image, names } of saved) {
    const bytes = await context.content.read(image.manifest);
    const { mediaType } = parseManifest(bytes);
    const descriptor = { mediaType, digest: image.manifest, size: bytes.length };
    if (names.length === 0) manifests.push(descriptor);
    for (const ref of names) {
      const annotations = { 'io.containerd.image.name': canonicalString(ref), 'org.opencontainers.image.ref.name': ref.tag ?? '' };
      manifests.push({ ...descriptor, annotations });
    }
  }
  return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
}

function savedItem({ image, names }: SavedImage): object {
  const sources = image.layers.map(layer => [layer.diffId, { mediaType: layer.mediaType, size: layer.sizeBytes, digest: layer.digest }]);
  return {
    Config: blobPath(image.id),
    RepoTags: names.length === 0 ? null : names.map(familiarString),
    Layers: image.layers.map(layer => blobPath(layer.digest)),
    LayerSources: Object.fromEntries(sources) as object,
  };
}

/** What Docker before version 1.10 looked for; it names the topmost layer. */
function repositoriesOf(saved: readonly SavedImage[]): Record<string, Record<string, string>> {
  const repositories: Record<string, Record<string, string>> = {};
  for (const { image, names } of saved) {
    const top = image.layers.at(-1);
    if (top === undefined) continue;
    for (const ref of names) (repositories[familiarName(ref)] ??= {})[ref.tag ?? 'latest'] = encodedOf(top.digest);
  }
  return repositories;
}
