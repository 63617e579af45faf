import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmdirSync, statSync, utimesSync, writeSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isErrno, resourceExhausted, unavailable } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { newId } from '#base/id.ts';
import type { Storage } from './storage.ts';

/**
 * Objects as files below `root`. Small things are read and written without leaving this thread: from the page cache that takes a few microseconds, a
 * tenth of what handing it to another thread costs. Whatever waits for the disk itself is done elsewhere.
 */
export function openFilesystemStorage(root: string): Storage {
  const stagingFolder = join(root, 'staging');
  mkdirSync(stagingFolder, { recursive: true, mode: 0o700 });
  const full = (path: string): string => join(root, path);

  /** Puts a complete, synced file in its place and waits until the disk knows. */
  const place = async (file: string, target: string): Promise<void> => {
    const folder = dirname(target);
    const made = mkdirSync(folder, { recursive: true, mode: 0o700 });
    failpoint('registry.store.written');
    // In the same turn as mkdir: `removeEmptyParents` could take the folder away otherwise.
    renameSync(file, target);
    failpoint('registry.store.placed');
    await syncFolders(folder, made === undefined ? folder : dirname(made));
  };

  return {
    stagingFolder,
    isExclusive: true,
    get: path => explained(() => Promise.resolve(orUndefined(() => new Uint8Array(readFileSync(full(path)))))),
    put: (path, data) =>
      explained(async () => {
        const file = join(stagingFolder, `put-${newId().slice(0, 24)}`);
        try {
          await writeSynced(file, data);
          await place(file, full(path));
        } catch (err) {
          await rm(file, { force: true });
          throw err;
        }
      }),
    adopt: (path, file) =>
      explained(async () => {
        const handle = await open(file, 'r');
        try {
          await handle.datasync();
        } finally {
          await handle.close();
        }
        await place(file, full(path));
      }),
    stat: path =>
      explained(() =>
        Promise.resolve(
          orUndefined(() => {
            const { size, mtimeMs } = statSync(full(path));
            return { sizeBytes: size, modifiedAt: mtimeMs };
          }),
        ),
      ),
    touch: path =>
      explained(() => {
        const now = new Date();
        orUndefined(() => utimesSync(full(path), now, now));
        return Promise.resolve();
      }),
    content(path, _size, range) {
      const file = Bun.file(full(path), { type: 'application/octet-stream' });
      return { body: range === undefined ? file : file.slice(range.start, range.end + 1, 'application/octet-stream') };
    },
    list: folder =>
      explained(() => {
        const entries = orUndefined(() => readdirSync(full(folder), { withFileTypes: true })) ?? [];
        return Promise.resolve(entries.map(entry => ({ name: entry.name, isFolder: entry.isDirectory() })));
      }),
    remove: folder =>
      explained(async () => {
        const gone = join(stagingFolder, `gone-${newId().slice(0, 24)}`);
        // In one step, so that nobody sees a half of it; the rest is only space.
        if (orUndefined(() => renameSync(full(folder), gone) ?? true) === undefined) return;
        await rm(gone, { recursive: true, force: true });
        removeEmptyParents(full(dirname(folder)), root);
      }),
    check: () =>
      explained(async () => {
        const file = join(stagingFolder, 'check');
        const fd = openSync(file, 'w', 0o600);
        try {
          writeSync(fd, 'x');
        } finally {
          closeSync(fd);
        }
        await rm(file, { force: true });
      }),
  };
}

/** Files in the staging folder that only a process which has ended could have used. */
export const isLeftOver = (name: string): boolean => name.startsWith('put-') || name.startsWith('gone-');

async function writeSynced(file: string, data: Uint8Array): Promise<void> {
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.writeFile(data);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/** From the lowest folder up to `last`: names in them are known to the disk afterwards. */
async function syncFolders(lowest: string, last: string): Promise<void> {
  for (let folder = lowest; ; folder = dirname(folder)) {
    const handle = await open(folder, 'r').catch((err: unknown) => {
      // Somebody has removed it again: then there is nothing to keep.
      if (isErrno(err, 'ENOENT')) return undefined;
      throw err;
    });
    try {
      await handle?.sync();
    } finally {
      await handle?.close();
    }
    if (folder === last || folder.length <= last.length) return;
  }
}

function removeEmptyParents(folder: string, root: string): void {
  for (let at = folder; at.length > root.length; at = dirname(at)) {
    try {
      rmdirSync(at);
    } catch (err) {
      if (isErrno(err, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) return;
      throw err;
    }
  }
}

function orUndefined<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return undefined;
    throw err;
  }
}

/** Disk errors in words: kinds instead of errno. */
export async function explained<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (err) {
    if (isErrno(err, 'ENOSPC', 'EDQUOT', 'EFBIG')) throw resourceExhausted("the registry's disk is full", { cause: err });
    if (isErrno(err, 'EIO', 'EROFS', 'EACCES', 'EPERM', 'ESTALE', 'EMFILE', 'ENFILE'))
      throw unavailable("the registry's storage does not work", { cause: err });
    throw err;
  }
}
