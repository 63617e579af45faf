import { type BigIntStats, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { inward, type OwnerTranslation } from '#host/rootfs/owner-translation.ts';
import { getXattr, listXattrs } from '#host/sys/fs.ts';
import { decodeName, encodeName } from '#oci/tar/names.ts';

/** One difference that an overlay's upper directory makes to the layers below it. */
export interface DiffEntry {
  /** Without a leading slash; '' is the root itself. */
  readonly name: string;
  /** Where it is on the host, as bytes. */
  readonly path: Buffer;
  /** `removed`: a whiteout; `opaque` comes right after its directory: nothing of the lower directory shines through. */
  readonly kind: 'present' | 'removed' | 'opaque';
  readonly stats: BigIntStats;
}

const whiteoutDevice = 0n;

/**
 * What is in an upper directory, parents before children, sorted by the bytes of the names. A directory that only carries the attributes of the lower one
 * (overlay makes such a copy before it puts something into it) is left out when nothing in it differs.
 */
export function* diffEntries(
  upper: string,
  lowerDirs: readonly string[],
  owners: OwnerTranslation = inward(undefined),
): Generator<DiffEntry, void, undefined> {
  yield* directoryEntries({ name: '', path: Buffer.from(upper), stats: lstatSync(upper, { bigint: true }) }, lowerDirs, owners);
}

export type Directory = Pick<DiffEntry, 'name' | 'path' | 'stats'>;

function* directoryEntries(
  directory: Directory,
  lowerDirs: readonly string[],
  owners: OwnerTranslation,
): Generator<DiffEntry, void, undefined> {
  let isTold = false;
  const own = function* (): Generator<DiffEntry, void, undefined> {
    if (isTold) return;
    isTold = true;
    // A layer does not speak of its root unless the root itself differs.
    if (directory.name !== '' || differsFromLower(directory, lowerDirs, owners)) yield { ...directory, kind: 'present' };
  };
  const isOpaque = isOpaqueDirectory(directory.path);
  if (isOpaque || directory.name === '' || differsFromLower(directory, lowerDirs, owners)) yield* own();
  if (isOpaque) yield { ...directory, kind: 'opaque' };
  const below = isOpaque ? [] : lowerDirs;
  const names = readdirSync(directory.path, { encoding: 'buffer' }).sort(Buffer.compare);
  for (const bytes of names) {
    if (isOpaqueMarker(bytes.toString('latin1'))) continue;
    const name = directory.name === '' ? decodeName(bytes) : `${directory.name}/${decodeName(bytes)}`;
    const path = Buffer.concat([directory.path, slash, bytes]);
    const stats = lstatSync(path, { bigint: true });
    if (stats.isDirectory()) {
      for (const entry of directoryEntries({ name, path, stats }, below, owners)) {
        yield* own();
        yield entry;
      }
      continue;
    }
    yield* own();
    const isWhiteout = stats.isCharacterDevice() && stats.rdev === whiteoutDevice;
    yield { name, path, stats, kind: isWhiteout ? 'removed' : 'present' };
  }
}

const slash = Buffer.from('/');

/** What fuse-overlayfs puts into an opaque directory, besides the attribute. */
export const isOpaqueMarker = (base: string): boolean => base === '.wh..wh..opq' || base === '.wh..opq';

const isOpaqueDirectory = (path: Buffer): boolean => getXattr(decodeName(path), 'trusted.overlay.opaque')?.[0] === 'y'.charCodeAt(0);

function differsFromLower({ name, path, stats }: Directory, lowerDirs: readonly string[], owners: OwnerTranslation): boolean {
  const lower = findBelow(lowerDirs, name);
  if (lower?.stats.isDirectory() !== true) return name !== '';
  const other = lower.stats;
  const { uid, gid } = owners.owner({ uid: Number(stats.uid), gid: Number(stats.gid) });
  if (stats.mode !== other.mode || uid !== Number(other.uid) || gid !== Number(other.gid)) return true;
  // The root of every writable layer is made anew: its time says nothing.
  if (name !== '' && stats.mtimeNs !== other.mtimeNs) return true;
  const own = xattrsOf(path, owners);
  const below = xattrsOf(lower.path);
  if (own.size !== below.size) return true;
  return [...own].some(([key, value]) => Buffer.compare(value, below.get(key) ?? Buffer.alloc(0)) !== 0 || !below.has(key));
}

/** What a name means in the layers below, uppermost first; links on the way are not followed. */
export function findBelow(lowerDirs: readonly string[], name: string): { readonly path: Buffer; readonly stats: BigIntStats } | undefined {
  const parts = name === '' ? [] : name.split('/');
  for (const layer of lowerDirs) {
    let path: Buffer = Buffer.from(layer);
    let stats = lstatSync(path, { bigint: true });
    let isMissing = false;
    for (const part of parts) {
      if (!stats.isDirectory()) return undefined;
      const next = Buffer.concat([path, slash, encodeName(part)]);
      try {
        stats = lstatSync(next, { bigint: true });
      } catch (err) {
        if (!isErrno(err, 'ENOENT')) throw err;
        if (isOpaqueDirectory(path)) return undefined;
        isMissing = true;
        break;
      }
      path = next;
    }
    if (isMissing) continue;
    return stats.isCharacterDevice() && stats.rdev === whiteoutDevice ? undefined : { path, stats };
  }
  return undefined;
}

/** Attributes of a file, without those by which overlay steers itself, sorted by name. */
export function xattrsOf(path: Buffer, owners: OwnerTranslation = inward(undefined)): Map<string, Uint8Array> {
  const file = decodeName(path);
  const found = new Map<string, Uint8Array>();
  for (const name of listXattrs(file).sort()) {
    const value = /^(?:trusted|user)\.overlay\./.test(name) ? undefined : getXattr(file, name);
    if (value !== undefined) found.set(name, owners.attribute(name, value));
  }
  return found;
}

/** What a symlink says. */
export const linkTargetOf = (path: Buffer): string => decodeName(readlinkSync(path, { encoding: 'buffer' }));
