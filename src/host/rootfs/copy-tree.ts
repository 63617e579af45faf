import { type BigIntStats, constants, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isErrno } from '#base/errors.ts';
import {
  changeMode,
  changeModeOf,
  changeOwner,
  changeOwnerOf,
  changeTimes,
  changeTimesOf,
  createFile,
  fileTypes,
  getXattr,
  listXattrs,
  makeDirectory,
  makeLink,
  makeNode,
  makeSymlink,
  openDirectory,
  openFile,
  readSome,
  setXattrOf,
  writeFully,
} from '#host/sys/fs.ts';
import { openInRoot, ownedFd } from '#host/sys/rooted.ts';
import type { Owner } from '#core/id-map.ts';
import { decodeName, encodeName } from '#oci/tar/names.ts';
import { type OwnerTranslation, outward } from './owner-translation.ts';

/** How much is copied before others get a turn. */
const stepBytes = 1024 * 1024;
const stepFiles = 64;

interface Progress {
  readonly signal: AbortSignal;
  readonly translation: OwnerTranslation;
  readonly buffer: Uint8Array;
  readonly targetRootFd: number;
  /** Where files with several names were put first, by their inode. */
  readonly links: Map<string, { readonly directory: string; readonly name: string }>;
  files: number;
}

/**
 * Copies what is in a directory into another one, and the directory's own owner, mode, times and attributes. Both are descriptors, and every name is looked
 * up relative to one, never through a link: somebody else may be writing in the target. Hard links stay such. `translation` says whom the copies belong to.
 */
export async function copyTree(
  sourceFd: number,
  targetFd: number,
  signal: AbortSignal,
  translation: OwnerTranslation = outward(undefined),
): Promise<void> {
  await copyDirectory(sourceFd, targetFd, '', {
    signal,
    translation,
    buffer: new Uint8Array(stepBytes),
    targetRootFd: targetFd,
    links: new Map(),
    files: 0,
  });
}

export const isEmptyDirectory = (fd: number): boolean => readdirSync(fdPath(fd)).length === 0;

const fdPath = (fd: number): string => `/proc/self/fd/${String(fd)}`;

/** `directory`: its path in the target, with a slash at the end unless empty. */
async function copyDirectory(sourceFd: number, targetFd: number, directory: string, progress: Progress): Promise<void> {
  for (const bytes of readdirSync(fdPath(sourceFd), { encoding: 'buffer' })) {
    progress.files += 1;
    if (progress.files % stepFiles === 0) await breathe(progress);
    const name = decodeName(bytes);
    const path = Buffer.concat([Buffer.from(`${fdPath(sourceFd)}/`), encodeName(name)]);
    const stats = lstatSync(path, { bigint: true });
    if (stats.isDirectory()) {
      makeDirectory(targetFd, name, 0o700);
      using source = ownedFd(openDirectory(sourceFd, name));
      using target = ownedFd(openDirectory(targetFd, name));
      await copyDirectory(source.fd, target.fd, `${directory}${name}/`, progress);
    } else if (linkToCopy(targetFd, directory, name, stats, progress)) {
      continue;
    } else if (stats.isFile()) {
      await copyFile(sourceFd, targetFd, name, stats, progress);
    } else {
      copySpecial(targetFd, name, path, stats, progress);
    }
  }
  copyMetadata(`${fdPath(sourceFd)}/.`, targetFd, lstatSync(`${fdPath(sourceFd)}/.`, { bigint: true }), progress);
}

/** Whether the file was copied under another name, and this is a link to it now. */
function linkToCopy(targetFd: number, directory: string, name: string, stats: BigIntStats, { targetRootFd, links }: Progress): boolean {
  if (stats.nlink < 2n) return false;
  const inode = `${String(stats.dev)}:${String(stats.ino)}`;
  const first = links.get(inode);
  if (first === undefined) {
    links.set(inode, { directory, name });
    return false;
  }
  try {
    // Resolved anew, inside: it may be another directory by now.
    using parent = ownedFd(openInRoot(targetRootFd, `/${first.directory}`, constants.O_RDONLY | constants.O_DIRECTORY));
    makeLink(parent.fd, first.name, targetFd, name);
    return true;
  } catch (err) {
    if (isErrno(err, 'EEXIST')) throw err;
    return false;
  }
}

async function breathe({ signal }: Progress): Promise<void> {
  signal.throwIfAborted();
  await nextTurn();
}

async function copyFile(sourceDir: number, targetDir: number, name: string, stats: BigIntStats, progress: Progress): Promise<void> {
  using source = ownedFd(openFile(sourceDir, name, constants.O_RDONLY | constants.O_NOFOLLOW));
  using target = ownedFd(createFile(targetDir, name, 0o600));
  for (;;) {
    const count = readSome(source.fd, progress.buffer);
    if (count === 0) break;
    writeFully(target.fd, progress.buffer.subarray(0, count));
    if (count === progress.buffer.length) await breathe(progress);
  }
  copyMetadata(fdPath(source.fd), target.fd, stats, progress, true);
}

/** Owner first: changing it takes away set-user-id bits and file capabilities. Times last. */
function copyMetadata(source: string, targetFd: number, stats: BigIntStats, progress: Progress, followsLink = false): void {
  const { uid, gid } = ownerOf(stats, progress);
  changeOwnerOf(targetFd, uid, gid);
  changeModeOf(targetFd, Number(stats.mode) & 0o7777);
  const path = followsLink ? readlinkSync(source) : source;
  for (const attribute of listXattrs(path)) {
    const value = getXattr(path, attribute);
    if (value !== undefined) setXattrOf(targetFd, attribute, progress.translation.attribute(attribute, value));
  }
  changeTimesOf(targetFd, ...mtimeOf(stats));
}

const ownerOf = (stats: BigIntStats, { translation }: Progress): Owner =>
  translation.owner({ uid: Number(stats.uid), gid: Number(stats.gid) });

function copySpecial(targetDir: number, name: string, path: Buffer, stats: BigIntStats, progress: Progress): void {
  if (stats.isSymbolicLink()) makeSymlink(decodeName(readlinkSync(path, { encoding: 'buffer' })), targetDir, name);
  else if (stats.isSocket()) return;
  else {
    const type = stats.isCharacterDevice() ? fileTypes.char : stats.isBlockDevice() ? fileTypes.block : fileTypes.fifo;
    makeNode(targetDir, name, type | 0o600, ...deviceOf(stats.rdev));
  }
  const { uid, gid } = ownerOf(stats, progress);
  changeOwner(targetDir, name, uid, gid);
  if (!stats.isSymbolicLink()) changeMode(targetDir, name, Number(stats.mode) & 0o7777);
  changeTimes(targetDir, name, ...mtimeOf(stats));
}

const mtimeOf = (stats: BigIntStats): [seconds: number, nanoseconds: number] => [
  Number(stats.mtimeNs / 1_000_000_000n),
  Number(stats.mtimeNs % 1_000_000_000n),
];

/** Major and minor number of the C library's 64-bit form. */
export const deviceOf = (rdev: bigint): [major: number, minor: number] => [
  Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
  Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
];
