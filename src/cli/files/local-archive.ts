import { lstatSync, readdirSync, readlinkSync, type BigIntStats, openSync, readSync, closeSync, constants } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import type { NewTarEntry, NewTarFile } from '#oci/tar/writer.ts';
import { decodeName, encodeName } from '#oci/tar/names.ts';
import type { FileAttributes } from '../cli.ts';
import type { CopySource } from './copy-paths.ts';
import { splitPath } from './copy-paths.ts';

const chunkBytes = 1024 * 1024;

/** A file or tree of this machine as the members of an archive, named from its last part on. Sockets are left out. */
export function* localMembers(source: CopySource, attributes: FileAttributes): Generator<NewTarFile, void, undefined> {
  const { directory, base } = splitPath(source.path);
  const linked = new Map<string, string>();
  const name = source.rebaseName === '' ? base : source.rebaseName;
  yield* members(base === '.' ? directory : `${directory === '/' ? '' : directory}/${base}`, name, { linked, attributes });
}

interface Walk {
  /** The first name of every file that has several. */
  readonly linked: Map<string, string>;
  readonly attributes: FileAttributes;
}

function* members(path: string, name: string, walk: Walk): Generator<NewTarFile, void, undefined> {
  const stats = lstatSync(encodeName(path) as Buffer, { bigint: true, throwIfNoEntry: false });
  if (stats === undefined || stats.isSocket()) return;
  const { linked, attributes } = walk;
  const entry = entryOf(path, name, stats);
  const inode = `${String(stats.dev)}:${String(stats.ino)}`;
  const first = linked.get(inode);
  if (!stats.isDirectory() && stats.nlink > 1n) {
    if (first !== undefined) return yield { entry: { ...entry, type: 'link', linkName: first, sizeBytes: 0 } };
    linked.set(inode, name);
  }
  if (stats.isFile()) return yield { entry: withCapabilities(entry, path, attributes), content: contentOf(path, Number(stats.size)) };
  yield { entry };
  if (!stats.isDirectory()) return;
  for (const bytes of readdirSync(encodeName(path) as Buffer, { encoding: 'buffer' }).sort((a, b) => Buffer.compare(a, b))) {
    const base = decodeName(bytes);
    yield* members(`${path === '/' ? '' : path}/${base}`, name === '/' ? `/${base}` : `${name}/${base}`, walk);
  }
}

const capabilities = 'security.capability';

/** What a program may do belongs to it; other attributes are this machine's. */
function withCapabilities(entry: NewTarEntry, path: string, attributes: FileAttributes): NewTarEntry {
  const value = attributes.get(path, capabilities);
  return value === undefined ? entry : { ...entry, xattrs: new Map([[capabilities, value]]) };
}

function entryOf(path: string, name: string, stats: BigIntStats): NewTarEntry {
  const type = stats.isDirectory()
    ? 'directory'
    : stats.isSymbolicLink()
      ? 'symlink'
      : stats.isCharacterDevice()
        ? 'char'
        : stats.isBlockDevice()
          ? 'block'
          : stats.isFIFO()
            ? 'fifo'
            : 'file';
  return {
    name,
    type,
    mode: Number(stats.mode) & 0o7777,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    sizeBytes: type === 'file' ? Number(stats.size) : 0,
    mtime: { seconds: Number(stats.mtimeNs / 1_000_000_000n), nanoseconds: 0 },
    linkName: type === 'symlink' ? decodeName(readlinkSync(encodeName(path) as Buffer, { encoding: 'buffer' })) : '',
    // Major and minor number of the C library's 64-bit form.
    devMajor: Number(((stats.rdev >> 8n) & 0xfffn) | ((stats.rdev >> 32n) & 0xfffff000n)),
    devMinor: Number((stats.rdev & 0xffn) | ((stats.rdev >> 12n) & 0xffffff00n)),
  };
}

/** As many bytes as the file had: what is more is left out, what is less becomes zeros. */
async function* contentOf(path: string, sizeBytes: number): AsyncGenerator<Uint8Array, void, undefined> {
  const fd = openSync(encodeName(path) as Buffer, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    for (let left = sizeBytes; left > 0; ) {
      const buffer = Buffer.alloc(Math.min(left, chunkBytes));
      const count = read(fd, buffer);
      yield count === 0 ? buffer : buffer.subarray(0, count);
      left -= count === 0 ? buffer.length : count;
    }
  } finally {
    closeSync(fd);
  }
}

function read(fd: number, buffer: Buffer): number {
  for (;;) {
    try {
      return readSync(fd, buffer);
    } catch (err) {
      if (!isErrno(err, 'EINTR')) throw err;
    }
  }
}
