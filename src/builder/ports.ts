import type { BuildFiles } from '#core/build-files.ts';
import type { ContentFile, ContentInfo } from '#core/content.ts';
import type { Bundle, BundleBlob } from '#core/image-bundle.ts';
import type { RegistryAuth, RegistryRepository, RepositoryAccess } from '#core/registry.ts';
import type { ChainId } from '#core/snapshots.ts';
import type { Digest } from '#oci/digest.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import type { Descriptor } from '#oci/manifest.ts';
import type { Platform } from '#oci/platform.ts';
import type { Reference } from '#oci/reference.ts';

export type { BuildFiles };

/** What builds need of the image store. */
export interface BuildImages {
  workspace(): BuildWorkspace;
  /** Removes what nobody needs any more of these. Returns the bytes that became free. */
  release(blobs: ReadonlySet<Digest>, chains: ReadonlySet<ChainId>): Promise<number>;
}

/** Whatever a workspace finds, pulls or makes stays until it is disposed; then what no image and no cache needs goes. */
export interface BuildWorkspace extends AsyncDisposable {
  /** An image that is here for this platform; undefined when there is none. */
  find(nameOrId: string, platform: Platform): Promise<BaseImage | undefined>;
  /** Brings an image here, or brings it up to date. */
  pull(
    reference: Reference,
    platform: Platform,
    auth: RegistryAuth | undefined,
    report: (progress: PullProgress) => void,
    signal: AbortSignal,
  ): Promise<BaseImage>;
  /** Holds a layer and its blob; false when one of them is gone. */
  hold(layer: Layer): Promise<boolean>;
  /** A file for the tar of a layer. */
  file(): Promise<ContentFile>;
  /** Makes a writable layer and the tar of what is in it a layer on `parent`. */
  commit(layer: MadeLayer, parent: ChainId | undefined): Promise<Layer>;
  /** Stores the tar of a layer that has no place yet, and unpacks it on `parent`. */
  stack(file: ContentFile, blob: ContentInfo, parent: ChainId | undefined, signal: AbortSignal): Promise<Layer>;
  /** Puts a layer that is held on another one: the same files in another place. */
  restack(layer: Layer, parent: ChainId | undefined, signal: AbortSignal): Promise<Layer>;
  /** Unpacks the blob of a layer on `parent`. Rejects with DataLoss when it is another layer. */
  unpackBlob(bytes: AsyncIterable<Uint8Array>, diffId: Digest, parent: ChainId | undefined, signal: AbortSignal): Promise<Layer>;
  /** Speaks of a repository. */
  registry(reference: Reference, access: RepositoryAccess): RegistryRepository;
  add(image: BuiltImage, signal: AbortSignal): Promise<{ readonly id: Digest }>;
  /** Records images for several platforms, or with something said about them, as one that its names stand for. */
  addIndex(index: BuiltIndex, signal: AbortSignal): Promise<{ readonly id: Digest; readonly index: Descriptor }>;
  /** A layer that is held, as a blob for registries and archives. */
  blobOf(layer: Layer, form: LayerForm, signal: AbortSignal): Promise<BundleBlob>;
  /** Sends images to a registry; the whole gets the reference's tag. Returns the digest of the whole. */
  push(
    bundle: Bundle,
    options: {
      readonly reference: Reference;
      readonly auth: RegistryAuth | undefined;
      readonly report: (blob: Digest, sentBytes: number, totalBytes: number) => void;
    },
    signal: AbortSignal,
  ): Promise<Digest | undefined>;
  /** The id that `add` would give. */
  idOf(config: ImageConfigFile): Digest;
}

export interface LayerForm {
  readonly compression: 'uncompressed' | 'gzip' | 'zstd';
  /** 0 to 9 for gzip, 1 to 22 for zstd; undefined: the usual one. */
  readonly level?: number | undefined;
  /** Layers that came compressed in another way are made again as well. */
  readonly isForced: boolean;
}

export interface BaseImage {
  readonly id: Digest;
  readonly config: ImageConfigFile;
  readonly layers: readonly Layer[];
}

/** A layer as the image store keeps it. */
export interface Layer {
  readonly diffId: Digest;
  readonly chainId: ChainId;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly mediaType: string;
}

export interface MadeLayer {
  readonly writableKey: string;
  /** The tar that its recipe gives. */
  readonly tar: ContentInfo;
  readonly sizeBytes: number;
}

export interface BuiltImage {
  readonly config: ImageConfigFile;
  readonly layers: readonly Layer[];
  readonly names: readonly Reference[];
  readonly parent: Digest | undefined;
  /** Of its manifest. */
  readonly annotations?: Annotations | undefined;
}

export type Annotations = Readonly<Record<string, string>>;

export interface BuiltIndex {
  readonly images: readonly IndexedImage[];
  /** At least one: an index without a name is kept by nobody. */
  readonly names: readonly Reference[];
  readonly annotations: Annotations | undefined;
}

export interface IndexedImage extends Pick<BuiltImage, 'config' | 'layers'> {
  readonly annotations: Annotations | undefined;
  /** Of its entry in the index. */
  readonly entryAnnotations: Annotations | undefined;
  /** What is said about the image, once its manifest is known: an entry of the index, and what that stands for. */
  attest(about: Descriptor): { readonly entry: Descriptor; readonly blobs: readonly Uint8Array[] } | undefined;
}

export interface PullProgress {
  readonly id?: string;
  readonly status?: string;
  readonly current?: number;
  readonly total?: number;
}

/** Brings things here that are neither files of the context nor images. */
export interface RemoteSources {
  /**
   * Downloads into `directory`, as a file with the name that the URL or the answer gives and the time of the answer's Last-Modified. Rejects with
   * InvalidArgument for an answer that is no success, with DataLoss when the checksum is another one.
   */
  download(url: string, directory: string, options: DownloadOptions, signal: AbortSignal): Promise<Downloaded>;
  /** Checks a commit out into `directory`. Rejects with InvalidArgument. */
  checkout(source: GitSource, directory: string, signal: AbortSignal): Promise<{ readonly commit: string }>;
}

export interface DownloadOptions {
  readonly checksum?: string | undefined;
}

export interface Downloaded {
  readonly path: string;
  readonly contentType: string;
}

export interface GitSource {
  readonly url: string;
  /** Branch, tag, commit; empty: the default branch. */
  readonly ref: string;
  readonly subdirectory: string;
  readonly keepGitDirectory: boolean;
  /** A commit that begins with this. */
  readonly checksum?: string | undefined;
  readonly submodules: boolean;
}

/** What a client has for `--mount=type=secret` and `type=ssh`. */
export interface ClientSecrets {
  /** Undefined when the client has no such secret. */
  secret(id: string, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /** Makes a socket at this path that leads to an SSH agent of the client, until it is disposed; undefined when the client has no such agent. */
  agent?(id: string, socketPath: string, signal: AbortSignal): Promise<AsyncDisposable | undefined>;
}
