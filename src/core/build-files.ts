import type { ContentInfo } from './content.ts';
import type { IdMap } from './id-map.ts';
import type { LayerChanges } from './snapshots.ts';

/** Files that an instruction takes from one tree: the build context, another stage, an image. */
export interface FileSource {
  /** The host directory that is the tree's root: no link and no `..` leads out of it. */
  readonly root: string;
  /** As written: a path in the tree, with the wildcards of Go's filepath.Match, and `**` with `parents`. */
  readonly pattern: string;
  /** Keeps the path of a file below the target; `/./` in the pattern says from where. */
  readonly parents: boolean;
  /** Patterns of what is left out, as in a .dockerignore file, relative to what the pattern names. */
  readonly excludes: readonly string[];
  /** Whether files keep their owners; else they belong to root. */
  readonly keepOwners: boolean;
  /** Whether a file that is an archive is unpacked instead of copied. */
  readonly unpack: boolean;
  /** A directory is copied itself, under its own name, not only what is in it. Default: false. */
  readonly whole?: boolean;
}

/** What files are to become. */
export interface FileTarget {
  /** A mounted root. */
  readonly root: string;
  /** An absolute path in it. With a slash at its end, or when several files come, it is a directory. Parents are made where they are missing. */
  readonly path: string;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** Octal digits, or symbolic as chmod takes it; undefined: as in the source. */
  readonly mode: string | undefined;
  /** What files and directories that are copied get for their time (nanoseconds since 1970, decimal); undefined: what they have in the source. */
  readonly timeNs?: string | undefined;
}

/** One thing to be made or removed in a root. Paths are resolved inside it. */
export type FileChange =
  | ({ readonly kind: 'file'; readonly path: string; readonly mode: number /** Base64. */; readonly content: string } & MadeFile)
  | ({ readonly kind: 'directory'; readonly path: string; readonly mode: number; readonly withParents: boolean } & MadeFile)
  | ({ readonly kind: 'symlink'; readonly path: string; readonly target: string } & MadeFile)
  | {
      readonly kind: 'remove';
      /** Its last part may be a pattern of Go's filepath.Match, with `hasWildcard`. */
      readonly path: string;
      readonly allowsMissing: boolean;
      readonly hasWildcard: boolean;
    };

export interface MadeFile {
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** Nanoseconds since 1970, in decimal digits; undefined: 0. */
  readonly timeNs: string | undefined;
}

export interface LayerFiles extends LayerChanges {
  /** How the owners in the upper directory are mapped; those below it are the container's own. */
  readonly idMap?: IdMap | undefined;
  /** Where the tar goes; undefined: nowhere, only its digest is wanted. */
  readonly tarPath: string | undefined;
  /** Where to write how the tar is made again of the upper directory's files; undefined: nowhere. */
  readonly recipePath?: string | undefined;
  /** Later times become this one (seconds since 1970). */
  readonly latestSeconds: number | undefined;
}

export interface PackedLayer {
  /** The tar. */
  readonly blob: ContentInfo;
  /** Bytes of the files in the layer. */
  readonly sizeBytes: number;
  /** Nothing was changed. */
  readonly isEmpty: boolean;
}

/** File work of builds, done in processes of their own: it is long, and the daemon has to answer meanwhile. Aborting ends it at once. */
export interface BuildFiles {
  /**
   * A digest over what the sources mean: names, contents, modes, owners (where kept), links and attributes, not times. Rejects with NotFound for a path
   * without wildcards that is not there.
   */
  digest(sources: readonly FileSource[], signal: AbortSignal): Promise<string>;
  /** Copies the sources. Directories that were there keep their attributes and times. Rejects like `digest`, with InvalidArgument when a file is in the way. */
  copy(sources: readonly FileSource[], target: FileTarget, signal: AbortSignal): Promise<void>;
  /** Makes the target's directory where it is missing. */
  makeDirectory(target: FileTarget, signal: AbortSignal): Promise<void>;
  /**
   * Gives a file of a context its extended attributes: `user.*` and `security.capability`, which mean something in an image. Where the file system has
   * none, they are left out.
   */
  setAttributes(path: string, attributes: Readonly<Record<string, Uint8Array>>): void;
  /** Makes or removes one thing. Rejects with NotFound for a parent that is not there, InvalidArgument and AlreadyExists for what is in the way. */
  change(root: string, change: FileChange, signal: AbortSignal): Promise<void>;
  /** Makes a mounted root the same as another tree, touching only what is different. */
  mirror(model: string, root: string, signal: AbortSignal): Promise<void>;
  /** Where a path in a tree is on the host, links resolved inside it. Rejects with NotFound. */
  resolve(root: string, path: string): string;
  /** What a path in a tree is, links resolved inside it. */
  kindOf(root: string, path: string): 'directory' | 'other' | 'missing';
  /** Shows a directory in another place where it can be written to; what is written goes when it is disposed. */
  scratchOver(directory: string, workDir: string): Promise<ScratchCopy>;
  /** Shows a directory or file of the host in another place, with its owners as steps with mapped ids have them; as they are where the kernel cannot. */
  showMapped(source: string, workDir: string): Promise<ScratchCopy>;
  /** Unmounts and removes what is in a directory, and makes it where it is missing. Returns how many things that were. */
  clear(directory: string): Promise<number>;
  /** Bytes that a directory takes on the disk, as du counts them. */
  usage(directory: string): Promise<number>;
  /** Writes the tar of a layer. */
  pack(layer: LayerFiles, signal: AbortSignal): Promise<PackedLayer>;
  /** Unpacks an archive in any compression into a directory. Rejects with InvalidArgument, DataLoss. */
  unpack(archive: AsyncIterable<Uint8Array>, directory: string, signal: AbortSignal): Promise<void>;
}

export interface ScratchCopy extends AsyncDisposable {
  readonly path: string;
}
