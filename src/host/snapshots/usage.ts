import { lstat, readdir } from 'node:fs/promises';
import { isErrno } from '#base/errors.ts';

export interface TreeUsage {
  /** Bytes of the files and links. */
  readonly sizeBytes: number;
  /** Bytes that all of it takes on the disk, directories too: what `du` counts. */
  readonly diskBytes: number;
}

const blockBytes = 512;

/** What a directory and everything in it takes; hard links are counted once, `except` not at all. What disappears meanwhile counts nothing. */
export async function treeUsage(directory: string, except?: { readonly link: string }): Promise<TreeUsage> {
  const linked = new Set<string>();
  let [sizeBytes, blocks] = [0, 0];
  const add = async (path: string): Promise<boolean> => {
    const stats = await lstat(path).catch(() => undefined);
    if (stats === undefined || (path === except?.link && stats.isSymbolicLink())) return false;
    if (stats.isDirectory()) {
      blocks += stats.blocks;
      return true;
    }
    const inode = `${String(stats.dev)}:${String(stats.ino)}`;
    if (stats.nlink > 1 && linked.has(inode)) return false;
    if (stats.nlink > 1) linked.add(inode);
    sizeBytes += stats.size;
    blocks += stats.blocks;
    return false;
  };
  const visit = async (path: string): Promise<void> => {
    if (!(await add(path))) return;
    // A directory at a time: enough to keep the disk busy, and never all of a large tree in memory.
    const names = await orNothing(readdir(path, { withFileTypes: true }));
    await Promise.all(names.map(async entry => (entry.isDirectory() ? undefined : await add(`${path}/${entry.name}`))));
    for (const entry of names) if (entry.isDirectory()) await visit(`${path}/${entry.name}`);
  };
  await visit(directory);
  return { sizeBytes, diskBytes: blocks * blockBytes };
}

async function orNothing<T>(list: Promise<T[]>): Promise<T[]> {
  try {
    return await list;
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return [];
    throw err;
  }
}
