import { dataLoss } from '#base/errors.ts';
import { type Digest, tryParseDigest } from './digest.ts';
import { normalizePlatform, type Platform, platformRank } from './platform.ts';

/** OCI image spec, media-types.md, and the names Docker used before it. */
export const mediaTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const;

export const manifestMediaTypes: readonly string[] = [
  mediaTypes.dockerManifest,
  mediaTypes.dockerIndex,
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
];

/** Points at a blob (OCI image spec, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform?: Platform;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly urls?: readonly string[];
}

export interface ImageManifest {
  readonly kind: 'manifest';
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

export interface ImageIndex {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
}

/**
 * Reads a manifest or an index. `contentType` is what the registry or a descriptor called it. Rejects with DataLoss when it is neither, or is
 * incomplete, or calls itself something else than it was announced as.
 */
export function parseManifest(bytes: Uint8Array, contentType?: string): ImageManifest | ImageIndex {
  const announced = contentType?.split(';')[0]?.trim();
  const json = parseObject(bytes, announced);
  if (json.schemaVersion === 1) {
    throw dataLoss('the image manifest has the withdrawn schema version 1: push the image again with a current tool');
  }
  const own = typeof json.mediaType === 'string' && json.mediaType !== '' ? json.mediaType : undefined;
  const mediaType = own ?? (announced !== undefined && manifestMediaTypes.includes(announced) ? announced : guessMediaType(json));
  if (announced !== undefined && own !== undefined && manifestMediaTypes.includes(announced) && announced !== own) {
    throw dataLoss(`invalid manifest: announced as ${announced}, but it says ${own}`);
  }
  if (json.schemaVersion !== 2) throw dataLoss(`invalid manifest: unsupported schema version ${JSON.stringify(json.schemaVersion)}`);
  if (mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerIndex) {
    return { kind: 'index', mediaType, manifests: list(json.manifests, 'manifests').map(entry => parseDescriptor(entry, 'manifests')) };
  }
  if (mediaType === mediaTypes.ociManifest || mediaType === mediaTypes.dockerManifest) {
    return {
      kind: 'manifest',
      mediaType,
      config: parseDescriptor(json.config, 'config'),
      layers: list(json.layers, 'layers').map(entry => parseDescriptor(entry, 'layers')),
    };
  }
  throw dataLoss(`unsupported manifest media type "${mediaType}"`);
}

function parseObject(bytes: Uint8Array, announced: string | undefined): Record<string, unknown> {
  const text = new TextDecoder().decode(bytes);
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  } catch {
    // Reported below with what it is instead.
  }
  const looks = /^\s*</.test(text) ? 'an HTML page' : bytes.length === 0 ? 'nothing' : 'something else';
  throw dataLoss(`invalid manifest: expected a JSON object, got ${looks}${announced === undefined ? '' : ` (content type ${announced})`}`);
}

function guessMediaType(json: Readonly<Record<string, unknown>>): string {
  if (Array.isArray(json.manifests) && json.config === undefined && json.layers === undefined) return mediaTypes.ociIndex;
  if (json.config !== undefined && json.manifests === undefined) return mediaTypes.ociManifest;
  throw dataLoss('invalid manifest: it has neither a config nor a list of manifests');
}

function list(value: unknown, field: string): readonly unknown[] {
  if (!Array.isArray(value)) throw dataLoss(`invalid manifest: "${field}" is not a list`);
  return value;
}

function parseDescriptor(value: unknown, field: string): Descriptor {
  if (typeof value !== 'object' || value === null) throw dataLoss(`invalid manifest: "${field}" is not a descriptor`);
  const { mediaType, digest, size, platform, annotations, urls } = value as Record<string, unknown>;
  const parsed = typeof digest === 'string' ? tryParseDigest(digest) : undefined;
  if (parsed === undefined) throw dataLoss(`invalid manifest: bad digest ${JSON.stringify(digest)} in "${field}"`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw dataLoss(`invalid manifest: bad size ${JSON.stringify(size)} of ${parsed}`);
  }
  return {
    mediaType: typeof mediaType === 'string' ? mediaType : '',
    digest: parsed,
    size,
    ...(typeof platform === 'object' && platform !== null && { platform: parsePlatformOf(platform, parsed) }),
    ...(isTextMap(annotations) && { annotations }),
    ...(Array.isArray(urls) && urls.every(url => typeof url === 'string') && { urls }),
  };
}

function parsePlatformOf(value: object, digest: Digest): Platform {
  const { os, architecture, variant } = value as Record<string, unknown>;
  const text = (field: unknown): string | undefined => {
    if (field === undefined || field === null || typeof field === 'string') return field ?? undefined;
    throw dataLoss(`invalid manifest: bad platform ${JSON.stringify(value).slice(0, 200)} of ${digest}`);
  };
  return normalizePlatform({ os: text(os), architecture: text(architecture), variant: text(variant) });
}

const isTextMap = (value: unknown): value is Readonly<Record<string, string>> =>
  typeof value === 'object' && value !== null && Object.values(value).every(entry => typeof entry === 'string');

/** Whether an entry of an index is an image at all: build attestations are listed as `unknown/unknown`. */
export const isImageEntry = (entry: Descriptor): boolean =>
  entry.platform?.os !== 'unknown' &&
  entry.platform?.architecture !== 'unknown' &&
  entry.annotations?.['vnd.docker.reference.type'] === undefined &&
  (entry.mediaType === '' || manifestMediaTypes.includes(entry.mediaType));

/** The entry of an index that runs best on a platform; undefined when none does. Entries without a platform are the last resort. */
export function selectManifest(index: ImageIndex, wanted: Platform): Descriptor | undefined {
  let best: { entry: Descriptor; rank: number } | undefined;
  for (const entry of index.manifests.filter(isImageEntry)) {
    const rank = entry.platform === undefined ? Number.MAX_SAFE_INTEGER : platformRank(wanted, entry.platform);
    if (rank !== undefined && (best === undefined || rank < best.rank)) best = { entry, rank };
  }
  return best?.entry;
}

/** True for a layer whose bytes registries do not keep (Docker's `foreign`, OCI's `nondistributable`). */
export const isForeignLayer = (layer: Descriptor): boolean => /\.foreign\.|\.nondistributable\./.test(layer.mediaType);

/**
 * A manifest as bytes, for layers that come from several places: Docker schema 2, or OCI where a layer is in a format that only OCI has a name for, and with annotations.
 * The layers' media types become those of the manifest's own family, because readers refuse a mixture.
 */
export function encodeManifest(
  config: { readonly digest: Digest; readonly size: number },
  layers: readonly Descriptor[],
  annotations?: Readonly<Record<string, string>>,
): Uint8Array {
  const isOci = annotations !== undefined || layers.some(layer => layer.mediaType.endsWith('zstd'));
  const manifest = {
    schemaVersion: 2,
    mediaType: isOci ? mediaTypes.ociManifest : mediaTypes.dockerManifest,
    config: { mediaType: isOci ? mediaTypes.ociConfig : mediaTypes.dockerConfig, size: config.size, digest: config.digest },
    layers: layers.map(({ mediaType, size, digest }) => ({ mediaType: layerTypeIn(isOci, mediaType), size, digest })),
    ...(annotations !== undefined && { annotations }),
  };
  return new TextEncoder().encode(JSON.stringify(manifest, undefined, 3));
}

const layerTypes: readonly (readonly [oci: string, docker: string])[] = [
  [mediaTypes.ociLayer, mediaTypes.dockerLayer],
  [mediaTypes.ociLayerGzip, mediaTypes.dockerLayerGzip],
];

/** The name of a layer's media type in OCI's world. */
export const ociLayerType = (mediaType: string): string => layerTypeIn(true, mediaType);

function layerTypeIn(isOci: boolean, mediaType: string): string {
  const [oci, docker] = layerTypes.find(names => names.includes(mediaType)) ?? [mediaType, mediaType];
  return isOci ? oci : docker;
}
