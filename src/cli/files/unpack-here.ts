import {
  chmodSync,
  closeSync,
  constants,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { invalidArgument, isErrno, messageOf } from '#base/errors.ts';
import type { TarEntry } from '#oci/tar/entry.ts';
import { encodeName } from '#oci/tar/names.ts';
import type { FileAttributes } from '../cli.ts';
import { readTar, type TarFile } from '#oci/tar/reader.ts';

export type Rename = (name: string) => string;

/**
 * Unpacks an archive into a directory of this machine, as the user who runs the command: owners are not taken over. What is there is replaced, but a file
 * does not take the place of a directory nor the reverse. No member leaves the directory, nor passes through a link that came with the archive.
 */
export async function unpackHere(
  source: AsyncIterable<Uint8Array>,
  directory: string,
  rename: Rename,
  attributes: FileAttributes,
): Promise<void> {
  const times = new Map<string, TarEntry['mtime']>();
  const links = new Set<string>();
  const before = process.umask(0);
  try {
    for await (const file of readTar(source)) {
      const path = await unpackOne(file, directory, rename, times, links);
      if (path !== undefined) setAttributes(path, file.entry, attributes);
    }
  } finally {
    process.umask(before);
    // Only now does nothing change in them any more.
    for (const [path, { seconds }] of times)
      if (lstatSync(bytes(path), { throwIfNoEntry: false })?.isDirectory() === true) utimesSync(bytes(path), seconds, seconds);
  }
}

/** Names may be any bytes. */
const bytes = (path: string): Buffer => Buffer.from(encodeName(path));

/** Returns where a file or directory is now; undefined for what can have no attributes. */
async function unpackOne(
  { entry, content }: TarFile,
  directory: string,
  rename: Rename,
  times: Map<string, TarEntry['mtime']>,
  links: Set<string>,
): Promise<string | undefined> {
  const path = placeIn(directory, rename(entry.name), links);
  const { type, mode, mtime } = entry;
  if (path === join(directory)) {
    if (type !== 'directory') throw invalidArgument(`cannot overwrite directory "${path}" with non-directory "${directory}"`);
    return undefined;
  }
  mkdirSync(bytes(dirname(path)), { recursive: true, mode: 0o755 });
  const there = lstatSync(bytes(path), { throwIfNoEntry: false });
  if (there?.isDirectory() === true && type !== 'directory') {
    throw invalidArgument(`cannot overwrite directory "${path}" with non-directory "${directory}"`);
  }
  if (there?.isDirectory() === false && type === 'directory') {
    throw invalidArgument(`cannot overwrite non-directory "${path}" with directory "${directory}"`);
  }
  if (there?.isDirectory() === false) rmSync(bytes(path));
  switch (type) {
    case 'directory':
      if (there === undefined) mkdirSync(bytes(path), 0o700);
      chmodSync(bytes(path), mode);
      times.set(path, mtime);
      return path;
    case 'file':
      await writeFile(path, content);
      break;
    case 'link':
      linkSync(bytes(placeIn(directory, rename(entry.linkName), links)), bytes(path));
      return undefined;
    case 'symlink':
      links.add(path);
      symlinkSync(bytes(entry.linkName), bytes(path));
      lutimesSync(bytes(path), mtime.seconds, mtime.seconds);
      return undefined;
    case 'char':
    case 'block':
    case 'fifo':
      makeNode(path, entry);
      break;
  }
  chmodSync(bytes(path), mode);
  utimesSync(bytes(path), mtime.seconds, mtime.seconds);
  return path;
}

/** What this user may not set, or this file system does not know, is left out. */
function setAttributes(path: string, { xattrs }: TarEntry, attributes: FileAttributes): void {
  for (const [name, value] of xattrs) {
    try {
      attributes.set(path, name, value);
    } catch (err) {
      if (!isErrno(err, 'EPERM', 'EOPNOTSUPP')) throw err;
    }
  }
}

/** Where a member goes. Rejects with InvalidArgument for a name that leads out. */
function placeIn(directory: string, name: string, links: ReadonlySet<string>): string {
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) throw invalidArgument(`"${name}" is outside of "${directory}"`);
  }
  let path = join(directory).replace(/(?<=.)\/$/, '');
  for (const [index, part] of parts.entries()) {
    path = path === '/' ? `/${part}` : `${path}/${part}`;
    if (index < parts.length - 1 && links.has(path)) throw invalidArgument(`"${name}" leads through a link of the archive`);
  }
  return path;
}

async function writeFile(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  const fd = openSync(bytes(path), constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    for await (const chunk of content) for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
  } finally {
    closeSync(fd);
  }
}

/** There is no call for it in this runtime, so the program does it. */
function makeNode(path: string, { type, devMajor, devMinor }: TarEntry): void {
  const kind = { char: 'c', block: 'b', fifo: 'p' }[type as 'char' | 'block' | 'fifo'];
  const device = kind === 'p' ? [] : [String(devMajor), String(devMinor)];
  const { success, stderr } = Bun.spawnSync(['mknod', '--', path, kind, ...device], { stdin: 'ignore', stdout: 'ignore', stderr: 'pipe' });
  if (!success) throw invalidArgument(`cannot make ${path}: ${messageOf(stderr.toString().trim())}`);
}
