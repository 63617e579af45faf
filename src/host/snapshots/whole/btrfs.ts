import { lstat, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { failedPrecondition, isErrno, messageOf } from '#base/errors.ts';
import {
  destroySubvolume,
  enableQuotas,
  forgetQuota,
  limitSubvolume,
  makeSubvolume,
  snapshotSubvolume,
  subvolumeId,
  subvolumeRootInode,
} from '#host/sys/btrfs.ts';
import type { Trees } from './form.ts';

/** Subvolumes of btrfs: a copy is a snapshot, which takes neither time nor space. */
export const btrfsTrees: Trees = {
  name: 'btrfs',
  sharesBlocks: true,
  make: makeSubvolume,
  copy: snapshotSubvolume,
  async remove(directory) {
    for (const name of await namesIn(directory)) await removeSubvolumes(join(directory, name));
    await rm(directory, { recursive: true, force: true });
  },
  limit(directory, sizeBytes) {
    try {
      enableQuotas(directory);
      limitSubvolume(directory, sizeBytes);
    } catch (err) {
      throw failedPrecondition(`the size of ${directory} cannot be limited: ${messageOf(err)}`, { cause: err });
    }
  },
};

/** A directory that is a subvolume goes at once, unless there are others in it: a container may have made some. */
async function removeSubvolumes(path: string): Promise<void> {
  if ((await lstat(path, { bigint: true })).ino === subvolumeRootInode && tryDestroy(path)) return;
  for (const name of await namesIn(path)) {
    const stats = await lstat(join(path, name));
    if (stats.isDirectory()) await removeSubvolumes(join(path, name));
  }
  if ((await lstat(path, { bigint: true })).ino === subvolumeRootInode) tryDestroy(path);
}

/** False when there are subvolumes in it. */
function tryDestroy(path: string): boolean {
  const id = subvolumeId(path);
  try {
    destroySubvolume(path);
  } catch (err) {
    if (isErrno(err, 'ENOTEMPTY')) return false;
    throw err;
  }
  forgetQuota(dirname(path), id);
  return true;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (err) {
    if (isErrno(err, 'ENOTDIR', 'ENOENT')) return [];
    throw err;
  }
}
