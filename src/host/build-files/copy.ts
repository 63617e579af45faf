import { type BigIntStats, constants, fstatSync, lstatSync, readdirSync } from 'node:fs';
import { invalidArgument, isErrno } from '#base/errors.ts';
import type { FileSource, FileTarget } from '#core/build-files.ts';
import { deviceOf } from '#host/rootfs/copy-tree.ts';
import { linkTargetOf, xattrsOf } from '#host/snapshots/diff/entries.ts';
import {
  changeMode,
  changeModeOf,
  changeOwner,
  changeOwnerOf,
  changeTimes,
  changeTimesOf,
  createFile,
  fileTypes,
  makeDirectory,
  makeLink,
  makeNode,
  makeSymlink,
  openDirectory,
  openFile,
  readSome,
  removeFile,
  setXattr,
  setXattrOf,
  writeFully,
} from '#host/sys/fs.ts';
import { openInRoot, openRoot, ownedFd, pathOfFd, pathOnly } from '#host/sys/rooted.ts';
import { decodeName, encodeName } from '#oci/tar/names.ts';
import { changedMode } from './mode.ts';
import { select, type Selected } from './selection.ts';

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;

/** Copies what the sources mean into a root; see BuildFiles. Files that `skip` takes are left to the caller. */
export function copyFiles(sources: readonly FileSource[], target: FileTarget, skip: (selected: Selected) => boolean = () => false): void {
  using copier = new Copier(target);
  const selected = sources.flatMap(select);
  copier.copy(selected, skip);
}

/** Makes the directory of a target where it is missing; where it is on the host. */
export function makeTargetDirectory(target: FileTarget): string {
  using copier = new Copier(target);
  using directory = ownedFd(copier.directory(target.path, beginningOfTime));
  return pathOfFd(directory.fd);
}

export type Times = readonly [seconds: number, nanoseconds: number];

/** Directories that belong to no source get the same time on every day. */
const beginningOfTime: Times = [0, 0];

const chunkBytes = 1024 * 1024;

class Copier implements Disposable {
  readonly #target: FileTarget;
  readonly #rootFd: number;
  readonly #buffer = new Uint8Array(chunkBytes);
  readonly #open = new DisposableStack();
  /** First copy of a file with several names: descriptor of its directory and its name there. */
  readonly #links = new Map<string, { readonly path: string; readonly name: string }>();
  /** What the directories' times are to be when nothing is put into them any more: those that were there keep theirs. */
  readonly #times = new Map<string, Times>();

  constructor(target: FileTarget) {
    this.#target = target;
    this.#rootFd = this.#open.use(ownedFd(openRoot(target.root))).fd;
  }

  copy(selected: readonly Selected[], skip: (selected: Selected) => boolean): void {
    const { path } = this.#target;
    const intoDirectory = path.endsWith('/') || selected.length > 1 || this.#isDirectory(path);
    for (const each of selected) {
      if (each.stats.isDirectory()) this.#copyDirectory(each, each.name === '' ? path : `${path}/${each.name}`);
      else if (!skip(each)) this.#copyFileTo(each, intoDirectory || each.source.parents ? `${path}/${each.name}` : path);
    }
  }

  #copyDirectory(selected: Selected, path: string): void {
    // What is copied are a directory's contents: where they go is a directory like any other, unless its path comes along.
    const like = selected.source.parents || selected.source.whole === true ? selected : undefined;
    using target = ownedFd(this.directory(path, this.#timesOf(selected.stats), like));
    this.#copyBelow(selected, '', selected.path, target.fd);
  }

  #copyFileTo(selected: Selected, path: string): void {
    const at = path.lastIndexOf('/');
    using directory = ownedFd(this.directory(path.slice(0, at + 1), this.#timesOf(selected.stats)));
    this.#copyOne(selected, selected.path, selected.stats, directory.fd, path.slice(at + 1));
  }

  #isDirectory(path: string): boolean {
    try {
      ownedFd(openInRoot(this.#rootFd, path, pathOnly | O_DIRECTORY))[Symbol.dispose]();
      return true;
    } catch (err) {
      if (isErrno(err, 'ENOENT', 'ENOTDIR', 'ELOOP')) return false;
      throw err;
    }
  }

  /**
   * Opens a directory of the root, making it and its parents where missing: parents with mode 755, itself like the source it is a copy of. What is made
   * has the time of what it is made for.
   */
  directory(path: string, times: Times, like?: Selected): number {
    const parts = path.split('/').filter(part => part !== '' && part !== '.');
    let at = '/';
    for (const [index, part] of parts.entries()) {
      const next = `${at}${part}/`;
      if (!this.#isDirectory(next)) {
        using parent = ownedFd(openInRoot(this.#rootFd, at, O_RDONLY | O_DIRECTORY));
        this.#keepTimes(parent.fd);
        try {
          makeDirectory(parent.fd, part, 0o755);
        } catch (err) {
          if (isErrno(err, 'EEXIST')) throw invalidArgument(`cannot copy to non-directory: ${next.slice(0, -1)}`, { cause: err });
          throw err;
        }
        using made = ownedFd(openDirectory(parent.fd, part));
        this.#times.set(pathOfFd(made.fd), times);
        if (index === parts.length - 1 && like !== undefined) this.#dress(made.fd, like, like.path, like.stats);
        else if (this.#target.owner !== undefined) changeOwnerOf(made.fd, this.#target.owner.uid, this.#target.owner.gid);
      }
      at = next;
    }
    const fd = openInRoot(this.#rootFd, at, O_RDONLY | O_DIRECTORY);
    this.#keepTimes(fd);
    return fd;
  }

  /** Remembers the times of a directory that is about to change. */
  #keepTimes(fd: number): void {
    const path = pathOfFd(fd);
    if (!this.#times.has(path)) this.#times.set(path, timesOf(fstatSync(fd, { bigint: true })));
  }

  #copyBelow(selected: Selected, below: string, path: Buffer, targetFd: number): void {
    for (const bytes of readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare)) {
      const base = decodeName(bytes);
      const name = below === '' ? base : `${below}/${base}`;
      const childPath = Buffer.concat([path, slash, bytes]);
      const stats = lstatSync(childPath, { bigint: true });
      const exclusion = selected.exclusion(name, stats.isDirectory());
      if (stats.isSocket() || exclusion === 'yes') continue;
      if (!stats.isDirectory()) this.#copyOne(selected, childPath, stats, targetFd, base);
      else if (exclusion === 'no' || this.#hasWanted(selected, name, childPath)) {
        const isNew = this.#makeBelow(targetFd, base);
        using directory = ownedFd(openDirectory(targetFd, base));
        if (!isNew) this.#keepTimes(directory.fd);
        this.#copyBelow(selected, name, childPath, directory.fd);
        if (!isNew) continue;
        this.#dress(directory.fd, selected, childPath, stats);
        changeTimesOf(directory.fd, ...this.#timesOf(stats));
      }
    }
  }

  #hasWanted(selected: Selected, below: string, path: Buffer): boolean {
    return readdirSync(path, { encoding: 'buffer' }).some(bytes => {
      const name = `${below}/${decodeName(bytes)}`;
      const childPath = Buffer.concat([path, slash, bytes]);
      const isDirectory = lstatSync(childPath).isDirectory();
      const exclusion = selected.exclusion(name, isDirectory);
      return exclusion === 'no' || (exclusion === 'unless-below' && this.#hasWanted(selected, name, childPath));
    });
  }

  /** False when it was there. */
  #makeBelow(parentFd: number, name: string): boolean {
    try {
      makeDirectory(parentFd, name, 0o700);
      return true;
    } catch (err) {
      if (!isErrno(err, 'EEXIST')) throw err;
    }
    const there = lstatSync(childOf(parentFd, name));
    if (!there.isDirectory()) throw invalidArgument(`cannot copy to non-directory: ${this.#shown(parentFd, name)}`);
    return false;
  }

  #shown(parentFd: number, name: string): string {
    const path = `${pathOfFd(parentFd)}/${name}`;
    return path.startsWith(this.#target.root) ? path.slice(this.#target.root.length) : path;
  }

  #copyOne(selected: Selected, path: Buffer, stats: BigIntStats, targetFd: number, name: string): void {
    const inode = stats.nlink > 1n ? `${String(stats.dev)}:${String(stats.ino)}` : undefined;
    const first = inode === undefined ? undefined : this.#links.get(inode);
    if (first !== undefined && this.#link(first, targetFd, name)) return;
    if (stats.isFile()) this.#copyContent(selected, path, stats, targetFd, name);
    else this.#copySpecial(selected, path, stats, targetFd, name);
    if (inode !== undefined) this.#links.set(inode, { path: pathOfFd(targetFd), name });
  }

  #link(first: { readonly path: string; readonly name: string }, targetFd: number, name: string): boolean {
    using directory = ownedFd(openDirectory(atRoot, first.path));
    try {
      this.#replacing(targetFd, name, () => makeLink(directory.fd, first.name, targetFd, name));
      return true;
    } catch (err) {
      if (isErrno(err, 'ENOENT', 'EMLINK', 'EXDEV')) return false;
      throw err;
    }
  }

  #copyContent(selected: Selected, path: Buffer, stats: BigIntStats, targetFd: number, name: string): void {
    using source = ownedFd(openFile(atRoot, decodeName(path), O_RDONLY | O_NOFOLLOW));
    using target = ownedFd(this.#replacing(targetFd, name, () => createFile(targetFd, name, 0o600)));
    for (;;) {
      const count = readSome(source.fd, this.#buffer);
      if (count === 0) break;
      writeFully(target.fd, this.#buffer.subarray(0, count));
    }
    this.#dress(target.fd, selected, path, stats);
    changeTimesOf(target.fd, ...this.#timesOf(stats));
  }

  /** Owner first: changing it takes away set-user-id bits and file capabilities. */
  #dress(fd: number, selected: Selected, path: Buffer, stats: BigIntStats): void {
    const [uid, gid] = this.#ownerOf(selected, stats);
    changeOwnerOf(fd, uid, gid);
    changeModeOf(fd, changedMode(this.#target.mode, Number(stats.mode & 0o7777n), stats.isDirectory()));
    for (const [key, value] of xattrsOf(path)) tolerateUnsupported(() => setXattrOf(fd, key, value));
  }

  #copySpecial(selected: Selected, path: Buffer, stats: BigIntStats, targetFd: number, name: string): void {
    this.#replacing(targetFd, name, () => {
      if (stats.isSymbolicLink()) return makeSymlink(linkTargetOf(path), targetFd, name);
      const type = stats.isCharacterDevice() ? fileTypes.char : stats.isBlockDevice() ? fileTypes.block : fileTypes.fifo;
      makeNode(targetFd, name, type | 0o600, ...deviceOf(stats.rdev));
    });
    changeOwner(targetFd, name, ...this.#ownerOf(selected, stats));
    if (!stats.isSymbolicLink()) changeMode(targetFd, name, changedMode(this.#target.mode, Number(stats.mode & 0o7777n), false));
    const own = decodeName(childOf(targetFd, name));
    for (const [key, value] of xattrsOf(path)) tolerateUnsupported(() => setXattr(own, key, value));
    changeTimes(targetFd, name, ...this.#timesOf(stats));
  }

  #timesOf(stats: BigIntStats): Times {
    const { timeNs } = this.#target;
    return timeNs === undefined ? timesOf(stats) : splitTime(BigInt(timeNs));
  }

  #ownerOf({ source }: Selected, stats: BigIntStats): [uid: number, gid: number] {
    const { owner } = this.#target;
    if (owner !== undefined) return [owner.uid, owner.gid];
    return source.keepOwners ? [Number(stats.uid), Number(stats.gid)] : [0, 0];
  }

  /** Makes something in this place; a file that is there goes. */
  #replacing<T>(parentFd: number, name: string, make: () => T): T {
    try {
      return make();
    } catch (err) {
      if (!isErrno(err, 'EEXIST')) throw err;
    }
    try {
      removeFile(parentFd, name);
    } catch (err) {
      if (!isErrno(err, 'EISDIR', 'EPERM')) throw err;
      throw invalidArgument(`cannot replace to directory ${this.#shown(parentFd, name)} with file`, { cause: err });
    }
    return make();
  }

  [Symbol.dispose](): void {
    for (const [path, times] of this.#times) changeTimes(atRoot, path, ...times);
    this.#open.dispose();
  }
}

const slash = Buffer.from('/');
/** All names given with it are absolute. */
const atRoot = -100;

const childOf = (fd: number, name: string): Buffer => Buffer.concat([Buffer.from(`/proc/self/fd/${String(fd)}/`), encodeName(name)]);

const timesOf = ({ mtimeNs }: BigIntStats): Times => splitTime(mtimeNs);

/** Nanoseconds since 1970 as the kernel takes them. */
export function splitTime(timeNs: bigint): Times {
  const nanoseconds = ((timeNs % second) + second) % second;
  return [Number((timeNs - nanoseconds) / second), Number(nanoseconds)];
}

const second = 1_000_000_000n;

/** An attribute that this file system does not know is no reason to fail. */
function tolerateUnsupported(set: () => void): void {
  try {
    set();
  } catch (err) {
    if (!isErrno(err, 'EOPNOTSUPP', 'EPERM')) throw err;
  }
}
