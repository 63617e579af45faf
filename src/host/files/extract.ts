import { constants } from 'node:fs';
import { invalidArgument, isErrno } from '#base/errors.ts';
import type { ExtractOptions } from '#core/files.ts';
import type { OwnerTranslation } from '#host/rootfs/owner-translation.ts';
import {
  changeModeOf,
  changeOwner,
  changeOwnerOf,
  changeTimes,
  changeTimesOf,
  createFile,
  enterDirectory,
  fileTypes,
  makeDirectory,
  makeLink,
  makeNode,
  makeSymlink,
  openDirectory,
  removeEmptyDirectory,
  removeFile,
  setXattr,
  setXattrOf,
  truncateFile,
  writeFully,
  writeFullyAt,
} from '#host/sys/fs.ts';
import { type Inode, inodeAt, inodeIfThere, namesIn } from '#host/sys/inode.ts';
import { openInRoot, ownedFd } from '#host/sys/rooted.ts';
import type { TarEntry } from '#oci/tar/entry.ts';
import type { TarSink } from '#oci/tar/parser.ts';

type Owner = ExtractOptions['owner'];
const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY;

/**
 * Puts the members of an archive into a directory of somebody else's root. Links on the way are followed inside that root; a member itself is made anew in
 * the place of whatever has its name, through the descriptor of its directory, but directories are merged. The process must have no umask.
 */
export class RootExtractor implements TarSink {
  readonly #rootFd: number;
  /** Absolute in the root, links followed. */
  readonly #target: string;
  readonly #keepsKinds: boolean;
  readonly #owner: Owner;
  readonly #owners: OwnerTranslation;
  /** The directory of the last member: neighbours follow each other. */
  #parent: (Disposable & { readonly fd: number }) | undefined;
  #parentPath: string | undefined;
  #file: { readonly fd: number; position: number } | undefined;
  /** Their times change while something is put into them. */
  readonly #directories = new Map<string, TarEntry>();

  constructor(rootFd: number, target: string, options: Pick<ExtractOptions, 'keepsKinds' | 'owner'>, owners: OwnerTranslation) {
    this.#rootFd = rootFd;
    this.#target = target;
    this.#keepsKinds = options.keepsKinds;
    this.#owner = options.owner;
    this.#owners = owners;
  }

  entry(entry: TarEntry): void {
    const parts = partsInside(entry.name, this.#target);
    const base = parts.pop();
    const directory = [this.#target === '/' ? '' : this.#target, ...parts].join('/');
    if (base === undefined) {
      if (entry.type !== 'directory') throw invalidArgument(`"${entry.name}" cannot take the place of the directory that is copied to`);
      return;
    }
    const parent = this.#directory(directory === '' ? '/' : directory);
    this.#make(parent, directory, base, entry);
  }

  data(chunk: Uint8Array, offset: number): void {
    const file = this.#file;
    if (file === undefined) return;
    if (offset !== file.position) return writeFullyAt(file.fd, chunk, offset);
    writeFully(file.fd, chunk);
    file.position += chunk.length;
  }

  end(entry: TarEntry): void {
    if (this.#file === undefined) return;
    using file = ownedFd(this.#file.fd);
    this.#file = undefined;
    if (entry.sparse !== undefined) truncateFile(file.fd, entry.sizeBytes);
    const { uid, gid } = this.#ownerOf(entry);
    changeOwnerOf(file.fd, uid, gid);
    changeModeOf(file.fd, entry.mode);
    for (const [name, value] of this.#xattrsOf(entry)) tolerateUnsupported(() => setXattrOf(file.fd, name, value));
    changeTimesOf(file.fd, entry.mtime.seconds, entry.mtime.nanoseconds);
  }

  /** Completes the directories. Call it once, after the last member. */
  finish(): void {
    this.#parent?.[Symbol.dispose]();
    this.#parent = undefined;
    for (const [path, { mtime }] of this.#directories) {
      try {
        using directory = ownedFd(openInRoot(this.#rootFd, path, directoryFlags | constants.O_NOFOLLOW));
        changeTimesOf(directory.fd, mtime.seconds, mtime.nanoseconds);
      } catch (err) {
        if (!isErrno(err, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw err;
      }
    }
  }

  *#xattrsOf(entry: TarEntry): Generator<readonly [string, Uint8Array]> {
    for (const [name, value] of entry.xattrs) {
      if (!/^(?:trusted|user)\.overlay\./.test(name)) yield [name, this.#owners.attribute(name, value)];
    }
  }

  #ownerOf({ uid, gid }: { readonly uid: number; readonly gid: number }): NonNullable<Owner> {
    return this.#owners.owner(this.#owner ?? { uid, gid });
  }

  #make(parent: number, directory: string, base: string, entry: TarEntry): void {
    const { uid, gid } = this.#ownerOf(entry);
    const there = inodeIfThere(parent, base);
    if (there !== undefined && !(there.type === 'directory' && entry.type === 'directory')) this.#makeRoom(parent, base, there, entry);
    const { mode } = entry;
    switch (entry.type) {
      case 'file':
        this.#file = { fd: createFile(parent, base, 0o600), position: 0 };
        return;
      case 'link':
        return this.#makeLink(parent, base, entry);
      case 'directory':
        if (there?.type !== 'directory') makeDirectory(parent, base, 0o700);
        this.#directories.set(`${directory}/${base}`, entry);
        break;
      case 'symlink':
        makeSymlink(entry.linkName, parent, base);
        break;
      case 'char':
      case 'block':
      case 'fifo':
        makeNode(parent, base, fileTypes[entry.type] | mode, entry.devMajor, entry.devMinor);
        break;
    }
    if (entry.type === 'directory') {
      using made = ownedFd(openDirectory(parent, base));
      changeOwnerOf(made.fd, uid, gid);
      changeModeOf(made.fd, mode);
      for (const [name, value] of this.#xattrsOf(entry)) tolerateUnsupported(() => setXattrOf(made.fd, name, value));
      return;
    }
    changeOwner(parent, base, uid, gid);
    this.#setXattrs(parent, base, entry);
    changeTimes(parent, base, entry.mtime.seconds, entry.mtime.nanoseconds);
  }

  #makeRoom(parent: number, base: string, there: Inode, entry: TarEntry): void {
    if (this.#keepsKinds && there.type === 'directory') {
      throw invalidArgument(`cannot overwrite directory "${join(this.#parentPath, base)}" with non-directory "${this.#target}"`);
    }
    if (this.#keepsKinds && entry.type === 'directory') {
      throw invalidArgument(`cannot overwrite non-directory "${join(this.#parentPath, base)}" with directory "${this.#target}"`);
    }
    removeTree(parent, base, there);
  }

  #makeLink(parent: number, base: string, entry: TarEntry): void {
    const parts = partsInside(entry.linkName, this.#target);
    const name = parts.pop();
    if (name === undefined) throw invalidArgument(`"${entry.name}" is a hard link to a directory`);
    const directory = [this.#target === '/' ? '' : this.#target, ...parts].join('/');
    using source = ownedFd(openInRoot(this.#rootFd, directory === '' ? '/' : directory, directoryFlags));
    try {
      makeLink(source.fd, name, parent, base);
    } catch (err) {
      if (!isErrno(err, 'ENOENT', 'EPERM')) throw err;
      throw invalidArgument(`"${entry.name}" is a hard link to "${entry.linkName}", which is no file`, { cause: err });
    }
  }

  #setXattrs(parent: number, base: string, entry: TarEntry): void {
    if (entry.xattrs.size === 0) return;
    enterDirectory(parent);
    for (const [name, value] of this.#xattrsOf(entry)) tolerateUnsupported(() => setXattr(base, name, value));
  }

  /** Opens a member's directory; what is missing of it is made. */
  #directory(path: string): number {
    if (this.#parent !== undefined && this.#parentPath === path) return this.#parent.fd;
    const fd = this.#openOrMake(path);
    this.#parent?.[Symbol.dispose]();
    this.#parent = ownedFd(fd);
    this.#parentPath = path;
    return fd;
  }

  #openOrMake(path: string): number {
    try {
      return openInRoot(this.#rootFd, path, directoryFlags);
    } catch (err) {
      if (isErrno(err, 'ENOTDIR')) throw invalidArgument(`${path}: not a directory`, { cause: err });
      if (!isErrno(err, 'ENOENT') || path === '/') throw err;
    }
    const slash = path.lastIndexOf('/');
    using parent = ownedFd(this.#openOrMake(slash === 0 ? '/' : path.slice(0, slash)));
    makeDirectory(parent.fd, path.slice(slash + 1), 0o755);
    const { uid, gid } = this.#ownerOf({ uid: 0, gid: 0 });
    changeOwner(parent.fd, path.slice(slash + 1), uid, gid);
    return openDirectory(parent.fd, path.slice(slash + 1));
  }
}

const join = (directory: string | undefined, base: string): string => `${directory === '/' ? '' : (directory ?? '')}/${base}`;

/** The parts of a member's name. `..` may go back, but not beyond where it began. */
function partsInside(name: string, target: string): string[] {
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) throw invalidArgument(`"${name}" is outside of "${target}"`);
  }
  return parts;
}

/** Removes whatever has this name. Rejects with InvalidArgument where something is mounted, which stays. */
export function removeTree(parent: number, base: string, inode: Inode): void {
  if (inode.type !== 'directory') return removeFile(parent, base);
  const fd = openDirectory(parent, base);
  using opened = ownedFd(fd);
  if (inodeAt(opened.fd, '').isMountRoot) throw invalidArgument(`"${base}" cannot be replaced: something is mounted there`);
  for (const name of namesIn(opened.fd)) {
    const child = inodeIfThere(opened.fd, name);
    if (child !== undefined) removeTree(opened.fd, name, child);
  }
  removeEmptyDirectory(parent, base);
}

/** An attribute that this file system or kernel does not know is no reason to refuse a file. */
function tolerateUnsupported(set: () => void): void {
  try {
    set();
  } catch (err) {
    if (!isErrno(err, 'EOPNOTSUPP', 'EPERM')) throw err;
  }
}
