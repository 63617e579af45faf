import type { Digest } from '#oci/digest.ts';

export interface ContentInfo {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** Blobs by digest. What is in it has been verified when it was written. */
export interface ContentStore {
  /** Undefined when it is not there. */
  info(digest: Digest): Promise<ContentInfo | undefined>;
  /** Bytes that it takes on the disk, as du counts them; undefined when it is not there. */
  diskUsage(digest: Digest): Promise<number | undefined>;
  /** The whole blob, for small ones (configs, manifests). Rejects with NotFound; with DataLoss when the bytes no longer match the digest. */
  read(digest: Digest): Promise<Uint8Array>;
  /** Whether the bytes still match the digest; undefined when it is not there. Others go on meanwhile. */
  verify(digest: Digest, options: { readonly signal: AbortSignal }): Promise<boolean | undefined>;
  /** A file with the blob's bytes, for readers that stream or hand it to another process. Rejects with NotFound. */
  path(digest: Digest): Promise<string>;
  /**
   * Starts an ingest. Nothing is visible until `commit`. With `resume` it goes on where an earlier one for that blob was interrupted, in this process
   * or one before: `sizeBytes` says how much is there.
   */
  writer(options?: { readonly resume?: Digest }): Promise<ContentWriter>;
  /** A file for another process to fill and hash. Nothing is visible until `commit`. */
  file(): Promise<ContentFile>;
  /** Stores a small blob. Already there is fine. */
  put(data: Uint8Array): Promise<ContentInfo>;
  /** Removes a blob; false when there was none. */
  remove(digest: Digest): Promise<boolean>;
  list(): AsyncIterable<ContentInfo>;
  /**
   * Removes what interrupted ingests (of the blobs that are meant; undefined: of all) left that nobody went on with for this long, and that nobody writes
   * now. Returns the bytes that became free.
   */
  removeUnfinished(olderThanMs: number, isMeant?: (digest: Digest) => boolean): Promise<number>;
  /** Bytes that interrupted ingests, and those that can be (of the blobs that are meant; undefined: of all), take on the disk, as du counts them. */
  unfinishedUsage(isMeant?: (digest: Digest) => boolean): Promise<number>;
}

/** Disposing it without `commit` removes the file; after `commit` that does nothing. */
export interface ContentFile extends AsyncDisposable {
  readonly path: string;
  /** Makes it the blob with this digest, which whoever filled it has computed. A blob that is already there is fine: this copy is dropped. */
  commit(info: ContentInfo): Promise<ContentInfo>;
}

/** A file that somebody is still writing. Open it before the writer is closed: then it may get another name. */
export interface GrowingFile {
  readonly path: string;
  /** How many bytes can be read so far. Ends when the file is complete and what it should be; fails when it will never be. */
  readonly grown: AsyncIterable<number>;
}

/**
 * Disposing an uncommitted writer removes what it wrote; one that can be resumed keeps it, unless it could not be written or was not what it should have
 * been. Closing twice is fine; disposing after commit does nothing.
 */
export interface ContentWriter extends AsyncDisposable {
  readonly sizeBytes: number;
  /** What is written, for one reader alongside; it may read on after the commit. */
  readonly growing: GrowingFile;
  /** Resolves when it can take more. The chunk must not change afterwards: it may not be on disk yet. */
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Closes the writer, also on error. Rejects with DataLoss when `expected` differs from what was written. A blob that is already there is fine:
   * the written copy is dropped.
   */
  commit(expected?: { readonly digest?: Digest; readonly sizeBytes?: number }): Promise<ContentInfo>;
  /** Closes the writer and removes what it wrote, also what was there before: it is of no use. */
  discard(): Promise<void>;
}
