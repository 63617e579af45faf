/**
 * Undoes the compression of a stream, found by its first bytes: gzip, zstd, bzip2, xz; anything else passes through unchanged. Ends with DataLoss
 * when the compressed bytes are damaged or cut off. Leaving the loop early closes the source.
 */
export type Decompress = (source: AsyncIterable<Uint8Array>, options: { readonly signal: AbortSignal }) => AsyncIterable<Uint8Array>;
