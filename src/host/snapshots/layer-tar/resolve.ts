import { lstatSync, readlinkSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { decodeName, encodeName } from '#oci/tar/names.ts';

/** A name of oci/tar/names.ts as a path in the process's root directory. */
export const inRoot = (name: string): Buffer => Buffer.from(encodeName(`/${name}`));

const maxLinks = 40;

/** Where directories of a layer really are: some are reached through symlinks of the same layer. The layer is the process's root directory. */
export class DirectoryResolver {
  readonly #known = new Map<string, string>([['', '']]);

  /** Without a leading slash; what is not there stays as it is. */
  resolve(directory: string, depth = 0): string {
    const known = this.#known.get(directory);
    if (known !== undefined) return known;
    const slash = directory.lastIndexOf('/');
    const parent = slash === -1 ? '' : this.resolve(directory.slice(0, slash), depth);
    const base = directory.slice(slash + 1);
    const own = base === '' || base === '.' ? parent : base === '..' ? parentOf(parent) : join(parent, base);
    const target = depth > maxLinks ? undefined : linkTarget(own);
    const resolved = target === undefined ? own : this.resolve(target.startsWith('/') ? target.slice(1) : join(parent, target), depth + 1);
    this.#known.set(directory, resolved);
    return resolved;
  }
}

const join = (parent: string, base: string): string => (parent === '' ? base : `${parent}/${base}`);

const parentOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 0));

function linkTarget(name: string): string | undefined {
  try {
    if (!lstatSync(inRoot(name)).isSymbolicLink()) return undefined;
    return decodeName(readlinkSync(inRoot(name), { encoding: 'buffer' }));
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR', 'EACCES')) return undefined;
    throw err;
  }
}
