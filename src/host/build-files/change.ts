import { constants, fstatSync, lstatSync, rmSync } from 'node:fs';
import { posix } from 'node:path';
import { alreadyExists, invalidArgument, isErrno, notFound } from '#base/errors.ts';
import { hasWildcard, segmentRegExp } from '#base/path-pattern.ts';
import type { FileChange } from '#core/build-files.ts';
import {
  changeMode,
  changeOwner,
  changeTimes,
  changeTimesOf,
  closeFd,
  createFile,
  makeDirectory,
  makeSymlink,
  openFile,
  truncateFile,
  writeFully,
} from '#host/sys/fs.ts';
import { openInRoot, openRoot, ownedFd } from '#host/sys/rooted.ts';
import { splitTime } from './copy.ts';
import { namesIn } from './selection.ts';

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;

/** Makes or removes something in a root; see BuildFiles. Directories that only get or lose an entry keep their times. */
export function applyChange(root: string, change: FileChange): void {
  using rootFd = ownedFd(openRoot(root));
  const path = posix.join('/', change.path);
  if (change.kind === 'remove') return removeAll(rootFd.fd, path, change);
  if (change.kind === 'directory') return makeDirectories(rootFd.fd, path, change);
  if (path === '/') throw invalidArgument(`cannot make ${JSON.stringify(change.path)}: it is the root`);
  inParent(rootFd.fd, path, (parentFd, name) => {
    if (change.kind === 'file') writeFile(parentFd, name, change);
    else makeLinkTo(parentFd, name, path, change);
    dress(parentFd, name, change);
  });
}

/** Works in the directory that a path is in, whose times stay. */
function inParent(rootFd: number, path: string, work: (parentFd: number, name: string) => void): void {
  using parent = ownedFd(openParent(rootFd, path));
  const { mtimeNs } = fstatSync(parent.fd, { bigint: true });
  work(parent.fd, posix.basename(path));
  changeTimesOf(parent.fd, ...splitTime(mtimeNs));
}

function openParent(rootFd: number, path: string): number {
  try {
    return openInRoot(rootFd, posix.dirname(path), O_RDONLY | O_DIRECTORY);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) throw notFound(`${posix.dirname(path)}: no such directory`, { cause: err });
    throw err;
  }
}

function writeFile(parentFd: number, name: string, { content }: Extract<FileChange, { kind: 'file' }>): void {
  const fd = openOrCreate(parentFd, name);
  try {
    truncateFile(fd, 0);
    writeFully(fd, Buffer.from(content, 'base64'));
  } finally {
    closeFd(fd);
  }
}

function openOrCreate(parentFd: number, name: string): number {
  try {
    return createFile(parentFd, name, 0o600);
  } catch (err) {
    if (!isErrno(err, 'EEXIST')) throw err;
  }
  try {
    return openFile(parentFd, name, O_WRONLY | O_NOFOLLOW);
  } catch (err) {
    if (isErrno(err, 'EISDIR', 'ELOOP'))
      throw invalidArgument(`cannot write the file ${name}: something else has its place`, { cause: err });
    throw err;
  }
}

function makeLinkTo(parentFd: number, name: string, path: string, { target }: Extract<FileChange, { kind: 'symlink' }>): void {
  try {
    makeSymlink(target, parentFd, name);
  } catch (err) {
    if (isErrno(err, 'EEXIST')) throw alreadyExists(`symlink ${path}: file exists`, { cause: err });
    throw err;
  }
}

function makeDirectories(rootFd: number, path: string, change: Extract<FileChange, { kind: 'directory' }>): void {
  const names = path.split('/').filter(name => name !== '');
  for (const depth of names.keys()) {
    const each = `/${names.slice(0, depth + 1).join('/')}`;
    if (isDirectory(rootFd, each)) continue;
    if (!change.withParents && depth < names.length - 1) throw notFound(`${each}: no such directory`);
    inParent(rootFd, each, (parentFd, name) => {
      try {
        makeDirectory(parentFd, name, 0o700);
      } catch (err) {
        if (isErrno(err, 'EEXIST'))
          throw invalidArgument(`cannot make the directory ${each}: something else has its place`, { cause: err });
        throw err;
      }
      dress(parentFd, name, change);
    });
  }
}

function isDirectory(rootFd: number, path: string): boolean {
  try {
    closeFd(openInRoot(rootFd, path, O_RDONLY | O_DIRECTORY));
    return true;
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return false;
    throw err;
  }
}

function removeAll(rootFd: number, path: string, { allowsMissing, hasWildcard: mayMatch }: Extract<FileChange, { kind: 'remove' }>): void {
  if (path === '/') throw invalidArgument('the root cannot be removed');
  const name = posix.basename(path);
  const isPattern = mayMatch && hasWildcard(name);
  const directory = posix.dirname(path);
  const names = isPattern ? namesIn(rootFd, directory.slice(1)).filter(each => segmentRegExp(name).test(each)) : [name];
  if (!isDirectory(rootFd, directory)) {
    if (allowsMissing) return;
    throw notFound(`${path}: no such file or directory`);
  }
  for (const each of names) {
    inParent(rootFd, posix.join(directory, each), parentFd => {
      const place = `/proc/self/fd/${String(parentFd)}/${each}`;
      if (lstatSync(place, { throwIfNoEntry: false }) !== undefined) return rmSync(place, { recursive: true });
      if (!allowsMissing) throw notFound(`${path}: no such file or directory`);
    });
  }
}

/** Owner first: changing it takes away set-user-id bits. What has no time of its own is from the beginning of time, so that it is the same on every day. */
function dress(parentFd: number, name: string, change: Exclude<FileChange, { kind: 'remove' }>): void {
  const { uid, gid } = change.owner ?? { uid: 0, gid: 0 };
  changeOwner(parentFd, name, uid, gid);
  if (change.kind !== 'symlink') changeMode(parentFd, name, change.mode);
  changeTimes(parentFd, name, ...splitTime(BigInt(change.timeNs ?? '0')));
}
