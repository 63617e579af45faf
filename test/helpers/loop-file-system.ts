import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { unmount } from '#host/sys/mount.ts';
import { runOk } from './run.ts';

export interface LoopFileSystem extends AsyncDisposable {
  /** Where it is mounted. */
  readonly path: string;
}

/** A file system of its own in a sparse file. Disposing unmounts it and removes the file. */
export async function makeLoopFileSystem(
  type: 'btrfs' | 'ext4' | 'xfs',
  options: { readonly sizeBytes?: number; readonly mkfs?: readonly string[]; readonly mount?: readonly string[] } = {},
): Promise<LoopFileSystem> {
  const folder = await mkdtemp('/tmp/berth-fs-');
  const [image, path] = [join(folder, 'image'), join(folder, 'fs')];
  const dispose = async (): Promise<void> => {
    while (unmount(path, { detach: true }));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await mkdir(path);
    await writeFile(image, '');
    await truncate(image, options.sizeBytes ?? 512 * 1024 * 1024);
    await runOk([`mkfs.${type}`, '-q', ...(options.mkfs ?? []), image]);
    await runOk(['mount', '-o', ['loop', ...(options.mount ?? [])].join(','), image, path]);
  } catch (err) {
    await dispose();
    throw err;
  }
  return { path, [Symbol.asyncDispose]: dispose };
}
