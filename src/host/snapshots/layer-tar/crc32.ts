/** The CRC-32 of bytes that follow others with `before`. Not zlib's: loading that takes as long as unpacking a small layer does. */
export const crc32 = (bytes: Uint8Array, before = 0): number =>
  (Bun.hash.crc32 as (bytes: Uint8Array, seed: number) => number)(bytes, before);
