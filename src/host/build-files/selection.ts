import { type BigIntStats, constants, fstatSync, lstatSync, readdirSync } from 'node:fs';
import { invalidArgument, isErrno, notFound } from '#base/errors.ts';
import { cleanPath, hasWildcard, PathPatterns, segmentRegExp } from '#base/path-pattern.ts';
import type { FileSource } from '#core/build-files.ts';
import { openInRoot, openRoot, ownedFd, pathOfFd, pathOnly } from '#host/sys/rooted.ts';
import { decodeName, encodeName } from '#oci/tar/names.ts';

/** One file or directory that a pattern means. */
export interface Selected {
  /** Its path below the target, when it goes into a directory; '' for the contents of a directory. */
  readonly name: string;
  /** Where it is on the host, links resolved inside the tree. */
  readonly path: Buffer;
  readonly stats: BigIntStats;
  readonly source: FileSource;
  /** Whether something below a directory is left out, by its path relative to it. */
  readonly exclusion: (path: string, isDirectory: boolean) => Exclusion;
}

/** `unless-below`: the directory itself is left out, but something in it may be wanted. */
export type Exclusion = 'no' | 'yes' | 'unless-below';

/** What a source means, sorted; with wildcards that may be nothing. Rejects with NotFound for a path that is not there. */
export function select(source: FileSource): Selected[] {
  const [base, rest] = splitPivot(source);
  using root = ownedFd(openRoot(source.root));
  const wanted = cleanPath(`${base}/${rest}`);
  const isPattern = hasWildcard(wanted);
  const paths = isPattern ? matchingPaths(root.fd, wanted, source.parents) : [wanted];
  const baseParts = cleanPath(base).split('/').filter(Boolean).length;
  const found = paths.flatMap(path => {
    const selected = selectPath(root.fd, path, path.split('/').slice(baseParts).join('/'), source);
    return selected === undefined ? [] : [selected];
  });
  if (isPattern || found.length > 0 || !isMissing(root.fd, wanted)) return found;
  throw notFound(`"/${wanted}": not found`);
}

const isMissing = (rootFd: number, path: string): boolean => openIfThere(rootFd, path) === undefined;

/** With `parents`, `/./` divides what is cut off from what is kept. */
function splitPivot({ pattern, parents }: FileSource): [base: string, rest: string] {
  const pivot = parents ? pattern.indexOf('/./') : -1;
  return pivot === -1 ? ['', pattern] : [pattern.slice(0, pivot), pattern.slice(pivot + 3)];
}

function selectPath(rootFd: number, path: string, kept: string, source: FileSource): Selected | undefined {
  const fd = openIfThere(rootFd, path);
  if (fd === undefined) return undefined;
  using file = ownedFd(fd);
  const stats = fstatSync(file.fd, { bigint: true });
  const patterns = new PathPatterns(source.excludes);
  const isDirectory = stats.isDirectory();
  const own = path.split('/').at(-1) ?? '';
  // Patterns are relative to a directory that is copied, and name a single file by its own name.
  if (!isDirectory && patterns.matches(source.parents ? kept : own)) return undefined;
  const prefix = source.parents && isDirectory && kept !== '' ? `${kept}/` : '';
  return {
    name: source.parents ? kept : isDirectory && source.whole !== true ? '' : own,
    path: Buffer.from(pathOfFd(file.fd)),
    stats,
    source,
    exclusion: (below, isDir) => {
      if (patterns.isEmpty || !patterns.matches(prefix + below)) return 'no';
      return isDir && patterns.hasExceptions ? 'unless-below' : 'yes';
    },
  };
}

function openIfThere(rootFd: number, path: string): number | undefined {
  try {
    return openInRoot(rootFd, `/${path}`, pathOnly);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return undefined;
    if (isErrno(err, 'ELOOP')) throw invalidArgument(`"/${path}" leads through too many links`, { cause: err });
    throw err;
  }
}

/** Paths in the tree that the pattern matches, sorted. */
function matchingPaths(rootFd: number, pattern: string, allowsDeep: boolean): string[] {
  let paths = [''];
  for (const segment of pattern.split('/')) {
    if (segment === '**' && allowsDeep) paths = paths.flatMap(path => [path, ...directoriesBelow(rootFd, path)]);
    else if (!hasWildcard(segment)) paths = paths.map(path => joinPath(path, segment));
    else {
      const matcher = segmentRegExp(segment);
      paths = paths.flatMap(path =>
        namesIn(rootFd, path)
          .filter(name => matcher.test(name))
          .map(name => joinPath(path, name)),
      );
    }
  }
  return [...new Set(paths)].filter(path => !isMissing(rootFd, path)).sort();
}

const joinPath = (directory: string, name: string): string => (directory === '' ? name : `${directory}/${name}`);

function directoriesBelow(rootFd: number, path: string): string[] {
  return namesIn(rootFd, path).flatMap(name => {
    const below = joinPath(path, name);
    const fd = openIfThere(rootFd, below);
    if (fd === undefined) return [];
    using file = ownedFd(fd);
    // A link to a directory is not descended into: it could lead in circles.
    const isReal = fstatSync(file.fd).isDirectory() && !isLink(rootFd, below);
    return isReal ? [below, ...directoriesBelow(rootFd, below)] : [];
  });
}

function isLink(rootFd: number, path: string): boolean {
  const at = path.lastIndexOf('/');
  using parent = ownedFd(openInRoot(rootFd, `/${path.slice(0, Math.max(at, 0))}`, constants.O_RDONLY | constants.O_DIRECTORY));
  return lstatSync(Buffer.concat([Buffer.from(`/proc/self/fd/${String(parent.fd)}/`), encodeName(path.slice(at + 1))])).isSymbolicLink();
}

/** Names in a directory of the tree, sorted; none when it is no directory. */
export function namesIn(rootFd: number, path: string): string[] {
  try {
    using directory = ownedFd(openInRoot(rootFd, `/${path}`, constants.O_RDONLY | constants.O_DIRECTORY));
    return readdirSync(`/proc/self/fd/${String(directory.fd)}`, { encoding: 'buffer' })
      .map(decodeName)
      .sort();
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return [];
    throw err;
  }
}
