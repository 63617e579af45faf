import type { BigIntStats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { isErrno } from '#base/errors.ts';
import { getXattr } from '#host/sys/fs.ts';

export interface Found {
  readonly path: string;
  readonly stats: BigIntStats;
}

/** What a name means in a stack of layers, uppermost first: as overlay would show it, symlinks on the way not followed. */
export async function findInChain(layers: readonly string[], name: string): Promise<Found | undefined> {
  const parts = name === '' ? [] : name.split('/');
  for (const layer of layers) {
    const found = await findInLayer(layer, parts);
    if (found === 'hidden') return undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Undefined: look further down. */
async function findInLayer(layer: string, parts: readonly string[]): Promise<Found | 'hidden' | undefined> {
  let path = layer;
  let stats = await lstat(path, { bigint: true });
  for (const part of parts) {
    if (!stats.isDirectory()) return 'hidden';
    const next = `${path}/${part}`;
    try {
      stats = await lstat(next, { bigint: true });
    } catch (err) {
      if (!isErrno(err, 'ENOENT')) throw err;
      return isOpaque(path) ? 'hidden' : undefined;
    }
    path = next;
  }
  return stats.isCharacterDevice() && stats.rdev === 0n ? 'hidden' : { path, stats };
}

const isOpaque = (directory: string): boolean => getXattr(directory, 'trusted.overlay.opaque')?.[0] === 'y'.charCodeAt(0);
