import { constants } from 'node:fs';
import { copyFile, readlink } from 'node:fs/promises';
import { invalidArgument, isErrno } from '#base/errors.ts';
import {
  atCwd,
  changeMode,
  changeOwner,
  changeTimes,
  closeFd,
  getXattr,
  listXattrs,
  makeDirectory,
  makeLink,
  makeSymlink,
  openDirectory,
  openDirectoryBeneath,
  setXattr,
} from '#host/sys/fs.ts';
import type { UnpackReport } from './unpack/result.ts';
import { type Found, findInChain } from './chain.ts';

/**
 * Adds to an unpacked layer what only the layers below can tell: attributes of directories that its tar did not name, and files that it has hard
 * links to. The layer's own symlinks are not trusted: everything is reached beneath its directory.
 */
export async function completeLayer(
  layer: string,
  report: Pick<UnpackReport, 'impliedDirectories' | 'foreignLinks'>,
  lower: readonly string[],
): Promise<void> {
  if (report.impliedDirectories.length === 0 && report.foreignLinks.length === 0) return;
  using root = directoryHandle(openDirectory(atCwd, layer));
  // The parents' times change while links are made in them.
  for (const { name, target } of report.foreignLinks) await addForeignLink(root.fd, lower, name, target);
  for (const name of report.impliedDirectories.toReversed()) {
    const found = await findInChain(lower, name);
    if (found?.stats.isDirectory() === true) takeOver(found, root.fd, name === '' ? '.' : name);
  }
}

async function addForeignLink(rootFd: number, lower: readonly string[], name: string, target: string): Promise<void> {
  const from = split(target);
  using source = await directoryWithin(rootFd, lower, from.directory);
  using parent = await directoryWithin(rootFd, lower, split(name).directory);
  try {
    return makeLink(source.fd, from.base, parent.fd, split(name).base);
  } catch (err) {
    if (!isErrno(err, 'ENOENT')) throw err;
  }
  const found = await findInChain(lower, target);
  if (found === undefined || !(found.stats.isFile() || found.stats.isSymbolicLink())) {
    throw invalidArgument(
      `refused to unpack the layer: "${name}" is a hard link to "${target}", which is no file in this layer or those below`,
    );
  }
  if (found.stats.isSymbolicLink()) makeSymlink(await readlink(found.path), source.fd, from.base);
  else await copyFile(found.path, `/proc/self/fd/${String(source.fd)}/${from.base}`, constants.COPYFILE_EXCL);
  takeOver(found, source.fd, from.base);
  makeLink(source.fd, from.base, parent.fd, split(name).base);
}

/** Opens a directory of the layer; one that only lower layers have is made with their attributes. */
async function directoryWithin(rootFd: number, lower: readonly string[], name: string): Promise<DirectoryHandle> {
  if (name === '') return directoryHandle(openDirectory(rootFd, '.'));
  try {
    return directoryHandle(openDirectoryBeneath(rootFd, name));
  } catch (err) {
    if (!isErrno(err, 'ENOENT')) throw err;
  }
  const { directory, base } = split(name);
  using parent = await directoryWithin(rootFd, lower, directory);
  makeDirectory(parent.fd, base, 0o755);
  const found = await findInChain(lower, name);
  if (found?.stats.isDirectory() === true) takeOver(found, parent.fd, base);
  return directoryHandle(openDirectory(parent.fd, base));
}

/** Gives a file or directory the owner, mode, attributes and times of another one. */
function takeOver({ path, stats }: Found, dirFd: number, name: string): void {
  const own = `/proc/self/fd/${String(dirFd)}/${name}`;
  changeOwner(dirFd, name, Number(stats.uid), Number(stats.gid));
  if (!stats.isSymbolicLink()) changeMode(dirFd, name, Number(stats.mode) & 0o7777);
  for (const attribute of listXattrs(path)) {
    const value = attribute.startsWith('trusted.overlay.') ? undefined : getXattr(path, attribute);
    if (value !== undefined) setXattr(own, attribute, value);
  }
  const nanoseconds = ((stats.mtimeNs % second) + second) % second;
  changeTimes(dirFd, name, Number((stats.mtimeNs - nanoseconds) / second), Number(nanoseconds));
}

const second = 1_000_000_000n;

interface DirectoryHandle extends Disposable {
  readonly fd: number;
}

const directoryHandle = (fd: number): DirectoryHandle => ({ fd, [Symbol.dispose]: () => closeFd(fd) });

function split(name: string): { directory: string; base: string } {
  const slash = name.lastIndexOf('/');
  return slash === -1 ? { directory: '', base: name } : { directory: name.slice(0, slash), base: name.slice(slash + 1) };
}
