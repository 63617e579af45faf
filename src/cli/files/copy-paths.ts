import { lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { isErrno, messageOf } from '#base/errors.ts';
import { ExitError } from '../errors.ts';

/** What is known of one end of a copy. */
export interface CopyEnd {
  /** With the `/` or `/.` that the user wrote at its end. */
  readonly path: string;
  readonly exists: boolean;
  readonly isDirectory: boolean;
}

export interface CopySource extends CopyEnd {
  /** The name to give to what is copied where its own is another, since a link was followed; empty otherwise. */
  readonly rebaseName: string;
}

/** `container:path`, or a path of this machine. A colon in a path of this machine needs a `/` or `.` before it. */
export function splitArgument(argument: string): { readonly container: string; readonly path: string } {
  const colon = argument.indexOf(':');
  if (isAbsolute(argument) || colon < 0 || argument.startsWith('.')) return { container: '', path: argument };
  return { container: argument.slice(0, colon), path: argument.slice(colon + 1) };
}

const endsInSlash = (path: string): boolean => path.endsWith('/');
const endsInDot = (path: string): boolean => /(?:^|\/)\.\/*$/.test(path);
/** The path says itself that it is a directory. */
const assertsDirectory = (path: string): boolean => endsInSlash(path) || endsInDot(path);

/** Adds to a clean path what the original ended in. */
function keepEnding(clean: string, original: string): string {
  let kept = clean;
  if (!endsInDot(kept) && endsInDot(original)) kept = `${endsInSlash(kept) ? kept : `${kept}/`}.`;
  return !endsInSlash(kept) && endsInSlash(original) ? `${kept}/` : kept;
}

export const absolutePath = (path: string): string => keepEnding(resolve(path), path);

/** The directory and the name in it; a path that ends in `/.` has the name `.`. */
export function splitPath(path: string): { readonly directory: string; readonly base: string } {
  const clean = join(path).replace(/(?<=.)\/$/, '');
  if (endsInDot(path)) return { directory: clean.replace(/\/\.$/, '') || '/', base: '.' };
  return { directory: dirname(clean), base: clean === '/' ? '/' : basename(clean) };
}

/** The last part of a path as Go's filepath.Base tells it. */
export function lastPart(path: string): string {
  if (path === '') return '.';
  const stripped = path.replace(/\/+$/, '');
  return stripped === '' ? '/' : (stripped.split('/').at(-1) ?? '');
}

/** A followed link in the words of the path that led to it: with its ending, and its name where the link's target has another. */
export function followedPath(path: string, target: string): { readonly path: string; readonly rebaseName: string } {
  const followed = keepEnding(target, path);
  return { path: followed, rebaseName: lastPart(path) === lastPart(followed) ? '' : lastPart(path) };
}

/** Rejects with what the system says about a path that is not there. */
function systemError(call: string, path: string, err: unknown): Error {
  if (isErrno(err, 'ENOENT')) return new ExitError(1, `${call} ${path}: no such file or directory`, { cause: err });
  // The stock command line finds this while it follows links, and says no more.
  if (isErrno(err, 'ENOTDIR')) return new ExitError(1, 'not a directory', { cause: err });
  if (isErrno(err, 'EACCES')) return new ExitError(1, `${call} ${path}: permission denied`, { cause: err });
  return err instanceof Error ? err : new Error(messageOf(err));
}

function lstat(path: string) {
  try {
    return lstatSync(path);
  } catch (err) {
    throw systemError('lstat', path, err);
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (err) {
    throw systemError('lstat', firstMissing(path), err);
  }
}

/** The first part of a path that is not there, links followed. */
function firstMissing(path: string): string {
  let seen = '/';
  for (const part of path.split('/')) {
    const next = join(seen, part);
    const stats = lstatSync(next, { throwIfNoEntry: false });
    if (stats === undefined) return next;
    seen = next;
    if (!stats.isSymbolicLink()) continue;
    const target = resolve(dirname(next), readlinkSync(next));
    const missing = firstMissing(target);
    if (missing !== target || lstatSync(target, { throwIfNoEntry: false }) === undefined) return missing;
    seen = target;
  }
  return seen;
}

/** A source on this machine. Links before its last part are followed, the last one only when asked. */
export function localSource(path: string, followsLink: boolean): CopySource {
  let found: { readonly path: string; readonly rebaseName: string };
  if (followsLink) {
    found = followedPath(path, realPath(path));
  } else {
    const slash = path.lastIndexOf('/') + 1;
    const parent = realPath(path.slice(0, slash));
    const resolved = `${parent === '/' ? '' : parent}/${path.slice(slash)}`;
    found = { path: resolved, rebaseName: endsInSlash(path) && lastPart(path) !== lastPart(resolved) ? lastPart(path) : '' };
  }
  return { ...found, exists: true, isDirectory: lstat(found.path).isDirectory() };
}

const mostLinks = 10;

/** A destination on this machine: links are followed, also one that leads to what is not there yet. Its directory must be there. */
export function localDestination(original: string): CopyEnd {
  let path = original;
  for (let links = 0; ; links += 1) {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) break;
    if (!stats.isSymbolicLink()) return { path, exists: true, isDirectory: stats.isDirectory() };
    if (links > mostLinks) throw new ExitError(1, `too many symlinks in ${original}`);
    const target = readlinkSync(path);
    path = isAbsolute(target) ? target : join(splitPath(path).directory, target);
  }
  const { directory } = splitPath(path);
  let parent;
  try {
    parent = statSync(directory);
  } catch (err) {
    throw systemError('stat', directory, err);
  }
  if (!parent.isDirectory()) throw new ExitError(1, 'not a directory');
  return { path, exists: false, isDirectory: false };
}

export interface CopyPlan {
  /** Where the archive is to be unpacked. */
  readonly directory: string;
  /** Replaced once in each member's name; undefined: the names stay. */
  readonly rename: { readonly from: string; readonly to: string } | undefined;
}

/** Which directory to unpack the archive of a source in, and under which name, so that it ends up where the destination says. */
export function planCopy(source: CopySource, destination: CopyEnd): CopyPlan {
  if (destination.exists && destination.isDirectory) return { directory: destination.path, rename: undefined };
  if (destination.exists && source.isDirectory) throw new ExitError(1, 'cannot copy directory');
  if (!destination.exists && !source.isDirectory && assertsDirectory(destination.path)) throw new ExitError(1, 'no such directory');
  const { directory, base } = splitPath(destination.path);
  const from = source.rebaseName === '' ? splitPath(source.path).base : source.rebaseName;
  return { directory, rename: { from: from === '/' ? '' : from, to: base } };
}

/** Refuses a file to write to that cannot be one. Its directory has to be there. */
export function checkCopyTarget(path: string): void {
  const directory = dirname(join(path));
  if (directory !== '' && directory !== '.' && statSync(directory, { throwIfNoEntry: false }) === undefined) {
    throw new ExitError(1, `invalid output path: directory ${JSON.stringify(directory)} does not exist`);
  }
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || stats.isDirectory() || stats.isFile()) return;
  const kind = stats.isCharacterDevice() || stats.isBlockDevice() ? 'got a device' : undefined;
  if (kind !== undefined)
    throw new ExitError(1, `invalid output path: ${JSON.stringify(path)} must be a directory or a regular file: ${kind}`);
}
