import { constants } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import type { IdMap } from '#core/id-map.ts';
import { inward, type OwnerTranslation } from '#host/rootfs/owner-translation.ts';
import { enterDirectory, getXattr, listXattrs, openDirectory, openFile, readSome } from '#host/sys/fs.ts';
import { type Inode, inodeAt, inodeIfThere, isKernelFileSystem, linkTargetAt, namesIn } from '#host/sys/inode.ts';
import { ownedFd } from '#host/sys/rooted.ts';
import type { TarEntryType } from '#oci/tar/entry.ts';
import { type NewTarEntry, tarHeader, tarPadding, tarTrailer } from '#oci/tar/writer.ts';

const readBytes = 1024 * 1024;
const zeros = new Uint8Array(64 * 1024);

/** Takes the bytes of an archive; they are valid during the call only. */
export type Write = (chunk: Uint8Array) => void;

/**
 * Writes trees of files as tar members, each reached through the descriptor of its directory and never through a link. A file that changes meanwhile
 * keeps the size it had: what is more is left out, what is less becomes zeros. What disappears is left out.
 */
export class ArchiveWriter {
  readonly #write: Write;
  readonly #owners: OwnerTranslation;
  readonly #buffer = new Uint8Array(readBytes);
  /** The first name of every inode that has several. */
  readonly #linked = new Map<string, string>();

  constructor(write: Write, idMap: IdMap | undefined) {
    this.#write = write;
    this.#owners = inward(idMap);
  }

  /** A directory and everything below it, other file systems included unless told otherwise. */
  tree(directoryFd: number, name: string, inode: Inode, options: { readonly sameDevice?: boolean } = {}): void {
    this.member(directoryFd, '', name, inode);
    this.below(directoryFd, name, inode, options);
  }

  /** What is in a directory, all the way down. */
  below(directoryFd: number, name: string, inode: Inode, options: { readonly sameDevice?: boolean } = {}): void {
    if (isKernelFileSystem(directoryFd)) return;
    for (const base of namesIn(directoryFd)) {
      const child = inodeIfThere(directoryFd, base);
      if (child === undefined) continue;
      const path = name === '' || name === '/' ? `${name}${base}` : `${name}/${base}`;
      if (child.type !== 'directory') {
        this.member(directoryFd, base, path, child);
        continue;
      }
      const fd = openIfThere(() => openDirectory(directoryFd, base));
      if (fd === undefined) continue;
      using opened = ownedFd(fd);
      if (options.sameDevice === true && child.device !== inode.device) this.member(opened.fd, '', path, child);
      else this.tree(opened.fd, path, child, options);
    }
  }

  /** One member, without what is below it. */
  member(directoryFd: number, base: string, name: string, inode: Inode): void {
    if (inode.type === 'socket') return;
    if (inode.type !== 'directory' && inode.links > 1) {
      const first = this.#linked.get(inode.identity);
      if (first !== undefined) return this.#write(tarHeader({ ...this.#attributesOf(inode), name, type: 'link', linkName: first }));
    }
    if (inode.type === 'file') return this.#file(directoryFd, base, name, inode);
    const linkName = inode.type === 'symlink' ? orNothing(() => linkTargetAt(directoryFd, base)) : '';
    if (linkName === undefined) return;
    this.#remember(inode, name);
    this.#write(
      tarHeader({
        ...this.#attributesOf(inode),
        name,
        type: inode.type satisfies TarEntryType,
        linkName,
        devMajor: inode.deviceMajor,
        devMinor: inode.deviceMinor,
        xattrs: this.#xattrsOf(directoryFd, base),
      }),
    );
  }

  /** A name that is gone from the layers below (OCI image spec, layer.md). */
  marker(name: string): void {
    this.#write(tarHeader({ name, mode: 0 }));
  }

  end(): void {
    this.#write(tarTrailer());
  }

  #file(directoryFd: number, base: string, name: string, seen: Inode): void {
    // Should it have become a fifo or a device by now, nothing blocks and it is left out.
    const fd = openIfThere(() =>
      openFile(directoryFd, base, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY),
    );
    if (fd === undefined) return;
    using file = ownedFd(fd);
    const inode = inodeAt(file.fd, '');
    if (inode.type !== 'file' || inode.identity !== seen.identity) return;
    this.#remember(inode, name);
    const { sizeBytes } = inode;
    this.#write(tarHeader({ ...this.#attributesOf(inode), name, type: 'file', sizeBytes, xattrs: this.#xattrsOf(directoryFd, base) }));
    let left = sizeBytes;
    while (left > 0) {
      const count = readSome(file.fd, this.#buffer.subarray(0, Math.min(left, readBytes)));
      if (count === 0) break;
      this.#write(this.#buffer.subarray(0, count));
      left -= count;
    }
    for (; left > 0; left -= zeros.length) this.#write(zeros.subarray(0, Math.min(left, zeros.length)));
    this.#write(tarPadding(sizeBytes));
  }

  #remember(inode: Inode, name: string): void {
    if (inode.type !== 'directory' && inode.links > 1) this.#linked.set(inode.identity, name);
  }

  /** Whole seconds: what older formats can say, so that an archive made twice is the same everywhere. */
  #attributesOf(inode: Inode): Omit<NewTarEntry, 'name'> {
    return {
      mode: inode.mode,
      ...this.#owners.owner({ uid: inode.uid, gid: inode.gid }),
      mtime: { seconds: inode.mtime.seconds, nanoseconds: 0 },
    };
  }

  #xattrsOf(directoryFd: number, base: string): Map<string, Uint8Array> {
    const found = new Map<string, Uint8Array>();
    enterDirectory(directoryFd);
    const file = base === '' ? '.' : base;
    for (const name of orNothing(() => listXattrs(file)) ?? []) {
      const value = isPortable(name) ? orNothing(() => getXattr(file, name)) : undefined;
      if (value !== undefined) found.set(name, this.#owners.attribute(name, value));
    }
    return found;
  }
}

/** Undefined for what has just gone or changed its kind, and for files of others' FUSE mounts, which nobody may open. */
function openIfThere(open: () => number): number | undefined {
  try {
    return open();
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO')) return undefined;
    throw err;
  }
}

function orNothing<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'EINVAL')) return undefined;
    throw err;
  }
}

/** Overlay's own attributes steer a mount, labels of security modules belong to a machine. */
const isPortable = (name: string): boolean =>
  /^(?:user\.|trusted\.|security\.capability$|system\.posix_acl_)/.test(name) && !/^(?:user|trusted)\.overlay\./.test(name);
