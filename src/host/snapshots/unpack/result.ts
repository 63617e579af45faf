import type { ErrorKind } from '#base/errors.ts';

/** What the unpacking process found out, besides the files it made. Sent as one line of JSON. */
export type UnpackResult =
  | ({ readonly ok: true } & UnpackReport)
  | { readonly ok: false; readonly kind: ErrorKind; readonly message: string };

export interface UnpackReport {
  /** Digest of the uncompressed tar; empty when it was not asked for. */
  readonly diffId: string;
  /** Length of the uncompressed tar, when a recipe was asked for and the tar can be made again by it; else null. */
  readonly tarBytes: number | null;
  /** Bytes of the files. */
  readonly sizeBytes: number;
  /** Directories that the tar did not name but needed, parents first; '' is the root. */
  readonly impliedDirectories: readonly string[];
  /** Hard links to files that are not in this layer. */
  readonly foreignLinks: readonly { readonly name: string; readonly target: string }[];
}
