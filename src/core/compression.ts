/**
 * Undoes the compression of a stream, found by its first bytes: gzip, zstd, bzip2, xz; anything else passes through unchanged. Ends with DataLoss
 * when the compressed bytes are damaged or cut off; only zstd that is cut off just ends, which whoever reads the content notices. Leaving the loop
 * early closes the source.
 */
export type Decompress = (source: AsyncIterable<Uint8Array>, options: { readonly signal: AbortSignal }) => AsyncIterable<Uint8Array>;

/** How a stream is compressed. `level`: 0 to 9 for gzip, 1 to 22 for zstd; undefined: what the format's own programs take. */
export interface CompressionForm {
  readonly format: 'gzip' | 'zstd';
  readonly level?: number | undefined;
}

/** Compresses a stream, with gzip where nothing is said. The same bytes give the same result. */
export type Compress = (
  source: AsyncIterable<Uint8Array>,
  options: { readonly signal: AbortSignal; readonly form?: CompressionForm },
) => AsyncIterable<Uint8Array>;
