export interface ObjectInfo {
  readonly sizeBytes: number;
  /** Milliseconds since the epoch; when the object was last written or touched. */
  readonly modifiedAt: number;
}

export interface Entry {
  readonly name: string;
  readonly isFolder: boolean;
}

/** A part of an object: both ends count. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** What a client is given: bytes to send, or where to get them. */
export type Content = { readonly body: Blob | ReadableStream<Uint8Array> } | { readonly redirect: string };

/**
 * Objects by path (`a/b/c`, already checked by who made it). What `put` and `adopt` have acknowledged survives a power cut, and neither ever shows a part
 * of an object. Every method rejects with Unavailable when the storage cannot be reached, with ResourceExhausted when it is full.
 */
export interface Storage {
  /** A folder of this machine for what is not complete yet, kept across restarts. On the storage's own disk where it has one. */
  readonly stagingFolder: string;
  /** Nobody else writes here: what was read once stays true until this process changes it. */
  readonly isExclusive: boolean;
  /** A small object as a whole; undefined when there is none. */
  get(path: string): Promise<Uint8Array | undefined>;
  /** Replaces the object. */
  put(path: string, data: Uint8Array): Promise<void>;
  /** Moves a complete file of the staging folder here; the file is gone afterwards. Replaces the object. */
  adopt(path: string, file: string): Promise<void>;
  /** Undefined when there is no such object. */
  stat(path: string): Promise<ObjectInfo | undefined>;
  /** Makes `modifiedAt` now. An object that is not there is fine. */
  touch(path: string): Promise<void>;
  /** The object, or a part of it, for a client. The object was there a moment ago; the body fails when it no longer is. */
  content(path: string, size: number, range?: ByteRange): Content;
  /** What is in a folder, in no order; empty when there is none. */
  list(folder: string): Promise<Entry[]>;
  /** Removes everything below a folder, and the folder. None there is fine. */
  remove(folder: string): Promise<void>;
  /** Rejects when objects could not be written now. */
  check(): Promise<void>;
}
