import { fstatSync, rmSync } from 'node:fs';
import { invalidArgument, isErrno } from '#base/errors.ts';
import {
  changeMode,
  changeModeOf,
  changeOwner,
  changeOwnerOf,
  changeTimes,
  changeTimesOf,
  closeFd,
  createFile,
  enterDirectory,
  fileTypes,
  makeDirectory,
  makeLink,
  makeNode,
  makeSymlink,
  openDirectory,
  openDirectoryBeneath,
  removeFile,
  setXattr,
  setXattrOf,
  truncateFile,
  writeFully,
  writeFullyAt,
} from '#host/sys/fs.ts';
import type { TarEntry, TarTime } from '#oci/tar/entry.ts';
import { encodeName } from '#oci/tar/names.ts';
import type { TarSink } from '#oci/tar/parser.ts';
import type { RecipeWriter } from '../layer-tar/recipe.ts';
import { joinPlace, type Meaning, meaningOf, type Place, placeOf } from './names.ts';
import type { UnpackReport } from './result.ts';

const opaqueXattr = 'trusted.overlay.opaque';
const opaqueValue = encodeName('y');
const specialModes = 0o7000;

export interface ExtractOptions {
  /** No layer: `.wh.` means nothing, and directories that are there keep their times. */
  readonly isPlain: boolean;
  /** Whom everything belongs to; undefined: whom the archive says. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** Hears which bytes of the tar became which file. */
  readonly recipe?: RecipeWriter | undefined;
}

/**
 * Makes the files of a layer in the process's root directory, which must be the layer's own (chroot) and its working directory. Besides that
 * wall, every member is made through a descriptor of its parent that was resolved beneath the root: a name that leads out (`..`, an absolute
 * symlink or one that leaves on the way) is refused, not bent to the inside.
 */
export class Extractor implements TarSink {
  readonly #rootFd: number;
  readonly #options: ExtractOptions;
  /** Directories that were there, and when they had last changed. */
  readonly #timesBefore = new Map<string, TarTime>();
  /** The directory of the last member: neighbours follow each other. */
  #parentName = '';
  #parentFd: number;
  #fileFd = -1;
  #fileName = '';
  #filePosition = 0;
  #sizeBytes = 0;
  /** Directories that the tar named; their times and special mode bits are set when nothing changes in them any more. */
  readonly #directories = new Map<string, TarEntry>();
  readonly #implied = new Set<string>(['']);
  readonly #foreignLinks: { name: string; target: string }[] = [];

  constructor(options: ExtractOptions) {
    this.#options = options;
    this.#rootFd = openDirectory(-100, '.');
    this.#parentFd = this.#rootFd;
    this.#noteTimes('', this.#rootFd);
  }

  entry(member: TarEntry): void {
    const { isPlain, owner } = this.#options;
    const entry = owner === undefined ? member : { ...member, ...owner };
    const meaning: Meaning = isPlain ? { is: 'member', place: placeOf(entry.name, entry.name) } : meaningOf(entry.name);
    switch (meaning.is) {
      case 'member':
        this.#make(entry, meaning.place);
        break;
      case 'whiteout':
        this.#hide(meaning.place, entry.name);
        break;
      case 'opaque':
        setXattrOf(this.#parent(meaning.directory, entry.name), opaqueXattr, opaqueValue);
        break;
      case 'ignored':
        break;
    }
  }

  data(chunk: Uint8Array, offset: number): void {
    if (this.#fileFd === -1) return;
    this.#options.recipe?.content(chunk, this.#fileName, offset);
    if (offset === this.#filePosition) writeFully(this.#fileFd, chunk);
    else writeFullyAt(this.#fileFd, chunk, offset);
    if (offset === this.#filePosition) this.#filePosition += chunk.length;
  }

  end(member: TarEntry): void {
    const { owner } = this.#options;
    const entry = owner === undefined ? member : { ...member, ...owner };
    const fd = this.#fileFd;
    if (fd === -1) return;
    this.#fileFd = -1;
    try {
      if (entry.sparse !== undefined) truncateFile(fd, entry.sizeBytes);
      if (entry.uid !== 0 || entry.gid !== 0) changeOwnerOf(fd, entry.uid, entry.gid);
      if ((entry.mode & specialModes) !== 0) changeModeOf(fd, entry.mode);
      for (const [name, value] of xattrsOf(entry)) tolerateUnsupported(() => setXattrOf(fd, name, value));
      changeTimesOf(fd, entry.mtime.seconds, entry.mtime.nanoseconds);
    } finally {
      closeFd(fd);
    }
    this.#sizeBytes += entry.sizeBytes;
  }

  /** Completes the directories. Call it once, after the last member. */
  finish(): Omit<UnpackReport, 'diffId' | 'tarBytes'> {
    for (const [name, time] of this.#timesBefore) if (!this.#directories.has(name)) this.#restoreTime(name, time);
    for (const [name, entry] of this.#directories) {
      try {
        if ((entry.mode & specialModes) !== 0) changeMode(this.#rootFd, name, entry.mode);
        changeTimes(this.#rootFd, name, entry.mtime.seconds, entry.mtime.nanoseconds);
      } catch (err) {
        // A later member took the place of one of its parents.
        if (!isErrno(err, 'ENOENT', 'ENOTDIR')) throw err;
      }
    }
    return { sizeBytes: this.#sizeBytes, impliedDirectories: [...this.#implied], foreignLinks: this.#foreignLinks };
  }

  #make(entry: TarEntry, place: Place): void {
    if (place.base === '') return this.#makeRoot(entry);
    const parent = this.#parent(place.directory, entry.name);
    const { base } = place;
    const { mode } = entry;
    switch (entry.type) {
      case 'directory':
        return this.#makeDirectory(entry, place, parent);
      case 'file':
        this.#fileFd = this.#replacing(place, () => createFile(parent, base, mode & 0o777));
        this.#fileName = joinPlace(place);
        this.#filePosition = 0;
        return;
      case 'link':
        return this.#makeLink(entry, place);
      case 'symlink':
        this.#replacing(place, () => makeSymlink(entry.linkName, parent, base));
        this.#sizeBytes += encodeName(entry.linkName).length;
        break;
      case 'char':
      case 'block':
        this.#replacing(place, () => makeNode(parent, base, fileTypes[entry.type as 'char'] | mode, entry.devMajor, entry.devMinor));
        break;
      case 'fifo':
        this.#replacing(place, () => makeNode(parent, base, fileTypes.fifo | mode));
        break;
    }
    if (entry.uid !== 0 || entry.gid !== 0) {
      changeOwner(parent, base, entry.uid, entry.gid);
      if (entry.type !== 'symlink' && (mode & specialModes) !== 0) changeMode(parent, base, mode);
    }
    this.#setXattrs(entry, parent, base);
    changeTimes(parent, base, entry.mtime.seconds, entry.mtime.nanoseconds);
  }

  #makeRoot(entry: TarEntry): void {
    if (entry.type !== 'directory') throw invalidArgument(`refused to unpack the layer: its root "${entry.name}" is not a directory`);
    // Where an archive is unpacked has its own attributes.
    if (this.#options.isPlain) return;
    changeOwnerOf(this.#rootFd, entry.uid, entry.gid);
    changeModeOf(this.#rootFd, entry.mode);
    this.#setXattrs(entry, this.#rootFd, '.');
    this.#implied.delete('');
    this.#directories.set('.', entry);
  }

  #makeDirectory(entry: TarEntry, place: Place, parent: number): void {
    const { base } = place;
    let isNew = true;
    try {
      makeDirectory(parent, base, entry.mode & 0o1777);
    } catch (err) {
      if (!isErrno(err, 'EEXIST')) throw err;
      isNew = this.#takeOverDirectory(entry, place, parent);
    }
    if (!isNew) changeMode(parent, base, entry.mode & 0o1777);
    if (!isNew || entry.uid !== 0 || entry.gid !== 0) changeOwner(parent, base, entry.uid, entry.gid);
    this.#setXattrs(entry, parent, base);
    const name = joinPlace(place);
    this.#implied.delete(name);
    this.#directories.set(name, entry);
  }

  /** A directory for a name that exists: keeps one that is there (false), replaces anything else (true). */
  #takeOverDirectory(entry: TarEntry, place: Place, parent: number): boolean {
    try {
      closeFd(openDirectory(parent, place.base));
      return false;
    } catch (err) {
      if (!isErrno(err, 'ENOTDIR', 'ELOOP')) throw err;
    }
    this.#options.recipe?.invalidate();
    // What it replaces may be a whiteout of this layer: then nothing of the lower directory may shine through.
    removeFile(parent, place.base);
    makeDirectory(parent, place.base, entry.mode & 0o1777);
    if (this.#options.isPlain) return true;
    const fd = openDirectory(parent, place.base);
    setXattrOf(fd, opaqueXattr, opaqueValue);
    closeFd(fd);
    return true;
  }

  #makeLink(entry: TarEntry, place: Place): void {
    const target = placeOf(entry.linkName, entry.name);
    if (target.base === '') throw invalidArgument(`refused to unpack the layer: "${entry.name}" is a hard link to the root directory`);
    const name = joinPlace(place);
    const targetName = joinPlace(target);
    if (name === targetName) return;
    let targetParent: number;
    try {
      targetParent = this.#openBeneath(target.directory, entry.name);
    } catch (err) {
      if (!isErrno(err, 'ENOENT')) throw err;
      this.#foreignLinks.push({ name, target: targetName });
      return;
    }
    try {
      const parent = this.#parent(place.directory, entry.name);
      this.#replacing(place, () => makeLink(targetParent, target.base, parent, place.base));
    } catch (err) {
      if (isErrno(err, 'EPERM'))
        throw invalidArgument(`refused to unpack the layer: "${entry.name}" is a hard link to the directory "${entry.linkName}"`);
      if (!isErrno(err, 'ENOENT')) throw err;
      this.#foreignLinks.push({ name, target: targetName });
    } finally {
      closeFd(targetParent);
    }
  }

  /** A name that is gone from the layers below. What this very layer has put there stays, without what is below it. */
  #hide(place: Place, member: string): void {
    const parent = this.#parent(place.directory, member);
    try {
      makeNode(parent, place.base, fileTypes.char, 0, 0);
    } catch (err) {
      if (!isErrno(err, 'EEXIST')) throw err;
      this.#makeOpaque(parent, place.base);
    }
  }

  #makeOpaque(parent: number, base: string): void {
    try {
      const fd = openDirectory(parent, base);
      setXattrOf(fd, opaqueXattr, opaqueValue);
      closeFd(fd);
    } catch (err) {
      if (!isErrno(err, 'ENOTDIR', 'ELOOP')) throw err;
    }
  }

  /** Makes something in this place; whatever an earlier member put there goes. */
  #replacing<T>(place: Place, make: () => T): T {
    try {
      return make();
    } catch (err) {
      if (!isErrno(err, 'EEXIST')) throw err;
    }
    this.#options.recipe?.invalidate();
    const name = joinPlace(place);
    try {
      removeFile(this.#parentFd, place.base);
    } catch (err) {
      if (!isErrno(err, 'EISDIR', 'EPERM')) throw err;
      // Inside the chroot a path cannot lead out, whatever the archive has put there.
      rmSync(Buffer.from(encodeName(`/${name}`)), { recursive: true });
      this.#directories.delete(name);
      this.#implied.delete(name);
    }
    return make();
  }

  /** The descriptor of a member's directory, made where it is missing. */
  #parent(directory: string, member: string): number {
    if (directory === this.#parentName) return this.#parentFd;
    const fd = directory === '' ? this.#rootFd : this.#openOrMake(directory, member);
    if (this.#parentFd !== this.#rootFd) closeFd(this.#parentFd);
    this.#parentName = directory;
    this.#parentFd = fd;
    return fd;
  }

  #openOrMake(directory: string, member: string): number {
    try {
      const fd = this.#openBeneath(directory, member);
      this.#noteTimes(directory, fd);
      return fd;
    } catch (err) {
      if (!isErrno(err, 'ENOENT')) throw err;
    }
    const { directory: above, base } = placeOf(directory, member);
    const parent = above === '' ? this.#rootFd : this.#openOrMake(above, member);
    try {
      makeDirectory(parent, base, 0o755);
      this.#implied.add(directory);
      if (this.#options.isPlain) this.#timesBefore.set(directory, { seconds: 0, nanoseconds: 0 });
      return openDirectory(parent, base);
    } catch (err) {
      if (isErrno(err, 'EEXIST'))
        throw invalidArgument(`refused to unpack the layer: "${member}" lies under the symlink "${directory}", which leads nowhere`);
      throw err;
    } finally {
      if (parent !== this.#rootFd) closeFd(parent);
    }
  }

  #restoreTime(name: string, { seconds, nanoseconds }: TarTime): void {
    try {
      changeTimes(this.#rootFd, name === '' ? '.' : name, seconds, nanoseconds);
    } catch (err) {
      if (!isErrno(err, 'ENOENT', 'ENOTDIR')) throw err;
    }
  }

  #noteTimes(directory: string, fd: number): void {
    if (!this.#options.isPlain || this.#timesBefore.has(directory) || this.#directories.has(directory)) return;
    const { mtimeNs } = fstatSync(fd, { bigint: true });
    this.#timesBefore.set(directory, { seconds: Number(mtimeNs / 1_000_000_000n), nanoseconds: Number(mtimeNs % 1_000_000_000n) });
  }

  #openBeneath(directory: string, member: string): number {
    if (directory === '') return openDirectory(this.#rootFd, '.');
    try {
      return openDirectoryBeneath(this.#rootFd, directory);
    } catch (err) {
      if (isErrno(err, 'EXDEV', 'ELOOP')) {
        throw invalidArgument(`refused to unpack the layer: "${member}" leads through a symlink out of the layer's directory`, {
          cause: err,
        });
      }
      if (isErrno(err, 'ENOTDIR')) {
        throw invalidArgument(`refused to unpack the layer: "${member}" lies under "${directory}", which is not a directory`, {
          cause: err,
        });
      }
      throw err;
    }
  }

  #setXattrs(entry: TarEntry, parent: number, base: string): void {
    if (entry.xattrs.size === 0) return;
    enterDirectory(parent);
    for (const [name, value] of xattrsOf(entry)) tolerateUnsupported(() => setXattr(base, name, value));
    enterDirectory(this.#rootFd);
  }
}

/** Overlay's own attributes steer the mount (redirects, opaque directories): an archive must not set them. */
function* xattrsOf(entry: TarEntry): Generator<readonly [string, Uint8Array]> {
  for (const pair of entry.xattrs) if (!/^(?:trusted|user)\.overlay\./.test(pair[0])) yield pair;
}

/** An attribute that this file system or kernel does not know is no reason to refuse an image. */
function tolerateUnsupported(set: () => void): void {
  try {
    set();
  } catch (err) {
    if (!isErrno(err, 'EOPNOTSUPP', 'EPERM')) throw err;
  }
}
