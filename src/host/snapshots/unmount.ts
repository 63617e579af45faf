import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { isErrno } from '#base/errors.ts';
import { unmount } from '#host/sys/mount.ts';

/** O_PATH: refers to the mount without opening anything in it. */
const oPath = 0o10000000;

/**
 * Unmounts without holding up the event loop. The last reference to an overlay writes everything unwritten of the file system below to disk;
 * a descriptor keeps that reference until it is closed on another thread. The mount is out of sight when this resolves;
 * `done` resolves when that writing is over.
 */
export async function unmountInBackground(target: string): Promise<{ readonly done: Promise<void> }> {
  try {
    const root = await open(target, oPath | constants.O_DIRECTORY);
    try {
      unmount(target, { detach: true });
    } catch (err) {
      await root.close();
      throw err;
    }
    return { done: root.close() };
  } catch (err) {
    if (!isErrno(err, 'ENOENT')) throw err;
    return { done: Promise.resolve() };
  }
}
