import { type BigIntStats, closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { type DiffEntry, type Directory, xattrsOf } from './entries.ts';
import { decodeName } from '#oci/tar/names.ts';

/**
 * What is different in a copy of a tree, in the order and form of `diffEntries`. `copiedAtNs` is when the copy was complete: what has not changed since is as
 * it was, and only the rest is compared.
 */
export function* wholeEntries(tree: string, below: string | undefined, copiedAtNs: bigint): Generator<DiffEntry, void, undefined> {
  const root = { name: '', path: Buffer.from(tree), stats: lstatSync(tree, { bigint: true }) };
  yield* entriesOf(root, below === undefined ? undefined : Buffer.from(below), copiedAtNs);
}

/** `below`: the directory of this name in the tree that was copied. */
function* entriesOf(directory: Directory, below: Buffer | undefined, copiedAtNs: bigint): Generator<DiffEntry, void, undefined> {
  let isTold = false;
  const own = function* (): Generator<DiffEntry, void, undefined> {
    if (isTold) return;
    isTold = true;
    if (directory.name !== '' || isOther) yield { ...directory, kind: 'present' };
  };
  const isOther = differs(directory, below);
  if (isOther) yield* own();
  const names = namesIn(directory.path);
  const namesBelow = below === undefined ? new Map<string, Buffer>() : namesIn(below);
  const all = [...new Map([...namesBelow, ...names])].sort(([, a], [, b]) => Buffer.compare(a, b));
  for (const [text, bytes] of all) {
    const name = directory.name === '' ? decodeName(bytes) : `${directory.name}/${decodeName(bytes)}`;
    const path = Buffer.concat([directory.path, slash, bytes]);
    const place = below !== undefined && namesBelow.has(text) ? Buffer.concat([below, slash, bytes]) : undefined;
    const before = place === undefined ? undefined : lstatSync(place, { bigint: true });
    if (!names.has(text)) {
      if (before === undefined || before.isSocket()) continue;
      yield* own();
      yield { name, path, stats: before, kind: 'removed' };
      continue;
    }
    const stats = lstatSync(path, { bigint: true });
    if (stats.isDirectory()) {
      for (const entry of entriesOf({ name, path, stats }, before?.isDirectory() === true ? place : undefined, copiedAtNs)) {
        yield* own();
        yield entry;
      }
      continue;
    }
    if (before !== undefined && place !== undefined && isUnchanged(path, stats, place, before, copiedAtNs)) continue;
    yield* own();
    yield { name, path, stats, kind: 'present' };
  }
}

const slash = Buffer.from('/');

/** By their bytes as text that no two share. */
const namesIn = (directory: Buffer): Map<string, Buffer> =>
  new Map(readdirSync(directory, { encoding: 'buffer' }).map(bytes => [bytes.toString('latin1'), bytes]));

function differs({ name, path, stats }: Directory, below: Buffer | undefined): boolean {
  if (below === undefined) return name !== '';
  const before = lstatSync(below, { bigint: true });
  // The root's time says nothing: other things than the container's are made in it.
  return !hasSameAttributes(stats, before) || (name !== '' && stats.mtimeNs !== before.mtimeNs) || !hasSameXattrs(path, below);
}

/** Whether what is no directory is as it was copied. The clock goes in ticks: what changed in the tick in which the copy was completed is compared. */
export function isUnchanged(path: Buffer, stats: BigIntStats, place: Buffer, before: BigIntStats, copiedAtNs: bigint): boolean {
  if (stats.ctimeNs !== copiedAtNs) return stats.ctimeNs < copiedAtNs;
  if (!hasSameAttributes(stats, before) || stats.mtimeNs !== before.mtimeNs || stats.size !== before.size || stats.rdev !== before.rdev)
    return false;
  if (!hasSameXattrs(path, place)) return false;
  if (stats.isSymbolicLink()) return readlinkSync(path, { encoding: 'buffer' }).equals(readlinkSync(place, { encoding: 'buffer' }));
  return !stats.isFile() || hasSameContent(path, place);
}

const hasSameAttributes = (a: BigIntStats, b: BigIntStats): boolean => a.mode === b.mode && a.uid === b.uid && a.gid === b.gid;

function hasSameXattrs(path: Buffer, place: Buffer): boolean {
  const [own, below] = [xattrsOf(path), xattrsOf(place)];
  return (
    own.size === below.size &&
    [...own].every(([key, value]) => Buffer.compare(value, below.get(key) ?? Buffer.alloc(0)) === 0 && below.has(key))
  );
}

const chunkBytes = 256 * 1024;

function hasSameContent(path: Buffer, place: Buffer): boolean {
  const [one, two] = [openSync(path, 'r'), openSync(place, 'r')];
  try {
    const [a, b] = [Buffer.alloc(chunkBytes), Buffer.alloc(chunkBytes)];
    for (;;) {
      const count = readSync(one, a);
      if (readSync(two, b) !== count || !a.subarray(0, count).equals(b.subarray(0, count))) return false;
      if (count === 0) return true;
    }
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return false;
    throw err;
  } finally {
    closeSync(one);
    closeSync(two);
  }
}
