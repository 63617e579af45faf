import type { BigIntStats } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
import { isErrno } from '#base/errors.ts';
import { atCwd, changeTimes, getXattr, listXattrs, removeXattr } from '#host/sys/fs.ts';
import { decodeName } from '#oci/tar/names.ts';
import { copyFiles } from './copy-files.ts';

/**
 * Puts an unpacked layer on a whole tree: what its whiteouts name goes, the rest is copied over what is there. Afterwards the layer has no whiteouts any more;
 * without a tree that is all that happens. Nobody else works in either, and neither's links are followed.
 */
export async function applyLayer(layer: string, tree: string | undefined): Promise<void> {
  const [from, to] = [Buffer.from(layer), tree === undefined ? undefined : Buffer.from(tree)];
  await clearTheWay(from, to);
  if (tree !== undefined) await copyFiles(layer, tree);
}

/** Takes away what the layer hides or replaces. `to`: the directory of the same name in the tree; undefined when it has none. */
async function clearTheWay(from: Buffer, to: Buffer | undefined): Promise<void> {
  const isOpaque = getXattr(decodeName(from), opaqueXattr)?.[0] === 'y'.charCodeAt(0);
  if (isOpaque) removeXattr(decodeName(from), opaqueXattr);
  if (to !== undefined) {
    if (isOpaque) for (const name of await readdir(to, { encoding: 'buffer' })) await remove(join(to, name));
    const own = new Set(listXattrs(decodeName(from)));
    for (const name of listXattrs(decodeName(to))) if (!own.has(name)) removeXattr(decodeName(to), name);
  }
  const before = await lstat(from, { bigint: true });
  let hadWhiteouts = false;
  for (const name of await readdir(from, { encoding: 'buffer' })) {
    const member = join(from, name);
    const stats = await lstat(member, { bigint: true });
    const place = to === undefined ? undefined : join(to, name);
    const there = place === undefined ? undefined : await lstatIfThere(place);
    const isMerged = stats.isDirectory() && there?.isDirectory() === true;
    if (place !== undefined && there !== undefined && !isMerged) await remove(place);
    if (stats.isDirectory()) {
      await clearTheWay(member, isMerged ? place : undefined);
    } else if (isWhiteout(stats)) {
      hadWhiteouts = true;
      await rm(member);
    }
  }
  if (!hadWhiteouts) return;
  const nanoseconds = ((before.mtimeNs % second) + second) % second;
  changeTimes(atCwd, decodeName(from), Number((before.mtimeNs - nanoseconds) / second), Number(nanoseconds));
}

const opaqueXattr = 'trusted.overlay.opaque';
const second = 1_000_000_000n;
const slash = Buffer.from('/');
const join = (directory: Buffer, name: Buffer): Buffer => Buffer.concat([directory, slash, name]);
const isWhiteout = (stats: BigIntStats): boolean => stats.isCharacterDevice() && stats.rdev === 0n;
const remove = async (path: Buffer): Promise<void> => await rm(path, { recursive: true, force: true });

async function lstatIfThere(path: Buffer): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined;
    throw err;
  }
}
