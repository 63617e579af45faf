import { lstat, readdir } from 'node:fs/promises';
import { isErrno } from '#base/errors.ts';

/** Bytes of the files and links in a tree, hard links counted once. What disappears meanwhile counts nothing. */
export async function treeBytes(directory: string): Promise<number> {
  const linked = new Set<string>();
  let bytes = 0;
  const visit = async (path: string): Promise<void> => {
    for (const entry of await orNothing(readdir(path, { withFileTypes: true }))) {
      const child = `${path}/${entry.name}`;
      if (entry.isDirectory()) {
        await visit(child);
      } else {
        const stats = await lstat(child).catch(() => undefined);
        if (stats === undefined) continue;
        const inode = `${String(stats.dev)}:${String(stats.ino)}`;
        if (stats.nlink > 1 && linked.has(inode)) continue;
        if (stats.nlink > 1) linked.add(inode);
        bytes += stats.size;
      }
    }
  };
  await visit(directory);
  return bytes;
}

async function orNothing<T>(list: Promise<T[]>): Promise<T[]> {
  try {
    return await list;
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return [];
    throw err;
  }
}
