/**
 * Undoes the compression of a stream, found by its first bytes: gzip, zstd, bzip2, xz; anything else passes through unchanged. Ends with DataLoss
 * when the compressed bytes are damaged or cut off; only zstd that is cut off just ends, which whoever reads the content notices. Leaving the loop
 * early closes the source.
 */
export type Decompress = (source: AsyncIterable<Uint8Array>, options: { readonly signal: AbortSignal }) => AsyncIterable<Uint8Array>;

/** Compresses a stream with gzip. The same bytes give the same result. */
export type Compress = (source: AsyncIterable<Uint8Array>, options: { readonly signal: AbortSignal }) => AsyncIterable<Uint8Array>;
