import { type BigIntStats, chmodSync, lchownSync, lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { linkTargetOf, xattrsOf } from '#host/snapshots/diff/entries.ts';
import { atCwd, changeTimes, removeXattr, setXattr } from '#host/sys/fs.ts';
import { decodeName } from '#oci/tar/names.ts';
import { copyFiles } from './copy.ts';

/**
 * Makes a tree the same as another one, touching only what is different. Nobody else may change either of them meanwhile: only directories of both are
 * descended into.
 */
export function mirror(model: string, root: string): void {
  const changed: string[] = [];
  const directories: string[] = [];
  compare({ model, root, changed, directories }, '');
  const source = { root: model, parents: true, excludes: [], keepOwners: true, unpack: false };
  if (changed.length > 0) {
    const sources = changed.map(path => ({ ...source, pattern: path.replace(/[*?[\\]/g, '\\$&') }));
    copyFiles(sources, { root, path: '/', owner: undefined, mode: undefined });
  }
  // What was put into them or taken out has changed their times.
  for (const path of directories) dress(`${model}${path}`, `${root}${path}`);
}

interface Trees {
  readonly model: string;
  readonly root: string;
  /** Files, and directories with all that is in them, that have to be copied. */
  readonly changed: string[];
  /** Those that both have. */
  readonly directories: string[];
}

function compare(trees: Trees, path: string): void {
  const { model, root, changed, directories } = trees;
  const wanted = namesIn(`${model}${path}`);
  for (const name of namesIn(`${root}${path}`)) if (!wanted.has(name)) rmSync(`${root}${path}/${name}`, { recursive: true });
  for (const name of [...wanted].sort()) {
    const below = `${path}/${name}`;
    const [left, right] = [lstatSync(`${model}${below}`, { bigint: true }), statIfThere(`${root}${below}`)];
    if (right !== undefined && left.isDirectory() && right.isDirectory()) {
      compare(trees, below);
      continue;
    }
    if (right !== undefined && isSame(`${model}${below}`, left, `${root}${below}`, right)) continue;
    if (right !== undefined) rmSync(`${root}${below}`, { recursive: true });
    changed.push(below);
  }
  directories.push(path);
}

const namesIn = (directory: string): Set<string> => new Set(readdirSync(directory, { encoding: 'buffer' }).map(decodeName));

const statIfThere = (path: string): BigIntStats | undefined => lstatSync(path, { bigint: true, throwIfNoEntry: false });

function isSame(path: string, left: BigIntStats, otherPath: string, right: BigIntStats): boolean {
  const facts = ({ mode, uid, gid, rdev, mtimeNs }: BigIntStats): unknown => [mode, uid, gid, rdev, mtimeNs];
  if (!isDeepStrictEqual(facts(left), facts(right))) return false;
  const [one, other] = [Buffer.from(path), Buffer.from(otherPath)];
  if (left.isSymbolicLink()) return linkTargetOf(one) === linkTargetOf(other);
  if (!isDeepStrictEqual([...xattrsOf(one)], [...xattrsOf(other)])) return false;
  return !left.isFile() || (left.size === right.size && readFileSync(path).equals(readFileSync(otherPath)));
}

function dress(model: string, place: string): void {
  const wanted = lstatSync(model, { bigint: true });
  const there = lstatSync(place, { bigint: true });
  const attributes = new Map(xattrsOf(Buffer.from(model)));
  const own = new Map(xattrsOf(Buffer.from(place)));
  if (wanted.uid !== there.uid || wanted.gid !== there.gid) lchownSync(place, Number(wanted.uid), Number(wanted.gid));
  if (wanted.mode !== there.mode) chmodSync(place, Number(wanted.mode & 0o7777n));
  if (!isDeepStrictEqual(attributes, own)) {
    for (const key of own.keys()) if (!attributes.has(key)) removeXattr(place, key);
    for (const [key, value] of attributes) setXattr(place, key, value);
  }
  const { mtimeNs } = wanted;
  if (lstatSync(place, { bigint: true }).mtimeNs !== mtimeNs) changeTimes(atCwd, place, Number(mtimeNs / second), Number(mtimeNs % second));
}

const second = 1_000_000_000n;
