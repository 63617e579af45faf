import { type Digest, tryParseDigest } from '#oci/digest.ts';
import { mediaTypes } from '#oci/manifest.ts';
import { refusal } from './refusal.ts';

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: unknown;
  readonly urls?: readonly string[];
}

/** What the registry has to know of a manifest; the bytes themselves are kept as they came. */
export interface ManifestContent {
  readonly mediaType: string;
  /** Blobs that the repository must have. */
  readonly blobs: readonly Descriptor[];
  /** Manifests (of an index) that the repository must have. */
  readonly manifests: readonly Descriptor[];
  /** Layers that may be fetched from elsewhere. */
  readonly foreign: readonly Descriptor[];
  readonly subject: Descriptor | undefined;
  /** What it is, for those who look for referrers: its own `artifactType`, else its config's media type. */
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

const artifactManifest = 'application/vnd.oci.artifact.manifest.v1+json';
const indexTypes: readonly string[] = [mediaTypes.ociIndex, mediaTypes.dockerIndex];
const imageTypes: readonly string[] = [mediaTypes.ociManifest, mediaTypes.dockerManifest];
const known: readonly string[] = [...indexTypes, ...imageTypes, artifactManifest];

/**
 * Reads a manifest of any type whose references are known: without them the collector could not keep what it needs. `contentType` is what the client
 * called it; undefined for one that is stored already. Refuses with MANIFEST_INVALID.
 */
export function readManifest(bytes: Uint8Array, contentType: string | undefined): ManifestContent {
  const json = parseObject(bytes);
  const announced = contentType?.split(';')[0]?.trim();
  const own = json.mediaType;
  if (own !== undefined && typeof own !== 'string') throw invalid('"mediaType" is not a text');
  const named = own === undefined || own === '' ? undefined : own;
  if (announced !== undefined && announced !== '' && named !== undefined && announced !== named && known.includes(announced))
    throw invalid(`it was sent as ${announced}, but calls itself ${named}`);
  const mediaType = named ?? (announced !== undefined && known.includes(announced) ? announced : guess(json));
  if (mediaType === mediaTypes.dockerSchema1 || mediaType === mediaTypes.dockerSchema1Signed || json.schemaVersion === 1)
    throw invalid('schema version 1 is withdrawn: push the image with a current tool');
  if (!known.includes(mediaType)) throw invalid(`manifests of type ${mediaType.slice(0, 200)} are not supported`);
  if (mediaType !== artifactManifest && json.schemaVersion !== 2)
    throw invalid(`unsupported schema version ${JSON.stringify(json.schemaVersion)}`);

  const subject = json.subject === undefined || json.subject === null ? undefined : descriptor(json.subject, 'subject');
  const annotations = textMap(json.annotations, 'annotations');
  const artifactType = typeof json.artifactType === 'string' && json.artifactType !== '' ? json.artifactType : undefined;
  if (indexTypes.includes(mediaType)) {
    if (json.layers !== undefined || json.config !== undefined) throw invalid('an index has neither "config" nor "layers"');
    return { mediaType, blobs: [], manifests: list(json.manifests, 'manifests'), foreign: [], subject, artifactType, annotations };
  }
  if (json.manifests !== undefined) throw invalid('only an index has "manifests"');
  if (mediaType === artifactManifest) {
    const blobs = json.blobs === undefined ? [] : list(json.blobs, 'blobs');
    return { mediaType, blobs, manifests: [], foreign: [], subject, artifactType, annotations };
  }
  const config = descriptor(json.config, 'config');
  const layers = list(json.layers, 'layers');
  const isForeign = (layer: Descriptor): boolean =>
    /\.foreign\.|\.nondistributable\./.test(layer.mediaType) || (layer.urls?.length ?? 0) > 0;
  return {
    mediaType,
    blobs: [config, ...layers.filter(layer => !isForeign(layer))],
    manifests: [],
    foreign: layers.filter(isForeign),
    subject,
    artifactType: artifactType ?? (config.mediaType === '' ? undefined : config.mediaType),
    annotations,
  };
}

function parseObject(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (err) {
    throw refusal('MANIFEST_INVALID', 'manifest invalid: it is not JSON', { cause: err });
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw invalid('it is not a JSON object');
  return json as Record<string, unknown>;
}

function guess(json: Readonly<Record<string, unknown>>): string {
  if (Array.isArray(json.manifests)) return mediaTypes.ociIndex;
  if (json.config !== undefined) return mediaTypes.ociManifest;
  if (json.schemaVersion === 1) return mediaTypes.dockerSchema1;
  throw invalid('it has neither a config nor a list of manifests');
}

function list(value: unknown, field: string): Descriptor[] {
  if (!Array.isArray(value)) throw invalid(`"${field}" is not a list`);
  return value.map((item, index) => descriptor(item, `${field}[${String(index)}]`));
}

function descriptor(value: unknown, field: string): Descriptor {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`"${field}" is not a descriptor`);
  const { mediaType, digest, size, artifactType, annotations, platform, urls } = value as Record<string, unknown>;
  const parsed = typeof digest === 'string' ? tryParseDigest(digest) : undefined;
  if (parsed === undefined) throw invalid(`"${field}" has the bad digest ${String(JSON.stringify(digest)).slice(0, 200)}`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw invalid(`"${field}" has the bad size ${String(JSON.stringify(size)).slice(0, 50)}`);
  if (mediaType !== undefined && typeof mediaType !== 'string') throw invalid(`"${field}" has a media type that is not a text`);
  if (urls !== undefined && urls !== null && !(Array.isArray(urls) && urls.every(url => typeof url === 'string')))
    throw invalid(`"${field}" has urls that are not a list of texts`);
  const texts = textMap(annotations, `${field}.annotations`);
  return {
    mediaType: mediaType ?? '',
    digest: parsed,
    size,
    ...(typeof artifactType === 'string' && artifactType !== '' && { artifactType }),
    ...(texts !== undefined && { annotations: texts }),
    ...(platform !== undefined && { platform }),
    ...(Array.isArray(urls) && { urls: urls as string[] }),
  };
}

function textMap(value: unknown, field: string): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'object' || Array.isArray(value) || !Object.values(value).every(text => typeof text === 'string'))
    throw invalid(`"${field}" is not an object of texts`);
  return value as Record<string, string>;
}

const invalid = (why: string): Error => refusal('MANIFEST_INVALID', `manifest invalid: ${why}`);
