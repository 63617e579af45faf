import { lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { posix } from 'node:path';
import { IgnoreMatcher } from '#builder/dockerfile/ignore.ts';

const special = /[*?[\\]/;
const mostLinks = 40;

/** Tells which files of a directory are needed for some paths and patterns. Symbolic links are followed, inside the directory. */
export class NeededPaths {
  readonly #root: string;
  /** Needed with all that is below. */
  readonly #whole = new Set<string>();
  /** Directories on the way. */
  readonly #above = new Set<string>();
  #isEverything = false;

  constructor(root: string, paths: Iterable<string>) {
    this.#root = root;
    for (const path of paths) this.#add(namesOf(path), 0);
  }

  /** Whether a path is needed itself, belongs to something that is, or leads there. */
  has(path: string): boolean {
    if (this.#isEverything || this.#above.has(path)) return true;
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) if (this.#whole.has(path.slice(0, end))) return true;
    return false;
  }

  #add(names: readonly string[], links: number): void {
    if (links > mostLinks) return;
    for (let depth = 0; depth < names.length; depth += 1) {
      const name = names[depth] ?? '';
      const directory = names.slice(0, depth);
      if (name.includes('**')) {
        this.#need(directory);
        return;
      }
      if (special.test(name)) {
        const pattern = new IgnoreMatcher([escapeExclamation(name)]);
        for (const match of listNames(this.#place(directory))) {
          if (pattern.isExcluded(match)) this.#add([...directory, match, ...names.slice(depth + 1)], links);
        }
        return;
      }
      const path = names.slice(0, depth + 1);
      const target = linkTarget(this.#place(path));
      if (target === undefined) continue;
      this.#need(path);
      const from = posix.isAbsolute(target) ? '/' : posix.join('/', ...directory);
      this.#add([...namesOf(posix.join(from, target)), ...names.slice(depth + 1)], links + 1);
    }
    this.#need(names);
  }

  #need(names: readonly string[]): void {
    if (names.length === 0) this.#isEverything = true;
    else this.#whole.add(names.join('/'));
    for (let depth = 1; depth < names.length; depth += 1) this.#above.add(names.slice(0, depth).join('/'));
  }

  #place = (names: readonly string[]): string => [this.#root, ...names].join('/');
}

/** A path of the context by its names; what leads out of it stays at its root. */
const namesOf = (path: string): string[] =>
  posix
    .join('/', path)
    .split('/')
    .filter(name => name !== '');

/** A name that begins with `!` is a name, not an exception. */
const escapeExclamation = (pattern: string): string => pattern.replace(/^!/, '\\!');

function listNames(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    // Nothing there to match: the daemon says so.
    return [];
  }
}

function linkTarget(path: string): string | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true ? readlinkSync(path) : undefined;
  } catch {
    // Below something that is no directory.
    return undefined;
  }
}
