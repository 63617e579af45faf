import { sha256 } from '#oci/digest.ts';
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
