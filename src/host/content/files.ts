import type { FileHandle } from 'node:fs/promises';
import { stat } from 'node:fs/promises';
import { internal, isErrno, resourceExhausted } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';

export async function syncAndClose(file: FileHandle, path: string, log: Logger): Promise<void> {
  try {
    await file.datasync();
  } catch (err) {
    log.warn('could not sync a blob to disk', { path, error: err });
  } finally {
    await file.close().catch((err: unknown) => log.warn('could not close a blob', { path, error: err }));
  }
}

export async function statOrUndefined(
  path: string,
): Promise<{ readonly size: number; readonly blocks: number; readonly mtimeMs: number } | undefined> {
  try {
    return await stat(path);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined;
    throw err;
  }
}

/** Says what a full disk means. */
export function explain(err: unknown, path: string): Error {
  if (isErrno(err, 'ENOSPC')) {
    return resourceExhausted(`no space left on device while writing ${path}: remove unused images or enlarge the disk`, { cause: err });
  }
  if (isErrno(err, 'EDQUOT')) return resourceExhausted(`disk quota exceeded while writing ${path}`, { cause: err });
  return err instanceof Error ? err : internal(`writing ${path} failed`, { cause: err });
}
