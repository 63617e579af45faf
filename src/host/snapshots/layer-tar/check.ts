import { type BigIntStats, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import type { LayerDamage } from '#core/snapshots.ts';
import { deviceOf } from '#host/rootfs/copy-tree.ts';
import { getXattr } from '#host/sys/fs.ts';
import type { TarEntry } from '#oci/tar/entry.ts';
import { decodeName } from '#oci/tar/names.ts';
import type { TarSink } from '#oci/tar/parser.ts';
import { meaningOf, type Place, placeOf } from '../unpack/names.ts';
import { DirectoryResolver, inRoot } from './resolve.ts';
import { readPart } from './read-part.ts';
import { crc32 } from './crc32.ts';

export interface CheckOptions {
  /** Contents of files as well; without it somebody else compares them. */
  readonly contents: boolean;
  /** The tar was made of these files, and leaves out what an image does not have: sockets, directories without a change. */
  readonly isPacked: boolean;
  /** The directory has the files of the layers below as well, and no whiteouts: nothing that is there is too much. */
  readonly isWhole: boolean;
}

/** What is expected at a name. */
type Expected =
  | { readonly is: 'member'; readonly file: Inode }
  /** A hard link to something that another layer has, or the copy of it. */
  | { readonly is: 'foreign'; readonly target: string }
  | { readonly is: 'whiteout' };

interface Inode {
  readonly entry: TarEntry;
  readonly parts: { readonly offset: number; length: number; crc: number }[];
}

const maxDamages = 100;
const opaqueXattr = 'trusted.overlay.opaque';

/**
 * Compares the files of a layer with its tar: feed it the tar, then ask for the damage. The layer's directory is the process's root. Nothing in it changes
 * meanwhile: layers are read-only.
 */
export class LayerCheck implements TarSink {
  readonly #options: CheckOptions;
  readonly #directories = new DirectoryResolver();
  readonly #expected = new Map<string, Expected>();
  readonly #opaque = new Set<string>();
  /** Directories in which links were made when everything else was done: their time says nothing. */
  readonly #changedLater = new Set<string>();
  readonly #damage: LayerDamage[] = [];
  /** How often an attribute is there, and where it is missing: one that is missing everywhere is one that this file system cannot keep. */
  readonly #attributes = new Map<string, { present: number; readonly missing: string[] }>();
  #current: Inode | undefined;

  constructor(options: CheckOptions) {
    this.#options = options;
  }

  note(path: string, what: string): void {
    if (this.#damage.length < maxDamages) this.#damage.push({ path, what });
  }

  entry(entry: TarEntry): void {
    this.#current = undefined;
    const meaning = meaningOf(entry.name);
    if (meaning.is === 'ignored') return;
    if (meaning.is === 'opaque') return void this.#opaque.add(this.#directories.resolve(meaning.directory));
    const name = this.#nameOf(meaning.place);
    if (meaning.is === 'whiteout') {
      // What this very layer has put there stays, without what is below it.
      if (this.#expected.get(name)?.is === 'member') this.#opaque.add(name);
      else this.#expected.set(name, { is: 'whiteout' });
      return;
    }
    if (entry.type === 'link') return this.#link(name, this.#nameOf(placeOf(entry.linkName, entry.name)));
    const before = this.#expected.get(name);
    if (entry.type !== 'directory' && before?.is === 'member' && before.file.entry.type === 'directory') this.#forgetBelow(name);
    this.#current = { entry, parts: [] };
    this.#expected.set(name, { is: 'member', file: this.#current });
  }

  data(chunk: Uint8Array, offset: number): void {
    const parts = this.#current?.parts;
    if (parts === undefined || !this.#options.contents) return;
    const last = parts.at(-1);
    if (last !== undefined && last.offset + last.length === offset) {
      last.length += chunk.length;
      last.crc = crc32(chunk, last.crc);
    } else {
      parts.push({ offset, length: chunk.length, crc: crc32(chunk) });
    }
  }

  end(): void {
    this.#current = undefined;
  }

  /** Call it once, after the end of the tar. */
  damage(): LayerDamage[] {
    for (const [name, expected] of this.#expected) this.#compare(name, expected);
    if (!this.#options.isWhole) {
      for (const name of this.#opaque) if (this.#statOf(name)?.isDirectory() === true) this.#compareOpaque(name);
      this.#lookForMore('');
    }
    for (const [attribute, { present, missing }] of this.#attributes) {
      if (present > 0) for (const path of missing) this.note(path, `has lost its attribute ${attribute}`);
    }
    return this.#damage;
  }

  #nameOf({ directory, base }: Place): string {
    const parent = this.#directories.resolve(directory);
    return parent === '' ? base : `${parent}/${base}`;
  }

  #link(name: string, target: string): void {
    if (name === target) return;
    const there = this.#expected.get(target);
    if (there?.is === 'member') return void this.#expected.set(name, there);
    this.#expected.set(name, { is: 'foreign', target });
    this.#expected.set(target, there ?? { is: 'foreign', target });
    for (const path of [name, target]) this.#changedLater.add(path.slice(0, Math.max(path.lastIndexOf('/'), 0)));
  }

  #forgetBelow(directory: string): void {
    for (const name of this.#expected.keys()) if (name.startsWith(`${directory}/`)) this.#expected.delete(name);
  }

  #compare(name: string, expected: Expected): void {
    const stats = this.#statOf(name);
    if (expected.is === 'whiteout' && this.#options.isWhole) {
      if (stats !== undefined) this.note(name, 'is not from the image');
      return;
    }
    if (stats === undefined) return this.note(name, 'is not there');
    if (expected.is === 'whiteout') {
      if (!isWhiteout(stats)) this.note(name, 'hides nothing of the layers below any more');
      return;
    }
    if (expected.is === 'foreign') {
      if (this.#statOf(expected.target)?.ino !== stats.ino) this.note(name, `is no hard link to "${expected.target}" any more`);
      return;
    }
    const { entry, parts } = expected.file;
    if (typeOf(stats) !== entry.type) return this.note(name, `is a ${typeOf(stats)}, not a ${entry.type}`);
    const wrong = this.#attributeDamage(name, entry, stats);
    if (wrong !== undefined) return this.note(name, wrong);
    if (parts.some(part => readPart(inRoot(name), part) !== part.crc)) this.note(name, 'has other contents');
  }

  #attributeDamage(name: string, entry: TarEntry, stats: BigIntStats): string | undefined {
    if (Number(stats.uid) !== entry.uid || Number(stats.gid) !== entry.gid) return `belongs to ${String(stats.uid)}:${String(stats.gid)}`;
    if (entry.type !== 'symlink' && Number(stats.mode & 0o7777n) !== entry.mode)
      return `has the mode ${(stats.mode & 0o7777n).toString(8)}`;
    if (entry.type === 'file' && Number(stats.size) !== entry.sizeBytes) return `has ${String(stats.size)} bytes`;
    if (entry.type === 'symlink' && decodeName(readlinkSync(inRoot(name), { encoding: 'buffer' })) !== entry.linkName)
      return 'leads elsewhere';
    if (entry.type === 'char' || entry.type === 'block') {
      const [major, minor] = deviceOf(stats.rdev);
      if (major !== entry.devMajor || minor !== entry.devMinor) return 'is another device';
    }
    const { seconds, nanoseconds } = entry.mtime;
    const isTimed = name !== '' && seconds >= 0 && seconds < lastSecond && !this.#changedLater.has(name);
    if (isTimed && stats.mtimeNs !== BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds)) return 'has another time';
    for (const [attribute, value] of entry.xattrs) {
      if (/^(?:trusted|user)\.overlay\./.test(attribute)) continue;
      const actual = getXattr(`/${name}`, attribute);
      const seen = this.#attributes.get(attribute) ?? { present: 0, missing: [] };
      this.#attributes.set(attribute, seen);
      if (actual === undefined) seen.missing.push(name);
      else seen.present += 1;
      if (actual !== undefined && Buffer.compare(actual, value) !== 0) return `has another attribute ${attribute}`;
    }
    return undefined;
  }

  #compareOpaque(name: string): void {
    if (getXattr(name === '' ? '/.' : `/${name}`, opaqueXattr)?.[0] !== 'y'.charCodeAt(0))
      this.note(name, 'lets things of the layers below through');
  }

  /** Whether anything was found in a directory that has to be there. */
  #lookForMore(directory: string): void {
    for (const bytes of readdirSync(inRoot(directory), { encoding: 'buffer' })) {
      const base = decodeName(bytes);
      const name = directory === '' ? base : `${directory}/${base}`;
      const stats = this.#statOf(name);
      if (stats === undefined) continue;
      const isDirectory = stats.isDirectory();
      if (isDirectory) this.#lookForMore(name);
      if (this.#expected.has(name)) continue;
      if (isDirectory ? this.#options.isPacked || this.#isOnTheWay(name) : this.#options.isPacked && stats.isSocket()) continue;
      this.note(name, 'is not from the image');
    }
  }

  /** Whether the tar has something below this directory without naming it. */
  #isOnTheWay(directory: string): boolean {
    this.#ancestors ??= new Set(
      [...this.#expected.keys(), ...[...this.#opaque].map(name => `${name}/.`)].flatMap(name => {
        const parts = name.split('/');
        return parts.slice(1).map((_part, index) => parts.slice(0, index + 1).join('/'));
      }),
    );
    return this.#ancestors.has(directory);
  }
  #ancestors: Set<string> | undefined;

  #statOf(name: string): BigIntStats | undefined {
    try {
      return lstatSync(inRoot(name), { bigint: true });
    } catch (err) {
      if (isErrno(err, 'ENOENT', 'ENOTDIR')) return undefined;
      throw err;
    }
  }
}

/** ext4 with small inodes knows no later times. */
const lastSecond = 2 ** 31;

const isWhiteout = (stats: BigIntStats): boolean => stats.isCharacterDevice() && stats.rdev === 0n;

function typeOf(stats: BigIntStats): TarEntry['type'] {
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isCharacterDevice()) return 'char';
  if (stats.isBlockDevice()) return 'block';
  return stats.isFIFO() ? 'fifo' : 'file';
}
