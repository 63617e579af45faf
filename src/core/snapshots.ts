import type { Digest } from '#oci/digest.ts';
import type { GrowingFile } from './content.ts';
import type { IdMap } from './id-map.ts';

/**
 * A layer's place in a chain (OCI image spec, config.md, Layer ChainID): digest over the uncompressed layers up to and including this one.
 */
export type ChainId = Digest;

export type LayerCompression = 'none' | 'gzip' | 'zstd' | 'bzip2' | 'xz';

export interface UnpackedLayer {
  /** Digest of the uncompressed tar. */
  readonly diffId: Digest;
  /** Bytes of the files in the layer, and of the texts of symbolic links: what Docker calls a layer's size. */
  readonly sizeBytes: number;
}

/** A layer that has been unpacked but has no place in a chain yet. Disposing it without `commit` removes the files. */
export interface PendingLayer extends AsyncDisposable {
  readonly unpacked: UnpackedLayer;
  /**
   * Gives the layer its place on top of `parent` (undefined: the bottom). Resolves hard links to lower files and takes over modes of directories
   * that the tar did not name. When the chain id is there already this copy is dropped. Rejects with NotFound when the parent is not there.
   */
  commit(chainId: ChainId, parent: ChainId | undefined): Promise<void>;
  /**
   * Takes the place of a layer that is there and damaged. What is mounted on the old one keeps it until it is unmounted; the keys of those writable layers
   * are returned. Rejects with NotFound.
   */
  replace(chainId: ChainId): Promise<readonly string[]>;
}

/** Something in a layer's directory that is not as the layer's tar has it. */
export interface LayerDamage {
  /** Without a leading slash; empty for the layer as a whole. */
  readonly path: string;
  /** Goes on after the path: `is not there`. */
  readonly what: string;
}

/** Read-only image layers and the writable layers of containers on top. */
export interface Snapshotter {
  /** As `docker info` names it: `overlay2`, `btrfs`. */
  readonly name: string;
  has(chainId: ChainId): boolean;
  /** All layers, parents before what stands on them. */
  chains(): { readonly chainId: ChainId; readonly parent: ChainId | undefined }[];
  /** Bytes of one layer alone; undefined when it is not there. */
  layerSize(chainId: ChainId): number | undefined;
  /** Bytes that a layer alone takes on the disk, with all that belongs to it, as du counts them; undefined when it is not there. */
  diskUsage(chainId: ChainId): Promise<number | undefined>;
  /** Bytes of the tar that a layer came from, when it can be made again of the layer's files, byte for byte; else undefined. */
  tarSize(chainId: ChainId): number | undefined;
  /** That tar. Rejects with NotFound, and with DataLoss when the files are not what they were. */
  tar(chainId: ChainId, options: { readonly signal: AbortSignal }): AsyncIterable<Uint8Array>;
  /**
   * Compares a layer's files with its tar: the one that can be made again, or `tar`, uncompressed, where it cannot. Returns the tar's digest as well: when it is
   * not the layer's, there is damage without a name. Rejects with NotFound, and with DataLoss when there is no telling.
   */
  check(
    chainId: ChainId,
    options: { readonly tar?: AsyncIterable<Uint8Array>; readonly signal: AbortSignal },
  ): Promise<{ readonly diffId: Digest; readonly damage: readonly LayerDamage[] }>;
  /** Directories of a layer and those below it, uppermost first; none where a layer is kept as a whole tree. Rejects with NotFound. */
  layerDirs(chainId: ChainId): readonly string[];
  /**
   * Unpacks a layer tar into a directory of its own; layers can be unpacked in any order and at the same time. Compression is found by its magic
   * bytes when not given. The tar cannot write outside its directory: names that try reject with InvalidArgument, a damaged tar with DataLoss.
   */
  unpack(tar: LayerInput, options: { readonly signal: AbortSignal }): Promise<PendingLayer>;
  /** Chain ids that some writable layer stands on. */
  pinned(): ReadonlySet<ChainId>;
  /** Removes every layer that is neither in `keep` nor under one that is, nor pinned. Returns the removed bytes. */
  collect(keep: ReadonlySet<ChainId>): Promise<number>;

  /** Makes a writable layer on a chain (undefined: an empty root). Rejects with AlreadyExists, NotFound, and FailedPrecondition for what this driver cannot. */
  prepare(key: string, parent: ChainId | undefined, options?: WritableOptions): Promise<{ readonly isFramed: boolean }>;
  /** How the owners of files in a writable layer are mapped; undefined when they are not. Rejects with NotFound. */
  idMapOf(key: string): IdMap | undefined;
  /** Makes a writable layer usable and returns its path. Mounting twice is fine. `volatile` skips the sync at unmount: for throw-away containers. */
  mount(key: string, options?: { readonly volatile?: boolean }): Promise<string>;
  /** Unmounts; not mounted is fine. What somebody holds goes with the last who does. */
  unmount(key: string): Promise<void>;
  /** Keeps a writable layer mounted until disposed of: for work in it that comes and goes without regard to who mounts and unmounts it. */
  hold(key: string): Promise<HeldSnapshot>;
  /** Unmounts and removes a writable layer; false when there was none. */
  remove(key: string): Promise<boolean>;
  /**
   * Makes what a writable layer holds a layer on top of the one it stands on, without copying; the writable layer is unmounted and gone then. When the
   * chain id is there already, its files are dropped. Rejects with NotFound. `tarBytes`: the tar can be made again, its recipe is in `paths().recipe`.
   */
  commit(key: string, chainId: ChainId, made: { readonly sizeBytes: number; readonly tarBytes?: number | undefined }): Promise<void>;
  /** Keys of all writable layers. */
  keys(): string[];
  /** Where the parts of a writable layer are (Engine API: GraphDriver.Data). */
  paths(key: string): SnapshotPaths;
  /** Bytes of the files that the writable layer itself holds; `onDisk`: what all of it takes on the disk, as du counts it. */
  usage(key: string, options?: { readonly onDisk?: boolean }): Promise<number>;
}

export interface HeldSnapshot extends AsyncDisposable {
  /** Where it is mounted. */
  readonly path: string;
}

export interface WritableOptions {
  /**
   * For a user namespace: mounted, it shows owners as the host knows them, and so does its own directory; layers of images always name the owners inside.
   */
  readonly mapped?: boolean;
  /** How much may be written. */
  readonly sizeBytes?: number | undefined;
  /** For a container: where the driver can, places to mount what every container gets and `/.dockerenv` are there, below the image. */
  readonly framed?: boolean;
}

/** Where what a writable layer changes can be read. */
export interface LayerChanges {
  /** Uppermost first. */
  readonly lowerDirs: readonly string[];
  readonly upperDir: string;
  /**
   * Not there: the upper directory holds only what is different, with whiteouts (overlay). There: it is the whole tree, a copy of the one lower directory
   * that was complete at this moment (nanoseconds since 1970, decimal); what changed later has a later change time.
   */
  readonly copiedAtNs?: string;
}

export interface SnapshotPaths extends LayerChanges {
  /** Overlay's own. */
  readonly workDir: string;
  readonly mergedDir: string;
  /** For the recipe of its tar, when one is packed. */
  readonly recipe: string;
}

/** A file (which another process may read), one that still grows, or a stream of bytes. */
export type LayerInput =
  | { readonly path: string; readonly compression?: LayerCompression }
  | (({ readonly growing: GrowingFile } | { readonly stream: AsyncIterable<Uint8Array> }) & {
      readonly compression?: LayerCompression;
      /** For a caller that hashes the same uncompressed bytes itself: with compression `none` they are not hashed a second time. */
      readonly diffId?: Promise<Digest>;
    });
