import { lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import type { IgnoreMatcher, PathMatch } from '#builder/dockerfile/ignore.ts';
import type { NeededPaths } from './needed-paths.ts';

export interface ContextFile {
  /** Relative to the context, with slashes. */
  readonly path: string;
  readonly stats: Stats;
  /** What a symbolic link points to. */
  readonly target?: string;
}

export interface ContextRules {
  readonly ignore: IgnoreMatcher;
  /** What a build can do with; undefined is everything. */
  readonly needed?: NeededPaths | undefined;
  /** Sent whatever the rules say. */
  readonly always: ReadonlySet<string>;
}

const noMatch: PathMatch = undefined;

/** The files of a directory that belong to a build context, each directory before what is in it and names in the order of their bytes. */
export function* contextFiles(root: string, rules: ContextRules): Generator<ContextFile> {
  yield* filesBelow(root, '', noMatch, rules);
}

function* filesBelow(root: string, directory: string, parent: PathMatch, rules: ContextRules): Generator<ContextFile> {
  for (const name of namesIn(join(root, directory))) {
    const path = directory === '' ? name : `${directory}/${name}`;
    const { isExcluded, match } = rules.ignore.match(path, parent);
    const isNeeded = rules.needed?.has(path) ?? true;
    const isSent = rules.always.has(path) || (!isExcluded && isNeeded);
    const stats = statOf(join(root, path), !isSent);
    if (stats === undefined || stats.isSocket()) continue;
    if (isSent) yield { path, stats, ...(stats.isSymbolicLink() && { target: readlinkSync(join(root, path)) }) };
    if (!stats.isDirectory()) continue;
    const mayBeSent = (!isExcluded || rules.ignore.mayHoldExceptions(path)) && (rules.needed?.has(path) ?? true);
    if (mayBeSent || [...rules.always].some(always => always.startsWith(`${path}/`))) yield* filesBelow(root, path, match, rules);
  }
}

function namesIn(directory: string): string[] {
  return readdirSync(directory)
    .map(name => [name, Buffer.from(name)] as const)
    .sort(([, a], [, b]) => Buffer.compare(a, b))
    .map(([name]) => name);
}

/** Undefined for a file that has just gone, or one that is not sent and cannot be looked at. */
function statOf(path: string, isOptional: boolean): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (err) {
    if (isErrno(err, 'ENOENT') || (isOptional && isErrno(err, 'EACCES'))) return undefined;
    throw err;
  }
}
