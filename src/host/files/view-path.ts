import { constants } from 'node:fs';
import { invalidArgument, isErrno, notFound } from '#base/errors.ts';
import { type Inode, inodeAt, isKernelFileSystem, linkTargetAt } from '#host/sys/inode.ts';
import { openInRoot, ownedFd, pathOnly } from '#host/sys/rooted.ts';

/** A path in a view. Both descriptors are to be disposed of. */
export interface Place extends Disposable {
  /** Cleaned, from the root, with the `/` or `/.` that it ended in. */
  readonly path: string;
  /** Last part of the path: `/` for the root, `.` where the path ends in it. */
  readonly name: string;
  /** The directory in which it is; for a directory that the path names as such, that directory itself. */
  readonly directoryFd: number;
  /** Its name in there; empty for the directory itself. */
  readonly base: string;
  readonly inode: Inode;
}

/** As Go cleans a path, keeping what it ends in: `a//b/../c/` is `/a/c/`. */
export function cleanViewPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  const clean = `/${parts.join('/')}`;
  if (/(?:^|\/)\.\/*$/.test(path)) return clean === '/' ? '/.' : `${clean}/.`;
  return path.endsWith('/') && clean !== '/' ? `${clean}/` : clean;
}

/** Finds what a path means, a link in the last place not followed. Rejects with NotFound, InvalidArgument. */
export function locate(rootFd: number, asked: string): Place {
  const path = cleanViewPath(asked);
  const slash = path.lastIndexOf('/');
  const last = path.slice(slash + 1);
  const base = last === '.' ? '' : last;
  const directory = ownedFd(translated(path, () => openInRoot(rootFd, path.slice(0, slash + 1), pathOnly | constants.O_DIRECTORY)));
  try {
    const inode = translated(path, () => inodeAt(directory.fd, base));
    if (isMadeUp(directory.fd, base, inode)) throw missing(path);
    const name = path === '/' ? '/' : (path.replace(/\/$/, '').split('/').at(-1) ?? '');
    return { path, name, directoryFd: directory.fd, base, inode, [Symbol.dispose]: () => directory[Symbol.dispose]() };
  } catch (err) {
    directory[Symbol.dispose]();
    throw err;
  }
}

/** A file of the kernel's. The place where such a file system is mounted is a directory like any other, an empty one. */
function isMadeUp(directoryFd: number, base: string, inode: Inode): boolean {
  if (base !== '' && inode.type === 'directory') return false;
  return isKernelFileSystem(directoryFd) && !(base === '' && inode.isMountRoot);
}

const missing = (path: string): Error => notFound(`${path}: no such file or directory`);

function translated<T>(path: string, look: () => T): T {
  try {
    return look();
  } catch (err) {
    // Of what the kernel makes up, some is nobody's to open.
    if (isErrno(err, 'ENOENT', 'EACCES')) throw missing(path);
    if (isErrno(err, 'ENOTDIR')) throw invalidArgument(`${path}: not a directory`, { cause: err });
    if (isErrno(err, 'ELOOP')) throw invalidArgument(`${path}: too many levels of symbolic links`, { cause: err });
    if (isErrno(err, 'ENAMETOOLONG')) throw invalidArgument(`${path.slice(0, 100)}…: file name too long`, { cause: err });
    throw err;
  }
}

const mostLinks = 255;

/** The path that is left when every link has been followed, whether or not there is something at its end. */
export function evaluate(rootFd: number, path: string): string {
  const todo = partsOf(path);
  let done: string[] = [];
  for (let links = 0, part = todo.shift(); part !== undefined; part = todo.shift()) {
    if (part === '..') {
      done.pop();
      continue;
    }
    const target = linkAt(rootFd, `/${done.join('/')}`, part);
    if (target === undefined) {
      done.push(part);
      continue;
    }
    if (++links > mostLinks) throw invalidArgument(`${path}: too many levels of symbolic links`);
    if (target.startsWith('/')) done = [];
    todo.unshift(...partsOf(target));
  }
  return `/${done.join('/')}`;
}

const partsOf = (path: string): string[] => path.split('/').filter(part => part !== '' && part !== '.');

/** What a link says; undefined when there is none. */
function linkAt(rootFd: number, directory: string, name: string): string | undefined {
  try {
    using parent = ownedFd(openInRoot(rootFd, directory, pathOnly | constants.O_DIRECTORY));
    return linkTargetAt(parent.fd, name);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR', 'EINVAL', 'ELOOP', 'EACCES')) return undefined;
    throw err;
  }
}
