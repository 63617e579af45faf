import { type Descriptor, isImageEntry, parseManifest } from '#oci/manifest.ts';
import { formatPlatform } from '#oci/platform.ts';
import { type Reference, withDigest } from '#oci/reference.ts';
import type { RemoteImages } from '../../remote/remote-images.ts';

interface Attestations {
  /** `{ SLSA: … }`, or by platform. */
  readonly provenance: Readonly<Record<string, unknown>>;
  /** `{ SPDX: … }`, or by platform. */
  readonly sbom: Readonly<Record<string, unknown>>;
}

/** What BuildKit attested of the images of an index (in-toto statements): how they were made, and what is in them. */
export async function attestationsOf(remote: RemoteImages, name: Reference, manifests: readonly Descriptor[]): Promise<Attestations> {
  const images = manifests.filter(isImageEntry);
  const provenance: Record<string, unknown> = {};
  const sbom: Record<string, unknown> = {};
  for (const image of images) {
    const entry = manifests.find(({ annotations }) => annotations?.['vnd.docker.reference.digest'] === image.digest);
    if (entry === undefined) continue;
    const { bytes, mediaType } = await remote.content(withDigest(name, entry.digest));
    const manifest = parseManifest(bytes, mediaType);
    if (manifest.kind !== 'manifest') continue;
    const platform = image.platform === undefined ? image.digest : formatPlatform(image.platform);
    for (const layer of manifest.layers) {
      const kind = layer.annotations?.['in-toto.io/predicate-type'] ?? '';
      const read = async (): Promise<unknown> =>
        (JSON.parse(new TextDecoder().decode(await remote.blob(name, layer))) as { readonly predicate?: unknown }).predicate;
      if (kind.startsWith('https://slsa.dev/provenance/')) provenance[platform] = { SLSA: await read() };
      else if (kind === 'https://spdx.dev/Document') sbom[platform] = { SPDX: await read() };
    }
  }
  const only = (all: Record<string, unknown>): Record<string, unknown> =>
    images.length === 1 ? ((Object.values(all)[0] as Record<string, unknown> | undefined) ?? {}) : all;
  return { provenance: only(provenance), sbom: only(sbom) };
}
