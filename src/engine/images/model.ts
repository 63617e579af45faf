import type { ChainId } from '#core/snapshots.ts';
import type { Digest } from '#oci/digest.ts';
import type { Descriptor } from '#oci/manifest.ts';

/** An image as it is recorded. Everything else about it is in its config blob, whose digest is the image's id. */
export interface ImageRecord {
  readonly id: Digest;
  /** The manifest that lists `layers` as they are stored: pushing and saving reproduce it byte for byte. */
  readonly manifest: Digest;
  /** Bottom first. */
  readonly layers: readonly ImageLayer[];
  /** Bytes of the files of all layers. */
  readonly sizeBytes: number;
  /** ISO 8601. */
  readonly addedAt: string;
  readonly lastTaggedAt?: string;
  /** The image it was made from here (commit, build). */
  readonly parent?: Digest;
}

export interface ImageLayer {
  /** Digest of the uncompressed tar. */
  readonly diffId: Digest;
  readonly chainId: ChainId;
  /** The blob as it came. */
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly mediaType: string;
}

/** An index that an image came by, as long as a name has it. */
export interface IndexRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  /** The index's own bytes, inner indexes, and what is attested of the images that are here. */
  readonly blobs: readonly Digest[];
  /** All of them, also those that are not here; inner indexes are replaced by their entries. */
  readonly entries: readonly Descriptor[];
}

/** A tag (`docker.io/library/x:latest`) or a digest of a repository (`docker.io/library/x@sha256:…`) that names an image. */
export interface NameRecord {
  readonly image: Digest;
  /** The index that it names, of which `image` is one entry. */
  readonly index?: Digest;
}

/** One step of a long operation, as it is told to the client. The words are Docker's: clients show them, some read them. */
export interface ImageProgress {
  /** What `status` is about: a short layer digest, a tag. */
  readonly id?: string;
  readonly status?: string;
  readonly current?: number;
  readonly total?: number;
  /** A line of plain text, with its newline. */
  readonly text?: string;
  /** A push of one platform where the name has several that are not all here. */
  readonly insteadOfIndex?: { readonly originalIndex: Descriptor; readonly selectedManifest: Descriptor };
  /** What a push produced. */
  readonly pushed?: { readonly tag: string; readonly digest: Digest; readonly sizeBytes: number };
}

export type Report = (progress: ImageProgress) => void;
