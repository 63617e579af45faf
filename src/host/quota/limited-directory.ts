import { mkdirSync, rmSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { EngineError, isErrno, kindOf, messageOf } from '#base/errors.ts';
import {
  destroySubvolume,
  enableQuotas,
  forgetQuota,
  isBtrfs,
  limitSubvolume,
  makeSubvolume,
  subvolumeId,
  subvolumeRootInode,
} from '#host/sys/btrfs.ts';
import { forgetLimit, limitDirectories } from './directory-limit.ts';

/**
 * Makes a directory that holds at most this much: a subvolume on btrfs, a project elsewhere. One that is there keeps its limit. Rejects with FailedPrecondition,
 * and leaves no directory, where the file system can do neither.
 */
export function makeLimited(path: string, sizeBytes: number): void {
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return;
  try {
    if (isBtrfs(dirname(path))) {
      makeSubvolume(path);
      enableQuotas(path);
      limitSubvolume(path, sizeBytes);
    } else {
      mkdirSync(path, { mode: 0o755 });
      limitDirectories([path], sizeBytes);
    }
  } catch (err) {
    rmSync(path, { recursive: true, force: true });
    throw new EngineError(kindOf(err), `quota size requested but no quota support: ${messageOf(err)}`, { cause: err });
  }
}

/** Removes such a directory with its files; gone already is fine. */
export async function removeLimited(path: string): Promise<void> {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (stats === undefined) return;
  forgetLimit(path);
  if (stats.ino === subvolumeRootInode && isBtrfs(path)) {
    const id = subvolumeId(path);
    try {
      destroySubvolume(path);
      forgetQuota(dirname(path), id);
      return;
    } catch (err) {
      // There are others in it: the files go one by one.
      if (!isErrno(err, 'ENOTEMPTY')) throw err;
    }
  }
  await rm(path, { recursive: true, force: true });
}
