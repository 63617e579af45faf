import type { BigIntStats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { isErrno } from '#base/errors.ts';
import { mountTable } from '#core/files.ts';
import { isUnchanged } from '../diff/whole.ts';

/** Bytes of the files and links in a copy of a tree that are not those it was copied with; hard links counted once. What disappears meanwhile counts nothing. */
export async function changedBytes(tree: string, below: string | undefined, copiedAtNs: bigint): Promise<number> {
  const linked = new Set<string>();
  let bytes = 0;
  const visit = async (directory: Buffer, other: Buffer | undefined): Promise<void> => {
    for (const name of (await orUndefined(readdir(directory, { encoding: 'buffer' }))) ?? []) {
      const path = Buffer.concat([directory, slash, name]);
      const stats = await orUndefined(lstat(path, { bigint: true }));
      if (stats === undefined || (stats.isSymbolicLink() && path.equals(Buffer.from(`${tree}${mountTable.path}`)))) continue;
      const place = other === undefined ? undefined : Buffer.concat([other, slash, name]);
      if (stats.isDirectory()) {
        await visit(path, place);
        continue;
      }
      const before = place === undefined ? undefined : await orUndefined<BigIntStats>(lstat(place, { bigint: true }));
      if (before !== undefined && isUnchanged(path, stats, place ?? path, before, copiedAtNs)) continue;
      const inode = `${String(stats.dev)}:${String(stats.ino)}`;
      if (stats.nlink > 1n && linked.has(inode)) continue;
      linked.add(inode);
      bytes += Number(stats.size);
    }
  };
  await visit(Buffer.from(tree), below === undefined ? undefined : Buffer.from(below));
  return bytes;
}

const slash = Buffer.from('/');

async function orUndefined<T>(value: Promise<T>): Promise<T | undefined> {
  try {
    return await value;
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return undefined;
    throw err;
  }
}
