import { type BigIntStats, constants, fstatSync, lstatSync, readdirSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { changeTimesOf, removeEmptyDirectory, removeFile } from '#host/sys/fs.ts';
import { openInRoot, openRoot, ownedFd, pathOnly } from '#host/sys/rooted.ts';

const { O_DIRECTORY, O_RDONLY } = constants;

/**
 * An OCI runtime makes the mount points that a root lacks. This remembers which ones are missing; disposing removes those that were made, unless
 * something is in them, and gives their parents their old times: what is left is what the process itself did.
 */
export function rememberMountPoints(root: string, destinations: readonly string[]): Disposable {
  using rootFd = ownedFd(openRoot(root));
  /** With what the parent was like; undefined for a parent that was missing as well. */
  const missing = new Map<string, BigIntStats | undefined>();
  for (const destination of destinations) {
    const parts = destination.split('/').filter(part => part !== '' && part !== '.');
    for (let depth = 1; depth <= parts.length; depth += 1) {
      const path = `/${parts.slice(0, depth).join('/')}`;
      if (exists(rootFd.fd, path)) continue;
      const parent = directoryStats(rootFd.fd, path.slice(0, path.lastIndexOf('/')));
      if (parent !== undefined) missing.set(path, parent);
      for (let below = depth + 1; below <= parts.length; below += 1) missing.set(`/${parts.slice(0, below).join('/')}`, undefined);
      break;
    }
  }
  return { [Symbol.dispose]: () => removeMountPoints(root, missing) };
}

function exists(rootFd: number, path: string): boolean {
  try {
    ownedFd(openInRoot(rootFd, path, pathOnly))[Symbol.dispose]();
    return true;
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR', 'ELOOP')) return false;
    throw err;
  }
}

function directoryStats(rootFd: number, path: string): BigIntStats | undefined {
  try {
    using directory = ownedFd(openInRoot(rootFd, path === '' ? '/' : path, O_RDONLY | O_DIRECTORY));
    return fstatSync(directory.fd, { bigint: true });
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
    throw err;
  }
}

function removeMountPoints(root: string, missing: ReadonlyMap<string, BigIntStats | undefined>): void {
  using rootFd = ownedFd(openRoot(root));
  const deepestFirst = [...missing].toSorted(([a], [b]) => b.split('/').length - a.split('/').length);
  for (const [path, parentBefore] of deepestFirst) {
    const at = path.lastIndexOf('/');
    try {
      using parent = ownedFd(openInRoot(rootFd.fd, at === 0 ? '/' : path.slice(0, at), O_RDONLY | O_DIRECTORY));
      if (!removeIfEmpty(parent.fd, path.slice(at + 1)) || parentBefore === undefined) continue;
      changeTimesOf(parent.fd, Number(parentBefore.mtimeNs / second), Number(parentBefore.mtimeNs % second));
    } catch (err) {
      if (!isErrno(err, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw err;
    }
  }
}

const second = 1_000_000_000n;

function removeIfEmpty(parentFd: number, name: string): boolean {
  const path = `/proc/self/fd/${String(parentFd)}/${name}`;
  const stats = lstatSync(path);
  if (stats.isDirectory() && readdirSync(path).length === 0) removeEmptyDirectory(parentFd, name);
  else if (stats.isFile() && stats.size === 0) removeFile(parentFd, name);
  else return false;
  return true;
}
