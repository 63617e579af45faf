import { sha256 } from '#oci/digest.ts';
import { type Descriptor, mediaTypes } from '#oci/manifest.ts';
import { formatPlatform, type Platform } from '#oci/platform.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import type { Bundle, BundleBlob, BundleManifest } from '#core/image-bundle.ts';

/** One image of a bundle. */
export interface BundleImage {
  readonly platform: Platform;
  readonly config: ImageConfigFile;
  /** Bottom first. */
  readonly layers: readonly BundleBlob[];
  /** What is said about the image: in-toto statements. */
  readonly attestations: readonly Attestation[];
}

export interface Attestation {
  readonly predicateType: string;
  readonly predicate: object;
}

export interface BundleOptions {
  /** OCI's media types instead of Docker's. */
  readonly isOci: boolean;
  /** An index even around one image. */
  readonly isIndex: boolean;
  readonly annotations: readonly Annotation[];
}

/** `annotation[-type][[platform]].key=value`. */
export interface Annotation {
  readonly target: 'manifest' | 'manifest-descriptor' | 'index' | 'index-descriptor';
  /** As `formatPlatform` writes it; undefined: every one. */
  readonly platform: string | undefined;
  readonly key: string;
  readonly value: string;
}

export interface ImageBundle extends Bundle {
  /** The whole, with the annotations that belong to its place in an outer index. */
  readonly root: Descriptor;
  readonly configs: readonly Descriptor[];
}

const encoder = new TextEncoder();

interface MemoryBlob extends BundleBlob {
  readonly bytes: Uint8Array;
}

const memoryBlob = (mediaType: string, bytes: Uint8Array): MemoryBlob => ({
  bytes,
  descriptor: { mediaType, digest: sha256(bytes), size: bytes.length },
  open: async function* () {
    yield await Promise.resolve(bytes);
  },
});

/** Blobs and manifests of images, in the order in which a registry takes them. */
export function bundleImages(images: readonly BundleImage[], options: BundleOptions): ImageBundle {
  const isIndex = options.isIndex || images.length > 1 || images.some(({ attestations }) => attestations.length > 0);
  // Attestations exist in OCI's world only.
  const isOci = options.isOci || isIndex || options.annotations.length > 0;
  const blobs: BundleBlob[] = [];
  const manifests: BundleManifest[] = [];
  const entries: Descriptor[] = [];
  const statements: Descriptor[] = [];
  const configs: Descriptor[] = [];
  for (const image of images) {
    const config = memoryBlob(isOci ? mediaTypes.ociConfig : mediaTypes.dockerConfig, encoder.encode(JSON.stringify(image.config)));
    blobs.push(...image.layers, config);
    configs.push(config.descriptor);
    const annotations = annotationsFor(options.annotations, 'manifest', image.platform);
    const manifest = encodeManifest(
      {
        mediaType: isOci ? mediaTypes.ociManifest : mediaTypes.dockerManifest,
        config: config.descriptor,
        layers: image.layers.map(({ descriptor }) => ({ ...plain(descriptor), mediaType: layerType(descriptor.mediaType, isOci) })),
      },
      annotations,
    );
    manifests.push(manifest);
    const described = annotationsFor(options.annotations, 'manifest-descriptor', image.platform);
    entries.push({ ...manifest.descriptor, ...described, platform: image.platform });
    if (image.attestations.length > 0) {
      const attestation = bundleAttestations(image, manifest.descriptor);
      blobs.push(...attestation.blobs);
      manifests.push(attestation.manifest);
      statements.push(attestation.entry);
    }
  }
  const [only] = manifests;
  const described = annotationsFor(options.annotations, 'index-descriptor', undefined);
  if (!isIndex && only !== undefined) return { blobs, manifests, configs, root: { ...only.descriptor, ...described } };
  const index = encodeManifest(
    { mediaType: mediaTypes.ociIndex, manifests: [...entries, ...statements] },
    annotationsFor(options.annotations, 'index', undefined),
  );
  return { blobs, manifests: [...manifests, index], configs, root: { ...index.descriptor, ...described } };
}

/** Annotations of images that no runtime looks for: attestations are listed beside the image they are about. */
export function bundleAttestations({ attestations, platform }: Pick<BundleImage, 'attestations' | 'platform'>, about: Descriptor) {
  const layers = attestations.map(({ predicateType, predicate }) => {
    const subject = [
      {
        name: `pkg:docker/image?platform=${encodeURIComponent(formatPlatform(platform))}`,
        digest: { sha256: about.digest.slice('sha256:'.length) },
      },
    ];
    const blob = memoryBlob(inTotoType, encoder.encode(JSON.stringify({ _type: statementType, predicateType, subject, predicate })));
    return { ...blob, descriptor: { ...blob.descriptor, annotations: { 'in-toto.io/predicate-type': predicateType } } };
  });
  const config = memoryBlob(
    mediaTypes.ociConfig,
    encoder.encode(
      JSON.stringify({
        architecture: 'unknown',
        os: 'unknown',
        config: {},
        rootfs: { type: 'layers', diff_ids: layers.map(({ descriptor }) => descriptor.digest) },
      }),
    ),
  );
  const manifest = encodeManifest(
    { mediaType: mediaTypes.ociManifest, config: config.descriptor, layers: layers.map(({ descriptor }) => descriptor) },
    {},
  );
  const entry: Descriptor = {
    ...manifest.descriptor,
    annotations: { 'vnd.docker.reference.digest': about.digest, 'vnd.docker.reference.type': 'attestation-manifest' },
    platform: { architecture: 'unknown', os: 'unknown' },
  };
  return { blobs: [...layers, config], manifest, entry };
}

const inTotoType = 'application/vnd.in-toto+json';
const statementType = 'https://in-toto.io/Statement/v0.1';

function encodeManifest(
  { mediaType, ...content }: { readonly mediaType: string; readonly [key: string]: unknown },
  annotations: { readonly annotations?: Readonly<Record<string, string>> },
): BundleManifest {
  const bytes = encoder.encode(JSON.stringify({ schemaVersion: 2, mediaType, ...content, ...annotations }, undefined, 2));
  return { descriptor: { mediaType, digest: sha256(bytes), size: bytes.length }, bytes };
}

const plain = ({ mediaType, digest, size }: Descriptor): Descriptor => ({ mediaType, digest, size });

function layerType(mediaType: string, isOci: boolean): string {
  if (mediaType.endsWith('zstd')) return mediaTypes.ociLayerZstd;
  if (mediaType.endsWith('gzip')) return isOci ? mediaTypes.ociLayerGzip : mediaTypes.dockerLayerGzip;
  return isOci ? mediaTypes.ociLayer : mediaTypes.dockerLayer;
}

/** Those that are meant for this place. */
export function annotationsFor(
  all: readonly Annotation[],
  target: Annotation['target'],
  platform: Platform | undefined,
): { readonly annotations?: Readonly<Record<string, string>> } {
  const own = all.filter(
    each =>
      each.target === target && (each.platform === undefined || (platform !== undefined && each.platform === formatPlatform(platform))),
  );
  return own.length === 0 ? {} : { annotations: Object.fromEntries(own.map(({ key, value }) => [key, value])) };
}
