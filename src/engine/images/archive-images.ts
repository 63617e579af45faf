import { dataLoss, invalidArgument, notFound } from '#base/errors.ts';
import { type Digest, encodedOf, sha256 } from '#oci/digest.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import { type Descriptor, type ImageIndex, isImageEntry, mediaTypes, parseManifest, selectManifest } from '#oci/manifest.ts';
import { formatPlatform, normalizePlatform, type Platform, platformRank } from '#oci/platform.ts';
import { familiarString, parseReference, type Reference, tryParseReference } from '#oci/reference.ts';
import type { ImageArchive } from './archive.ts';
import type { IndexRecord } from './model.ts';
import { parseConfig } from './image-store.ts';
import { layerMediaTypes, type StoredLayer } from './store-layer.ts';

/** An image that an archive offers, checked as far as can be without unpacking. */
export interface ArchiveImage {
  readonly configBytes: Uint8Array;
  readonly config: ImageConfigFile;
  readonly manifestBytes: Uint8Array | undefined;
  readonly layers: readonly { readonly descriptor: Descriptor; readonly layer: StoredLayer }[];
  readonly names: readonly Reference[];
  /** The index that the names have, and its blobs. */
  readonly index?: { readonly record: IndexRecord; readonly blobs: readonly Uint8Array[] };
  /** The other platforms of the index that are in the archive. */
  readonly others?: readonly ArchiveImage[];
}

/**
 * The images in an archive: those of `manifest.json` (docker save, any age), else those of `index.json` (OCI layout). Of an index its name stands for the
 * entry that is best for this machine, and the others come along; with `only` these platforms alone, the first of them for the name, and images of other
 * platforms are an error. Rejects with InvalidArgument, DataLoss.
 */
export function listArchiveImages(archive: ImageArchive, machine: Platform, only: readonly Platform[]): ArchiveImage[] {
  const required = only.length === 1;
  const images = readImages(archive, only[0] ?? machine, required);
  if (only.length < 2) return images;
  const isMeant = (image: ArchiveImage): boolean => only.some(platform => isFor(image.config, platform));
  return images.map(image => {
    if (!isMeant(image)) checkPlatform(image.config, only[0] ?? machine, image.names.map(familiarString)[0] ?? '');
    return image.others === undefined ? image : { ...image, others: image.others.filter(isMeant) };
  });
}

function readImages(archive: ImageArchive, wanted: Platform, required: boolean): ArchiveImage[] {
  const listed = archive.json('manifest.json');
  const index = archive.json('index.json');
  if (listed !== undefined) {
    const layout = index && parseIndex(index);
    const manifests = layout === undefined ? [] : manifestsUnder(archive, layout);
    return parseSavedList(listed).map(item => {
      const image = fromSavedItem(archive, item, manifests);
      const whole = layout && indexWith(archive, layout, image);
      if (whole !== undefined && !required) return { ...image, ...whole };
      const meant = required ? whole?.others?.find(other => isFor(other.config, wanted)) : undefined;
      if (meant !== undefined && !isFor(image.config, wanted)) return { ...meant, names: image.names };
      if (required) checkPlatform(image.config, wanted, item.RepoTags[0] ?? sha256(image.configBytes));
      return image;
    });
  }
  if (index !== undefined) return fromLayout(archive, parseIndex(index), wanted, required);
  throw invalidArgument('invalid archive: does not contain a manifest.json');
}

interface SavedItem {
  readonly Config: string;
  readonly RepoTags: readonly string[];
  readonly Layers: readonly string[];
}

function parseSavedList(bytes: Uint8Array): SavedItem[] {
  const isTextList = (value: unknown): value is string[] => Array.isArray(value) && value.every(entry => typeof entry === 'string');
  const list = parseJson(bytes, 'manifest.json');
  if (!Array.isArray(list)) throw dataLoss('invalid archive: manifest.json is not a list of images');
  return list.map((item: unknown) => {
    const { Config, RepoTags, Layers } = (item ?? {}) as Record<string, unknown>;
    if (typeof Config !== 'string' || !isTextList(Layers ?? []) || !isTextList(RepoTags ?? [])) {
      throw dataLoss('invalid archive: manifest.json has an image without Config or Layers');
    }
    return { Config, RepoTags: (RepoTags ?? []) as string[], Layers: (Layers ?? []) as string[] };
  });
}

function parseJson(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw dataLoss(`invalid archive: ${path} is not JSON`, { cause });
  }
}

function parseIndex(bytes: Uint8Array): ImageIndex {
  const index = parseManifest(bytes, mediaTypes.ociIndex);
  if (index.kind !== 'index') throw dataLoss('invalid archive: index.json is not an index');
  return index;
}

function fromSavedItem(archive: ImageArchive, item: SavedItem, manifests: readonly Uint8Array[]): ArchiveImage {
  const configBytes = archive.json(item.Config);
  if (configBytes === undefined) throw dataLoss(`invalid archive: ${item.Config} is missing`);
  const id = sha256(configBytes);
  const config = parseConfig(configBytes, id);
  const layers = item.Layers.map(path => {
    const layer = archive.layer(path);
    if (layer === undefined) throw dataLoss(`invalid archive: layer ${path} is missing`);
    return { layer, descriptor: describeLayer(layer) };
  });
  const names = item.RepoTags.map(parseTag);
  const original = manifests.find(bytes => isManifestOf(bytes, id, layers));
  if (original === undefined) return { configBytes, config, manifestBytes: undefined, layers, names };
  return { ...fromManifest(archive, original), names };
}

function parseTag(text: string): Reference {
  const ref = parseReference(text);
  if (ref.tag === undefined) throw invalidArgument(`invalid tag "${text}"`);
  return ref;
}

/** Whether a manifest lists exactly this config and these blobs. */
function isManifestOf(bytes: Uint8Array, id: Digest, layers: readonly { readonly layer: StoredLayer }[]): boolean {
  const manifest = parseManifest(bytes);
  return (
    manifest.kind === 'manifest' &&
    manifest.config.digest === id &&
    manifest.layers.length === layers.length &&
    manifest.layers.every((layer, index) => layer.digest === layers[index]?.layer.blob.digest)
  );
}

/** The bytes of every image manifest that the archive has, through nested indexes. */
function manifestsUnder(archive: ImageArchive, index: ImageIndex, depth = 0): Uint8Array[] {
  return index.manifests.flatMap(entry => {
    const bytes = archive.json(blobPath(entry.digest));
    if (bytes === undefined || !isImageEntry(entry)) return [];
    const inner = parseManifest(bytes, entry.mediaType);
    if (inner.kind === 'manifest') return [bytes];
    return depth < maxDepth ? manifestsUnder(archive, inner, depth + 1) : [];
  });
}

const maxDepth = 4;
const blobPath = (digest: Digest): string => `blobs/sha256/${encodedOf(digest)}`;

function fromLayout(archive: ImageArchive, index: ImageIndex, wanted: Platform, required: boolean): ArchiveImage[] {
  const groups = new Map<string, Descriptor[]>();
  for (const entry of index.manifests.filter(isImageEntry)) {
    const name = nameOf(entry);
    // Without a name the platform tells apart: entries that have one are the same image for several machines.
    const key = name ?? (entry.platform === undefined ? entry.digest : '');
    groups.set(key, [...(groups.get(key) ?? []), entry]);
  }
  return [...groups].map(([key, entries]) => {
    const ref = tryParseReference(key);
    const names = ref?.tag === undefined || key === entries[0]?.digest ? [] : [ref];
    const bytes = selectBytes(archive, { kind: 'index', mediaType: mediaTypes.ociIndex, manifests: entries }, wanted);
    const image = { ...fromManifest(archive, bytes), names };
    const whole = required ? undefined : wholeIndex(archive, entries[0], image);
    return whole === undefined ? image : { ...image, ...whole };
  });
}

/** The index in the archive that an image of manifest.json is one platform of. */
function indexWith(archive: ImageArchive, layout: ImageIndex, image: ArchiveImage): Pick<ArchiveImage, 'index' | 'others'> | undefined {
  const { manifestBytes } = image;
  if (manifestBytes === undefined) return undefined;
  const digest = sha256(manifestBytes);
  for (const entry of layout.manifests) {
    const whole = wholeIndex(archive, entry, image);
    if (whole?.index?.record.entries.some(inner => inner.digest === digest) === true) return whole;
  }
  return undefined;
}

/** An index with its images that are in the archive; undefined when the entry is none, or a nested one. */
function wholeIndex(
  archive: ImageArchive,
  entry: Descriptor | undefined,
  image: ArchiveImage,
): Pick<ArchiveImage, 'index' | 'others'> | undefined {
  const bytes = entry && archive.json(blobPath(entry.digest));
  if (bytes === undefined) return undefined;
  const parsed = parseManifest(bytes, entry?.mediaType);
  // What a name stands for without its images has nothing to be kept for.
  if (parsed.kind !== 'index' || image.names.length === 0) return undefined;
  const blobs: Uint8Array[] = [bytes];
  const others: ArchiveImage[] = [];
  for (const inner of parsed.manifests) {
    const manifestBytes = archive.json(blobPath(inner.digest));
    const manifest = manifestBytes && parseManifest(manifestBytes, inner.mediaType);
    if (manifestBytes === undefined || manifest?.kind !== 'manifest') continue;
    if (isImageEntry(inner)) {
      if (sha256(manifestBytes) === (image.manifestBytes && sha256(image.manifestBytes))) continue;
      if (archive.json(blobPath(manifest.config.digest)) === undefined) continue;
      others.push({ ...fromManifest(archive, manifestBytes), names: [] });
    } else {
      const parts = [manifest.config, ...manifest.layers].map(part => archive.json(blobPath(part.digest)));
      if (parts.every(part => part !== undefined)) blobs.push(manifestBytes, ...parts);
    }
  }
  const record = { digest: sha256(bytes), mediaType: parsed.mediaType, blobs: blobs.map(blob => sha256(blob)), entries: parsed.manifests };
  return { index: { record, blobs }, others };
}

/** A full name that the entry's annotations give; a bare tag names nothing. */
function nameOf(entry: Descriptor): string | undefined {
  const full = entry.annotations?.['io.containerd.image.name'];
  if (full !== undefined) return full;
  const name = entry.annotations?.['org.opencontainers.image.ref.name'];
  return name !== undefined && /[:/]/.test(name) ? name : undefined;
}

function selectBytes(archive: ImageArchive, index: ImageIndex, wanted: Platform, depth = 0): Uint8Array {
  const entry = selectManifest(index, wanted);
  if (entry === undefined) throw notFound(`no matching manifest for ${formatPlatform(wanted)} in the manifest list entries`);
  const bytes = archive.json(blobPath(entry.digest));
  if (bytes === undefined) throw dataLoss(`invalid archive: manifest ${entry.digest} is missing`);
  const manifest = parseManifest(bytes, entry.mediaType);
  if (manifest.kind === 'manifest') return bytes;
  if (depth >= maxDepth) throw dataLoss('invalid archive: indexes are nested too deeply');
  return selectBytes(archive, manifest, wanted, depth + 1);
}

function fromManifest(archive: ImageArchive, manifestBytes: Uint8Array): Omit<ArchiveImage, 'names'> {
  const manifest = parseManifest(manifestBytes);
  if (manifest.kind !== 'manifest') throw dataLoss('invalid archive: an index where an image manifest was expected');
  const configBytes = archive.json(blobPath(manifest.config.digest));
  if (configBytes === undefined) throw dataLoss(`invalid archive: config ${manifest.config.digest} is missing`);
  const layers = manifest.layers.map(descriptor => {
    const layer = archive.layer(blobPath(descriptor.digest));
    if (layer === undefined) throw dataLoss(`invalid archive: layer ${descriptor.digest} is missing`);
    if (layer.blob.sizeBytes !== descriptor.size) {
      throw dataLoss(`invalid archive: layer ${descriptor.digest} has ${layer.blob.sizeBytes} bytes, its manifest says ${descriptor.size}`);
    }
    return { descriptor, layer };
  });
  return { configBytes, config: parseConfig(configBytes, manifest.config.digest), manifestBytes, layers };
}

const describeLayer = ({ blob, compression }: StoredLayer): Descriptor => ({
  mediaType: layerMediaTypes[compression],
  digest: blob.digest,
  size: blob.sizeBytes,
});

const isFor = (config: ImageConfigFile, wanted: Platform): boolean => platformRank(wanted, normalizePlatform(config)) !== undefined;

function checkPlatform(config: ImageConfigFile, wanted: Platform, name: string): void {
  if (isFor(config, wanted)) return;
  const own = normalizePlatform(config);
  throw notFound(
    `image with reference ${name} was found but its platform (${formatPlatform(own)}) does not match the specified platform (${formatPlatform(wanted)})`,
  );
}
