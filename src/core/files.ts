import type { IdMap } from './id-map.ts';
import type { LayerChanges } from './snapshots.ts';

/** Where the files of a container are to be found. With a map of ids, archives speak of owners as the container sees them. */
export type FilesView = {
  readonly idMap?: IdMap | undefined;
} /** What the process itself sees: everything that is mounted for it, temporary file systems included. */ & (
  | { readonly kind: 'running'; readonly containerId: string; readonly pid: number }
  /** A root with these mounts on it, which only the view has. */
  | { readonly kind: 'stopped'; readonly root: string; readonly mounts: readonly ViewMount[] }
  /** A root and nothing that is mounted on it. */
  | { readonly kind: 'root'; readonly root: string }
);

export interface ViewMount {
  /** A directory or file of the host. */
  readonly source: string;
  readonly destination: string;
  readonly readOnly: boolean;
}

export type FileType = 'file' | 'directory' | 'symlink' | 'char' | 'block' | 'fifo' | 'socket';

export interface PathStat {
  /** Last part of the path as asked for; `/` for the root, `.` for a path that ends in it. */
  readonly name: string;
  readonly type: FileType;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly sizeBytes: number;
  readonly mtime: { readonly seconds: number; readonly nanoseconds: number };
  /** Where a symlink leads in the end, absolute, whether or not there is something. Empty for everything else. */
  readonly linkTarget: string;
}

export interface ExtractOptions {
  /** Refuses to put a file in the place of a directory, or the reverse. */
  readonly keepsKinds: boolean;
  /** Gives everything to this owner; undefined: to whom the archive says. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** The root and the mounts on it: nothing is put where the container may not write. */
  readonly readOnlyRoot: boolean;
  readonly mounts: readonly { readonly destination: string; readonly readOnly: boolean }[];
}

/** The link by which programs find what is mounted. Every container gets it at its first start, and it counts as nobody's change. */
export const mountTable = { path: '/etc/mtab', target: '/proc/mounts' } as const;

/** A writable layer and what is below it. */
export interface WritableLayer extends LayerChanges {
  /** How the owners in the writable layer are mapped; those in the layers below are the container's own. */
  readonly idMap?: IdMap | undefined;
}

export interface FileChange {
  readonly path: string;
  readonly kind: 'modified' | 'added' | 'deleted';
}

/**
 * Works on the files of containers, which may be hostile and change everything at any moment: each piece of work happens in a process of its own inside
 * the view, so that no link leads out of it, nothing that blocks or is large holds up anybody else, and nothing is left when it is ended half way.
 */
export interface ContainerFiles {
  /**
   * Resolves when the process is inside: from then on what the view names on the host is not needed any more, except that a `root` has to stay mounted.
   * Rejects with FailedPrecondition when a running container is not there any more. The signal ends the process at any time.
   */
  enter(view: FilesView, signal: AbortSignal): Promise<FilesSession>;
  /** What is different from the layers below, by path. */
  changes(layer: WritableLayer, signal: AbortSignal): Promise<FileChange[]>;
  /** The layer as an image has it: the same files give the same bytes. */
  layerTar(layer: WritableLayer, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** A process inside a view, for one piece of work. Disposing ends it, done or not. */
export interface FilesSession extends AsyncDisposable {
  /** Does not follow a link in the last place. Rejects with NotFound; also for files that the kernel makes up (in /proc, /sys and the like). */
  stat(path: string): Promise<PathStat>;
  /** Members are named from the last part of the path on. A tar that is not read to its end must be returned (left with `break`). */
  archive(path: string): Promise<{ readonly stat: PathStat; readonly tar: AsyncIterable<Uint8Array> }>;
  /** Everything but what is mounted. */
  root(): Promise<AsyncIterable<Uint8Array>>;
  /**
   * Puts an uncompressed archive's members into a directory that is there; links on the way are followed inside the view. What is there is replaced, but
   * directories are merged. Rejects with NotFound, InvalidArgument, DataLoss; members before the offending one stay.
   */
  extract(path: string, options: ExtractOptions, tar: AsyncIterable<Uint8Array>): Promise<void>;
}
