import { createGzip } from 'node:zlib';
import type { Compress } from '#core/compression.ts';
import { transformWith } from './transform.ts';

const chunkBytes = 256 * 1024;

export const compress: Compress = (source, { signal }) => transformWith(createGzip({ chunkSize: chunkBytes }), source, signal);
