import { statfsSync } from 'node:fs';

/** Bytes, or a part of the disk below a path (0 to 1). */
export type DiskShare = { readonly bytes: number } | { readonly part: number };

/** What a share of the disk that this path is on comes to. */
export function bytesOfDisk(share: DiskShare, path: string): number;
export function bytesOfDisk(share: DiskShare | undefined, path: string): number | undefined;
export function bytesOfDisk(share: DiskShare | undefined, path: string): number | undefined {
  if (share === undefined || 'bytes' in share) return share?.bytes;
  const { blocks, bsize } = statfsSync(path);
  return Math.floor(blocks * bsize * share.part);
}
