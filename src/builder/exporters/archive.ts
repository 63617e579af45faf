import { encodedOf } from '#oci/digest.ts';
import { mediaTypes } from '#oci/manifest.ts';
import { canonicalString, familiarString, type Reference } from '#oci/reference.ts';
import { type NewTarFile, writeTar } from '#oci/tar/writer.ts';
import type { ImageBundle } from './image-bundle.ts';

/** An OCI layout as an archive; with `isDocker` also what `docker load` of every version looks for. The same images give the same bytes. */
export function writeImageArchive(
  bundle: ImageBundle,
  names: readonly Reference[],
  { isDocker }: { readonly isDocker: boolean },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  return writeTar(layoutFiles(bundle, names, { isDocker }, signal));
}

/** The files of an OCI layout. */
export async function* layoutFiles(
  bundle: ImageBundle,
  names: readonly Reference[],
  { isDocker }: { readonly isDocker: boolean },
  signal: AbortSignal,
): AsyncGenerator<NewTarFile, void, undefined> {
  await Promise.resolve();
  yield { entry: { name: 'blobs', type: 'directory' } };
  yield { entry: { name: 'blobs/sha256', type: 'directory' } };
  const written = new Set<string>();
  for (const { descriptor, open } of bundle.blobs) {
    if (written.has(descriptor.digest)) continue;
    written.add(descriptor.digest);
    yield { entry: { name: blobPath(descriptor.digest), sizeBytes: descriptor.size }, content: open(signal) };
  }
  for (const { descriptor, bytes } of bundle.manifests) {
    if (written.has(descriptor.digest)) continue;
    written.add(descriptor.digest);
    yield { entry: { name: blobPath(descriptor.digest), sizeBytes: bytes.length }, content: bytes };
  }
  yield jsonFile('index.json', indexOf(bundle, names));
  if (isDocker) yield jsonFile('manifest.json', dockerManifest(bundle, names));
  yield jsonFile('oci-layout', { imageLayoutVersion: '1.0.0' });
}

const blobPath = (digest: string): string => `blobs/${digest.replace(':', '/')}`;

const jsonFile = (name: string, value: unknown): NewTarFile => ({
  entry: { name },
  content: new TextEncoder().encode(JSON.stringify(value)),
});

function indexOf({ root }: ImageBundle, names: readonly Reference[]): object {
  const named = names.map(name => ({
    ...root,
    annotations: {
      ...root.annotations,
      'io.containerd.image.name': canonicalString(name),
      'org.opencontainers.image.ref.name': name.tag ?? '',
    },
  }));
  return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: named.length === 0 ? [root] : named };
}

function dockerManifest({ configs, blobs }: ImageBundle, names: readonly Reference[]): object[] {
  const layers = blobs.filter(({ descriptor }) => /\.tar(?:[.+]\w+)?$/.test(descriptor.mediaType));
  return configs.map(config => ({
    Config: blobPath(config.digest),
    RepoTags: names.length === 0 ? null : names.map(familiarString),
    Layers: layers.map(({ descriptor }) => `blobs/sha256/${encodedOf(descriptor.digest)}`),
  }));
}
