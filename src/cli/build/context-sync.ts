import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, type BigIntStats } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { IgnoreMatcher, type PathMatch } from '#builder/dockerfile/ignore.ts';
import type { SyncFile, SyncRequest, SyncSource } from '#client/buildkit/file-sync.ts';
import { GrpcError, grpcStatus } from '#client/buildkit/grpc-server.ts';
import type { FileAttributes } from '../cli.ts';
import { NeededPaths } from './needed-paths.ts';

/** A directory on disk, or files that are only in memory. */
export type SyncDirectory =
  | { readonly kind: 'disk'; readonly root: string }
  | { readonly kind: 'memory'; readonly files: ReadonlyMap<string, Uint8Array> };

/** Messages that do not fit into HTTP/2's first window stall in Bun. */
const chunkBytes = 1 << 15;

/** Offers directories under names: what of them is sent, and when, the daemon decides. */
export function syncSource(directories: Readonly<Record<string, SyncDirectory>>, attributes: FileAttributes): SyncSource {
  const find = ({ directory }: SyncRequest): SyncDirectory => {
    const found = Object.hasOwn(directories, directory) ? directories[directory] : undefined;
    if (found === undefined) throw new GrpcError(grpcStatus.notFound, `no access allowed to dir ${JSON.stringify(directory)}`);
    return found;
  };
  return {
    files(request) {
      const directory = find(request);
      return directory.kind === 'disk' ? diskFiles(directory.root, request, attributes) : memoryFiles(directory.files, request);
    },
    chunks(request, path) {
      const directory = find(request);
      return directory.kind === 'disk' ? readChunks(join(directory.root, path)) : [directory.files.get(path) ?? new Uint8Array(0)];
    },
  };
}

function* memoryFiles(files: ReadonlyMap<string, Uint8Array>, { include }: SyncRequest): Generator<SyncFile> {
  const included = include.length === 0 ? undefined : new IgnoreMatcher(include);
  for (const [path, content] of [...files].toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))) {
    if (included?.isExcluded(path) === false) continue;
    const none = { link: '', devMajor: 0, devMinor: 0, modifiedNanos: 0n, xattrs: noXattrs };
    yield { path, type: 'file', mode: 0o644, sizeBytes: content.length, ...none };
  }
}

/** What of a directory a request is about. */
class Selection {
  readonly #include: IgnoreMatcher | undefined;
  /** The same patterns, to ask what may lie below a directory. */
  readonly #below: IgnoreMatcher;
  readonly #exclude: IgnoreMatcher;
  readonly #follow: NeededPaths | undefined;

  constructor(root: string, { include, exclude, follow }: SyncRequest) {
    this.#include = include.length === 0 ? undefined : new IgnoreMatcher(include);
    this.#below = new IgnoreMatcher(include.map(pattern => `!${pattern}`));
    this.#exclude = new IgnoreMatcher(exclude);
    this.#follow = follow.length === 0 ? undefined : new NeededPaths(root, follow);
  }

  look(path: string, parent: Matches): { readonly isSent: boolean; readonly isEntered: boolean; readonly matches: Matches } {
    const include = this.#include?.match(path, parent.include);
    const exclude = this.#exclude.match(path, parent.exclude);
    const isAll = include === undefined && this.#follow === undefined;
    const isIncluded = isAll || include?.isExcluded === true || this.#follow?.has(path) === true;
    const mayHold = isIncluded || this.#below.mayHoldExceptions(path);
    return {
      isSent: isIncluded && !exclude.isExcluded,
      isEntered: mayHold && (!exclude.isExcluded || this.#exclude.mayHoldExceptions(path)),
      matches: { include: include?.match, exclude: exclude.match },
    };
  }
}

interface Matches {
  readonly include: PathMatch;
  readonly exclude: PathMatch;
}

const noXattrs: ReadonlyMap<string, Uint8Array> = new Map();

function* diskFiles(root: string, request: SyncRequest, attributes: FileAttributes): Generator<SyncFile> {
  const walk = new Walk(root, new Selection(root, request), attributes);
  yield* walk.below('', { include: undefined, exclude: undefined }, []);
}

class Walk {
  readonly #root: string;
  readonly #selection: Selection;
  readonly #attributes: FileAttributes;
  readonly #links = new Map<string, string>();

  constructor(root: string, selection: Selection, attributes: FileAttributes) {
    this.#root = root;
    this.#selection = selection;
    this.#attributes = attributes;
  }

  /** `above` are directories that are sent only with something in them: they go out before it. */
  *below(directory: string, parent: Matches, above: SyncFile[]): Generator<SyncFile> {
    for (const name of sortedNames(join(this.#root, directory))) {
      const path = directory === '' ? name : `${directory}/${name}`;
      const { isSent, isEntered, matches } = this.#selection.look(path, parent);
      if (!isSent && !isEntered) continue;
      const stats = lstatSync(join(this.#root, path), { bigint: true, throwIfNoEntry: false });
      if (stats === undefined || stats.isSocket() || (!isSent && !stats.isDirectory())) continue;
      const file = this.#describe(path, stats);
      if (isSent) {
        yield* above.splice(0);
        yield file;
      }
      if (stats.isDirectory() && isEntered) {
        const pending = isSent ? [] : [...above, file];
        for (const inner of this.below(path, matches, pending)) {
          above.length = 0;
          yield inner;
        }
      }
    }
  }

  #describe(path: string, stats: BigIntStats): SyncFile {
    const common = {
      path,
      mode: Number(stats.mode) & 0o7777,
      modifiedNanos: stats.mtimeNs,
      sizeBytes: 0,
      link: '',
      devMajor: 0,
      devMinor: 0,
      xattrs: this.#xattrs(path),
    };
    if (stats.isDirectory()) return { ...common, type: 'directory' };
    if (stats.isSymbolicLink()) return { ...common, type: 'symlink', link: readlinkSync(join(this.#root, path)) };
    if (stats.isFIFO()) return { ...common, type: 'fifo' };
    if (stats.isFile()) return { ...common, type: 'file', sizeBytes: Number(stats.size), link: this.#earlierName(path, stats) };
    const device = Number(stats.rdev);
    const numbers = { devMajor: (device >> 8) & 0xfff, devMinor: (device & 0xff) | ((device >> 12) & 0xfff00) };
    return { ...common, ...numbers, type: stats.isCharacterDevice() ? 'char' : 'block' };
  }

  #xattrs(path: string): ReadonlyMap<string, Uint8Array> {
    const whole = join(this.#root, path);
    const names = this.#attributes.list(whole);
    if (names.length === 0) return noXattrs;
    const values = names.map(name => [name, this.#attributes.get(whole, name)] as const);
    return new Map(values.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])));
  }

  #earlierName(path: string, stats: BigIntStats): string {
    if (stats.nlink < 2n) return '';
    const key = `${stats.dev}:${stats.ino}`;
    const earlier = this.#links.get(key);
    if (earlier === undefined) this.#links.set(key, path);
    return earlier ?? '';
  }
}

function sortedNames(directory: string): string[] {
  return readdirSync(directory)
    .map(name => [name, Buffer.from(name)] as const)
    .sort(([, a], [, b]) => Buffer.compare(a, b))
    .map(([name]) => name);
}

function* readChunks(path: string): Generator<Uint8Array> {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (err) {
    // Gone since it was listed: the daemon gets nothing of it.
    if (isErrno(err, 'ENOENT')) return;
    throw err;
  }
  try {
    for (;;) {
      const chunk = new Uint8Array(chunkBytes);
      const count = readSync(descriptor, chunk, 0, chunkBytes, null);
      if (count === 0) return;
      yield chunk.subarray(0, count);
    }
  } finally {
    closeSync(descriptor);
  }
}
