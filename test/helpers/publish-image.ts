import { type Digest, sha256 } from '#oci/digest.ts';
import type { MadeImage } from './make-image.ts';
import type { SmallRegistry } from './small-registry.ts';

const manifestType = 'application/vnd.oci.image.manifest.v1+json';

/** Puts an image into a registry; `mediaType` is that of its layers. Returns the manifest's digest. */
export function publishImage(
  registry: SmallRegistry,
  repository: string,
  tag: string,
  image: MadeImage,
  mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip',
): string {
  const describe = (data: Uint8Array, type: string): object => {
    registry.blobs.set(sha256(data), data);
    return { mediaType: type, digest: sha256(data), size: data.length };
  };
  const bytes = new TextEncoder().encode(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: describe(image.config, 'application/vnd.oci.image.config.v1+json'),
      layers: image.layers.map(layer => describe(layer, mediaType)),
    }),
  );
  const digest = sha256(bytes);
  for (const key of [`${repository}:${tag}`, `${repository}@${digest}`]) registry.manifests.set(key, { bytes, mediaType: manifestType });
  return digest;
}

/** What is published with an image for several platforms, by its digests. */
export interface PublishedIndex {
  readonly index: Digest;
  /** By architecture. */
  readonly attestations: ReadonlyMap<string, Digest>;
}

/**
 * Puts an index of images into a registry, with what is attested of each: statements by predicate type, as they are to be found again. Their platforms are
 * Linux on the architectures that they are given by.
 */
export function publishIndex(
  registry: SmallRegistry,
  repository: string,
  tag: string,
  images: Readonly<Record<string, { readonly image: MadeImage; readonly statements?: Readonly<Record<string, string>> }>>,
): PublishedIndex {
  const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const keep = (data: Uint8Array, mediaType: string): object => {
    registry.blobs.set(sha256(data), data);
    return { mediaType, digest: sha256(data), size: data.length };
  };
  const put = (bytes: Uint8Array, mediaType: string, name?: string): Digest => {
    for (const key of [`${repository}@${sha256(bytes)}`, ...(name === undefined ? [] : [`${repository}:${name}`])])
      registry.manifests.set(key, { bytes, mediaType });
    return sha256(bytes);
  };
  const attestations = new Map<string, Digest>();
  const manifests: object[] = [];
  for (const [architecture, { image }] of Object.entries(images)) {
    const digest = publishImage(registry, repository, architecture, image);
    const size = registry.manifests.get(`${repository}@${digest}`)?.bytes.length ?? 0;
    manifests.push({ mediaType: manifestType, digest, size, platform: { os: 'linux', architecture } });
  }
  for (const [architecture, { statements = {} }] of Object.entries(images)) {
    if (Object.keys(statements).length === 0) continue;
    const about = sha256(registry.manifests.get(`${repository}:${architecture}`)?.bytes ?? new Uint8Array());
    const layers = Object.entries(statements).map(([type, text]) => ({
      ...keep(new TextEncoder().encode(text), 'application/vnd.in-toto+json'),
      annotations: { 'in-toto.io/predicate-type': type },
    }));
    const config = keep(encode({ architecture: 'unknown', os: 'unknown', about }), 'application/vnd.oci.image.config.v1+json');
    const bytes = encode({ schemaVersion: 2, mediaType: manifestType, config, layers });
    const digest = put(bytes, manifestType);
    attestations.set(architecture, digest);
    const annotations = { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': about };
    const platform = { os: 'unknown', architecture: 'unknown' };
    manifests.push({ mediaType: manifestType, digest, size: bytes.length, annotations, platform });
  }
  const mediaType = 'application/vnd.oci.image.index.v1+json';
  return { index: put(encode({ schemaVersion: 2, mediaType, manifests }), mediaType, tag), attestations };
}
