import { closeSync, openSync, readSync } from 'node:fs';
import { dataLoss } from '#base/errors.ts';
import type { IdMap } from '#core/id-map.ts';
import type { LayerChanges } from '#core/snapshots.ts';
import { deviceOf } from '#host/rootfs/copy-tree.ts';
import { inward, type OwnerTranslation } from '#host/rootfs/owner-translation.ts';
import type { TarEntryType, TarTime } from '#oci/tar/entry.ts';
import { type NewTarEntry, tarHeader, tarPadding, tarTrailer } from '#oci/tar/writer.ts';
import { type DiffEntry, diffEntries, linkTargetOf, xattrsOf } from './entries.ts';
import { wholeEntries } from './whole.ts';

export interface LayerTarOptions {
  /** Later times become this one (seconds since 1970). */
  readonly latestSeconds?: number | undefined;
  /** How the owners in the upper directory are mapped; the tar names those inside. */
  readonly idMap?: IdMap | undefined;
  /** Says of the next chunk that it is a part of this file. */
  readonly onContent?: (name: string, offset: number) => void;
}

export interface LayerTarTotals {
  /** Bytes of the files. */
  sizeBytes: number;
  /** How many members there are; a layer without any changes nothing. */
  members: number;
}

const chunkBytes = 1024 * 1024;

/**
 * The tar of what a writable layer changes in those below it (OCI image spec, layer.md): sorted, removals as `.wh.` members, hard links within the
 * layer kept. The same files give the same bytes. A chunk is valid until the next one is asked for.
 */
export function* layerTar(
  changes: LayerChanges,
  totals: LayerTarTotals,
  options: LayerTarOptions = {},
): Generator<Uint8Array, void, undefined> {
  const buffer = new Uint8Array(chunkBytes);
  const links = new Map<string, string>();
  const owners = inward(options.idMap);
  for (const entry of entriesOf(changes, owners)) {
    // A socket means nothing without the process that listens on it.
    if (entry.stats.isSocket()) continue;
    totals.members += 1;
    if (entry.kind !== 'present') {
      yield tarHeader({ name: markerOf(entry), mode: 0o600 });
      continue;
    }
    const header = headerOf(entry, links, options, owners);
    yield tarHeader(header);
    if (header.type === 'symlink') totals.sizeBytes += Number(entry.stats.size);
    if (header.type !== 'file') continue;
    const sizeBytes = Number(entry.stats.size);
    totals.sizeBytes += sizeBytes;
    yield* contentOf(entry, sizeBytes, buffer, options.onContent);
    yield tarPadding(sizeBytes);
  }
  yield tarTrailer();
}

function entriesOf({ upperDir, lowerDirs, copiedAtNs }: LayerChanges, owners: OwnerTranslation): Generator<DiffEntry, void, undefined> {
  return copiedAtNs === undefined ? diffEntries(upperDir, lowerDirs, owners) : wholeEntries(upperDir, lowerDirs[0], BigInt(copiedAtNs));
}

/** `dir/.wh.name` for something that is gone, `dir/.wh..wh..opq` for a directory of which nothing below is left. */
function markerOf({ name, kind }: DiffEntry): string {
  if (kind === 'opaque') return name === '' ? '.wh..wh..opq' : `${name}/.wh..wh..opq`;
  const at = name.lastIndexOf('/') + 1;
  return `${name.slice(0, at)}.wh.${name.slice(at)}`;
}

function headerOf(
  { name, path, stats }: DiffEntry,
  links: Map<string, string>,
  options: LayerTarOptions,
  owners: OwnerTranslation,
): NewTarEntry {
  const common = {
    name: name === '' ? '.' : name,
    mode: Number(stats.mode & 0o7777n),
    ...owners.owner({ uid: Number(stats.uid), gid: Number(stats.gid) }),
    mtime: timeOf(stats.mtimeNs, options.latestSeconds),
  };
  const type = typeOf(stats);
  if (type !== 'directory' && stats.nlink > 1n) {
    const inode = `${String(stats.dev)}:${String(stats.ino)}`;
    const first = links.get(inode);
    if (first !== undefined) return { ...common, type: 'link', linkName: first };
    links.set(inode, name);
  }
  const xattrs = xattrsOf(path, owners);
  const [devMajor, devMinor] = type === 'char' || type === 'block' ? deviceOf(stats.rdev) : [0, 0];
  return {
    ...common,
    type,
    ...(type === 'file' ? { sizeBytes: Number(stats.size) } : {}),
    ...(type === 'symlink' ? { linkName: linkTargetOf(path) } : {}),
    ...(devMajor + devMinor === 0 ? {} : { devMajor, devMinor }),
    ...(xattrs.size === 0 ? {} : { xattrs }),
  };
}

function typeOf(stats: DiffEntry['stats']): TarEntryType {
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isCharacterDevice()) return 'char';
  if (stats.isBlockDevice()) return 'block';
  return stats.isFIFO() ? 'fifo' : 'file';
}

function timeOf(nanoseconds: bigint, latestSeconds: number | undefined): TarTime {
  const rest = ((nanoseconds % second) + second) % second;
  const seconds = Number((nanoseconds - rest) / second);
  if (latestSeconds !== undefined && seconds >= latestSeconds) return { seconds: latestSeconds, nanoseconds: 0 };
  return { seconds, nanoseconds: Number(rest) };
}

const second = 1_000_000_000n;

function* contentOf(
  { name, path }: DiffEntry,
  sizeBytes: number,
  buffer: Uint8Array,
  onContent: LayerTarOptions['onContent'],
): Generator<Uint8Array, void, undefined> {
  if (sizeBytes === 0) return;
  const fd = openSync(path, 'r');
  try {
    for (let done = 0; done < sizeBytes; ) {
      const count = readSync(fd, buffer, 0, Math.min(buffer.length, sizeBytes - done), null);
      if (count === 0) throw dataLoss(`"${name}" became shorter while it was put into a layer`);
      const chunk = buffer.subarray(0, count);
      onContent?.(name, done);
      done += count;
      yield chunk;
    }
  } finally {
    closeSync(fd);
  }
}
