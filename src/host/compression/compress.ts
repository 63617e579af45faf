import { constants, createZstdCompress } from 'node:zlib';
import type { Compress } from '#core/compression.ts';
import { gzip } from './gzip.ts';
import { transformWith } from './transform.ts';

const chunkBytes = 256 * 1024;

export const compress: Compress = (source, { signal, form: { format, level } = { format: 'gzip' } }) => {
  if (format === 'gzip') return gzip(source, signal, level);
  const params = level === undefined ? {} : { [constants.ZSTD_c_compressionLevel]: level };
  return transformWith(createZstdCompress({ chunkSize: chunkBytes, params }), source, signal);
};
