import { isErrno } from '#base/errors.ts';
import { type FileChange, mountTable, type WritableLayer } from '#core/files.ts';
import { hostOwner, type IdMap } from '#core/id-map.ts';
import { isOpaqueMarker } from '#host/snapshots/diff/entries.ts';
import { atCwd, getXattr, getXattrOf, openDirectory } from '#host/sys/fs.ts';
import { type Inode, inodeIfThere, linkTargetAt, namesIn } from '#host/sys/inode.ts';
import { ownedFd } from '#host/sys/rooted.ts';
import { encodeName } from '#oci/tar/names.ts';
import { ArchiveWriter, type Write } from './archive.ts';

/** What stands in a writable layer. */
interface Member {
  readonly directoryFd: number;
  readonly base: string;
  /** Without a slash at the beginning. */
  readonly path: string;
  readonly inode: Inode;
  /** What the layers below have there. */
  readonly lower: Inode | undefined;
  /** A directory that hides all that the layers below have in it. */
  readonly isOpaque: boolean;
}

/** Made so that something can be mounted there, or to say that this is a container: nobody's change. */
const mountPoints: ReadonlySet<string> = new Set([
  '.dockerenv',
  ...['dev', 'dev/console', 'dev/mqueue', 'dev/pts', 'dev/shm', 'etc', 'proc', 'sys'],
  ...['etc/hostname', 'etc/hosts', 'etc/resolv.conf'],
]);
const mountParents: ReadonlySet<string> = new Set(['dev', 'etc']);

/** Walks what a writable layer changes in order of names, each directory before what is in it. */
function walkLayer(layer: WritableLayer, visit: (member: Member) => void): void {
  if (layer.copiedAtNs === undefined) walkUpper(layer, visit);
  else walkWhole(layer.upperDir, layer.lowerDirs[0], BigInt(layer.copiedAtNs), visit);
}

/** The changes are all there is: a layer of overlay. */
function walkUpper({ upperDir, lowerDirs, idMap }: WritableLayer, visit: (member: Member) => void): void {
  /** Directories that count only when there is something in them. */
  const pending: Member[] = [];
  const walk = (directoryFd: number, directory: string, lowers: readonly string[]): void => {
    for (const base of namesIn(directoryFd)) {
      if (isOpaqueMarker(base)) continue;
      const inode = inodeIfThere(directoryFd, base);
      if (inode === undefined) continue;
      const path = directory === '' ? base : `${directory}/${base}`;
      const below = visibleBelow(lowers, base);
      const member = { directoryFd, base, path, inode, lower: asMapped(below.inode, idMap), isOpaque: false };
      if (inode.type !== 'directory') {
        if (!(below.inode === undefined && isMountPoint(member)) && !isMountTable(member)) take(member);
        continue;
      }
      const fd = openIfThere(directoryFd, base);
      if (fd === undefined) continue;
      using opened = ownedFd(fd);
      const isOpaque = below.inode !== undefined && isYes(getXattrOf(opened.fd, opaqueXattr));
      if (isUntouched(member)) pending.push(member);
      else take({ ...member, isOpaque });
      walk(opened.fd, path, isOpaque ? [] : below.directories);
      if (pending.at(-1) === member) pending.pop();
    }
  };
  const take = (member: Member): void => {
    for (const directory of pending.splice(0)) visit(directory);
    visit(member);
  };
  using root = ownedFd(openDirectory(atCwd, upperDir));
  walk(root.fd, '', lowerDirs);
}

/** With the owner that it has when it is copied up. */
const asMapped = (inode: Inode | undefined, idMap: IdMap | undefined): Inode | undefined =>
  inode === undefined || idMap === undefined ? inode : { ...inode, ...hostOwner(idMap, inode) };

/** A whole tree beside the one it was copied from: what is different in it, as overlay would have it. */
function walkWhole(tree: string, below: string | undefined, copiedAtNs: bigint, visit: (member: Member) => void): void {
  /** Directories that count only when there is something in them. */
  const pending: Member[] = [];
  const take = (member: Member): void => {
    for (const directory of pending.splice(0)) visit(directory);
    visit(member);
  };
  const walk = (directoryFd: number, directory: string, lowerDirectory: string | undefined): void => {
    const names = new Set(namesIn(directoryFd));
    for (const base of [...new Set([...names, ...namesOf(lowerDirectory)])].toSorted(byBytes)) {
      const place = lowerDirectory === undefined ? undefined : `${lowerDirectory}/${base}`;
      const lower = place === undefined ? undefined : inodeIfThere(atCwd, place);
      const inode = names.has(base) ? inodeIfThere(directoryFd, base) : undefined;
      const path = directory === '' ? base : `${directory}/${base}`;
      const member = { directoryFd, base, path, lower, isOpaque: false };
      if (inode === undefined) {
        if (lower !== undefined && lower.type !== 'socket') take({ ...member, inode: { ...lower, ...whiteout } });
      } else if (inode.type !== 'directory') {
        const isSame = place !== undefined && lower !== undefined && isUnchanged(directoryFd, base, inode, place, lower, copiedAtNs);
        const found = { ...member, inode };
        if (!isSame && !(lower === undefined && isMountPoint(found)) && !isMountTable(found)) take(found);
      } else {
        const fd = openIfThere(directoryFd, base);
        if (fd === undefined) continue;
        using opened = ownedFd(fd);
        const found = { ...member, inode };
        const isMerged = lower?.type === 'directory';
        if ((isMerged && !isTouched(inode, lower)) || isUntouched(found)) pending.push(found);
        else take(found);
        walk(opened.fd, path, isMerged ? place : undefined);
        if (pending.at(-1) === found) pending.pop();
      }
    }
  };
  using root = ownedFd(openDirectory(atCwd, tree));
  walk(root.fd, '', below);
}

const whiteout = { type: 'char', deviceMajor: 0, deviceMinor: 0, sizeBytes: 0 } as const;
const byBytes = (a: string, b: string): number => Buffer.compare(encodeName(a), encodeName(b));

function namesOf(directory: string | undefined): string[] {
  if (directory === undefined) return [];
  using opened = ownedFd(openDirectory(atCwd, directory));
  return namesIn(opened.fd);
}

/** The clock goes in ticks: what changed in the tick in which the copy was completed is compared. */
function isUnchanged(directoryFd: number, base: string, inode: Inode, place: string, lower: Inode, copiedAtNs: bigint): boolean {
  if (inode.changedNs !== copiedAtNs) return inode.changedNs < copiedAtNs;
  if (inode.type !== lower.type || isTouched(inode, lower)) return false;
  if (inode.deviceMajor !== lower.deviceMajor || inode.deviceMinor !== lower.deviceMinor) return false;
  return inode.type !== 'symlink' || linkTargetAt(directoryFd, base) === linkTargetAt(atCwd, place);
}

const isMountPoint = ({ path, inode }: Member): boolean => mountPoints.has(path) && inode.sizeBytes === 0 && !isWhiteout(inode);

const isMountTable = ({ path, inode, directoryFd, base }: Member): boolean =>
  `/${path}` === mountTable.path && inode.type === 'symlink' && linkTargetAt(directoryFd, base) === mountTable.target;

/** A directory that was made as a mount point, or whose time changed because one was made in it. */
function isUntouched({ path, inode, lower }: Member): boolean {
  if (lower === undefined) return mountPoints.has(path);
  return lower.type === 'directory' && mountParents.has(path) && hasSameAttributes(inode, lower);
}

const hasSameAttributes = (a: Inode, b: Inode): boolean => a.mode === b.mode && a.uid === b.uid && a.gid === b.gid;
const isWhiteout = ({ type, deviceMajor, deviceMinor }: Inode): boolean => type === 'char' && deviceMajor === 0 && deviceMinor === 0;
const opaqueXattr = 'trusted.overlay.opaque';
const isYes = (value: Uint8Array | undefined): boolean => value?.[0] === 'y'.charCodeAt(0);

interface Below {
  readonly inode: Inode | undefined;
  /** The directories that make it up, uppermost first. */
  readonly directories: readonly string[];
}

/** What overlay shows of a name in these directories. */
function visibleBelow(directories: readonly string[], base: string): Below {
  let inode: Inode | undefined;
  const parts: string[] = [];
  for (const directory of directories) {
    const path = `${directory}/${base}`;
    const found = inodeIfThere(atCwd, path);
    if (found === undefined) continue;
    if (isWhiteout(found) || (inode !== undefined && found.type !== 'directory')) break;
    inode ??= found;
    if (found.type !== 'directory') break;
    parts.push(path);
    if (isYes(getXattr(path, opaqueXattr))) break;
  }
  return { inode, directories: parts };
}

function openIfThere(directoryFd: number, base: string): number | undefined {
  try {
    return openDirectory(directoryFd, base);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
    throw err;
  }
}

/** What a writable layer changes, as `docker diff` tells it: a directory in which something came or went counts as modified. */
export function changesOf(layer: WritableLayer): FileChange[] {
  const changes: FileChange[] = [];
  const told = new Set<string>();
  const tell = (path: string, kind: FileChange['kind']): void => {
    if (told.has(path)) return;
    told.add(path);
    changes.push({ path: `/${path}`, kind });
  };
  walkLayer(layer, ({ path, inode, lower, isOpaque }) => {
    const isGone = isWhiteout(inode);
    if (isGone && lower === undefined) return;
    const isMerged = lower?.type === 'directory' && inode.type === 'directory';
    if (isMerged && !isOpaque && !isTouched(inode, lower) && !mountParents.has(path)) return;
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    if ((isGone || lower === undefined) && parent !== '') tell(parent, 'modified');
    tell(path, isGone ? 'deleted' : lower === undefined ? 'added' : 'modified');
  });
  return changes;
}

const isTouched = (inode: Inode, lower: Inode): boolean =>
  !hasSameAttributes(inode, lower) ||
  inode.sizeBytes !== lower.sizeBytes ||
  inode.mtime.seconds !== lower.mtime.seconds ||
  inode.mtime.nanoseconds !== lower.mtime.nanoseconds;

/** Writes the layer as images have it: whiteouts where something is gone, no member for the root. */
export function writeLayer(layer: WritableLayer, write: Write): void {
  const archive = new ArchiveWriter(write, layer.idMap);
  walkLayer(layer, ({ directoryFd, base, path, inode, lower, isOpaque }) => {
    if (!isWhiteout(inode)) archive.member(directoryFd, base, path, inode);
    else if (lower !== undefined) archive.marker(`${path.slice(0, path.length - base.length)}.wh.${base}`);
    if (isOpaque) archive.marker(`${path}/.wh..wh..opq`);
  });
  archive.end();
}
