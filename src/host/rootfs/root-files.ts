import { basename, dirname } from 'node:path';
import { constants, fstatSync, readlinkSync, type Stats } from 'node:fs';
import { invalidArgument, isErrno, notFound } from '#base/errors.ts';
import type { Owner } from '#core/id-map.ts';
import { changeOwner, makeDirectory, makeSymlink, readSome, removeFile } from '#host/sys/fs.ts';
import { inodeIfThere } from '#host/sys/inode.ts';
import { openInRoot, openRoot, ownedFd, pathOfFd, pathOnly } from '#host/sys/rooted.ts';
import { copyTree, isEmptyDirectory } from './copy-tree.ts';

/** Files inside the mounted root of a container; implements what containers need of them (`RootFiles`). */
export function createRootFiles() {
  return { readText, ensureDirectory, putLink, resolve, kindOf, copyInto };
}

const { O_DIRECTORY, O_NONBLOCK, O_RDONLY } = constants;

function readText(root: string, path: string, maxBytes: number): string | undefined {
  using rootFd = ownedFd(openRoot(root));
  const opened = openIfThere(rootFd.fd, path, O_RDONLY | O_NONBLOCK);
  if (opened === undefined) return undefined;
  using file = ownedFd(opened);
  const stats = fstatSync(file.fd);
  if (!stats.isFile()) return undefined;
  const buffer = new Uint8Array(Math.min(stats.size, maxBytes));
  let length = 0;
  while (length < buffer.length) {
    const count = readSome(file.fd, buffer.subarray(length));
    if (count === 0) break;
    length += count;
  }
  return new TextDecoder().decode(buffer.subarray(0, length));
}

/** Undefined when there is no such file, or its name leads nowhere. */
export function openIfThere(rootFd: number, path: string, flags: number): number | undefined {
  try {
    return openInRoot(rootFd, path, flags);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'ENXIO')) return undefined;
    throw err;
  }
}

function ensureDirectory(root: string, path: string, owner: Owner): void {
  using rootFd = ownedFd(openRoot(root));
  const there = openIfThere(rootFd.fd, path, pathOnly | O_DIRECTORY);
  if (there !== undefined) return ownedFd(there)[Symbol.dispose]();
  const names = namesOf(path);
  let parent = '/';
  for (let links = 0, name = names.shift(); name !== undefined; name = names.shift()) {
    if (name === '..') {
      parent = parent.replace(/[^/]+\/$/, '');
      continue;
    }
    const target = makeIn(rootFd.fd, parent, name, owner);
    if (target === undefined) {
      parent = `${parent}${name}/`;
      continue;
    }
    if (++links > mostLinks) throw invalidArgument(`Cannot mkdir: ${path} leads through too many links`);
    names.unshift(...namesOf(target));
    if (target.startsWith('/')) parent = '/';
  }
}

const mostLinks = 40;
const namesOf = (path: string): string[] => path.split('/').filter(part => part !== '' && part !== '.');

/** Makes one directory where there is none. Returns where to make it instead when a link that leads nowhere has its name. */
function makeIn(rootFd: number, parent: string, name: string, owner: Owner): string | undefined {
  const path = `${parent}${name}`;
  const there = openIfThere(rootFd, path, pathOnly | O_DIRECTORY);
  if (there !== undefined) return void ownedFd(there)[Symbol.dispose]();
  using directory = ownedFd(openInRoot(rootFd, parent, O_RDONLY | O_DIRECTORY));
  try {
    makeDirectory(directory.fd, name, 0o755);
    if (owner.uid !== 0 || owner.gid !== 0) changeOwner(directory.fd, name, owner.uid, owner.gid);
  } catch (err) {
    if (!isErrno(err, 'EEXIST')) throw err;
    const target = readLink(directory.fd, name);
    if (target === undefined) throw invalidArgument(`Cannot mkdir: ${path} is not a directory`, { cause: err });
    return target;
  }
  return undefined;
}

function putLink(root: string, path: string, target: string, owner: Owner): void {
  const directory = dirname(path);
  ensureDirectory(root, directory, owner);
  using rootFd = ownedFd(openRoot(root));
  using parent = ownedFd(openInRoot(rootFd.fd, directory, O_RDONLY | O_DIRECTORY));
  const name = basename(path);
  if (readLink(parent.fd, name) === target) return;
  const there = inodeIfThere(parent.fd, name);
  if (there?.type === 'directory') return;
  if (there !== undefined) removeFile(parent.fd, name);
  makeSymlink(target, parent.fd, name);
  changeOwner(parent.fd, name, owner.uid, owner.gid);
}

/** What a link says; undefined when it is none. */
function readLink(directory: number, name: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${String(directory)}/${name}`);
  } catch (err) {
    if (isErrno(err, 'EINVAL', 'ENOENT')) return undefined;
    throw err;
  }
}

function resolve(root: string, path: string): string {
  using rootFd = ownedFd(openRoot(root));
  const opened = openIfThere(rootFd.fd, path, pathOnly);
  if (opened === undefined) throw notFound(`${path}: no such file or directory`);
  using file = ownedFd(opened);
  return pathOfFd(file.fd);
}

function kindOf(root: string, path: string): 'directory' | 'other' | 'missing' {
  using rootFd = ownedFd(openRoot(root));
  const opened = openIfThere(rootFd.fd, path, pathOnly);
  if (opened === undefined) return 'missing';
  using file = ownedFd(opened);
  const stats: Stats = fstatSync(file.fd);
  return stats.isDirectory() ? 'directory' : 'other';
}

async function copyInto(root: string, path: string, hostDirectory: string, signal: AbortSignal): Promise<void> {
  using rootFd = ownedFd(openRoot(root));
  const opened = openIfThere(rootFd.fd, path, O_RDONLY | O_DIRECTORY);
  if (opened === undefined) return;
  using source = ownedFd(opened);
  using targetRoot = ownedFd(openRoot(hostDirectory));
  using target = ownedFd(openInRoot(targetRoot.fd, '/', O_RDONLY | O_DIRECTORY));
  if (isEmptyDirectory(target.fd)) await copyTree(source.fd, target.fd, signal);
}
