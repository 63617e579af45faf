export type TarEntryType = 'file' | 'directory' | 'symlink' | 'link' | 'char' | 'block' | 'fifo';

/** One member of a tar archive, without its content. */
export interface TarEntry {
  /** As the archive has it, but directories without their trailing slash. Bytes that are not UTF-8 are kept, see names.ts. */
  readonly name: string;
  readonly type: TarEntryType;
  /** Permission bits with setuid, setgid and sticky: at most 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly userName: string;
  readonly groupName: string;
  /** Bytes of the file, holes included; 0 for everything but files. */
  readonly sizeBytes: number;
  readonly mtime: TarTime;
  /** What a symlink points to, or the name that a hard link is another name of; empty otherwise. */
  readonly linkName: string;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
  /** The parts of a sparse file that have data, in order; undefined when all of it has. */
  readonly sparse: readonly SparseSegment[] | undefined;
}

export interface TarTime {
  /** Since 1970; negative before. */
  readonly seconds: number;
  /** 0 to 999,999,999, always forward from `seconds`. */
  readonly nanoseconds: number;
}

export interface SparseSegment {
  readonly offset: number;
  readonly length: number;
}
