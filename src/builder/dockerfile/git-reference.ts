import { posix } from 'node:path';
import { invalidArgument } from '#base/errors.ts';
import { quote } from './characters.ts';

/** A repository, what of it, and how to get it: what a Git URL says. */
export interface GitReference {
  /** For `git`: without fragment and query. */
  readonly remote: string;
  /** A branch, tag, full reference name or commit; undefined is the remote's HEAD. */
  readonly ref?: string;
  readonly subdirectory?: string;
  /** The commit that `ref` must be. */
  readonly checksum?: string;
  readonly keepGitDir?: boolean;
  readonly submodules?: boolean;
  readonly mtime?: 'checkout' | 'commit';
  readonly fetchByCommit?: boolean;
}

const scpStyle = /^(?:([a-zA-Z0-9-_]+)@)?([a-zA-Z0-9-.]+):(.*?)(?:\?(.*?))?(?:#(.*))?$/;

/**
 * Reads a Git URL: `https://…/x.git`, `git://`, `ssh://`, `user@host:path`, each with `#ref:directory` or `?ref=…&subdir=…`. Undefined for a text
 * that is none, such as an `https` URL whose path does not end in `.git`. Throws InvalidArgument for one with a wrong query.
 */
export function parseGitReference(text: string): GitReference | undefined {
  if (text.startsWith('./') || text.startsWith('../')) return undefined;
  const protocol = /^([a-zA-Z0-9]+):\/\//.exec(text)?.[1]?.toLowerCase();
  return protocol === undefined ? parseScpStyle(text) : parseUrl(text, protocol);
}

function parseUrl(text: string, protocol: string): GitReference | undefined {
  if (!['http', 'https', 'ssh', 'git'].includes(protocol)) return undefined;
  const [, remote = '', query, fragment] = /^([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s.exec(text) ?? [];
  if (!URL.canParse(remote)) return undefined;
  if (protocol.startsWith('http') && !remote.endsWith('.git')) return undefined;
  return { remote, ...readOptions(fragment, query) };
}

function parseScpStyle(text: string): GitReference | undefined {
  const [, user, host, path = '', query, fragment] = scpStyle.exec(text) ?? [];
  if (user === undefined || host === undefined || path === '') return undefined;
  return { remote: `${user}@${host}:${path}`, ...readOptions(fragment, query) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function readOptions(fragment: string | undefined, query: string | undefined): Omit<GitReference, 'remote'> {
  const [ref, directory = ''] = splitOnce(decode(fragment ?? ''), ':');
  const fromFragment = { ref, subdirectory: posix.join('/', directory).replace(/^\/|\/$/g, '') };
  const options = new Query(query ?? '');
  const subdirectory = agree('subdir', fromFragment.subdirectory, options.text('subdir'));
  const tag = prefixed('refs/tags/', options.text('tag'));
  const branch = prefixed('refs/heads/', options.text('branch'));
  if (tag !== '' && branch !== '') throw invalidArgument('branch conflicts with tag');
  const named = agree('ref', agree('ref', fromFragment.ref, options.text('ref')), tag !== '' ? tag : branch);
  const checksum = options.text('checksum') || options.text('commit');
  const mtime = options.text('mtime');
  if (mtime !== '' && mtime !== 'checkout' && mtime !== 'commit') {
    throw invalidArgument(`invalid mtime value: ${quote(mtime)} (must be "checkout" or "commit")`);
  }
  const [keepGitDir, submodules, fetchByCommit] = [
    options.flag('keep-git-dir'),
    options.flag('submodules'),
    options.flag('fetch-by-commit'),
  ];
  options.finish();
  return {
    ...(named !== '' && { ref: named }),
    ...(subdirectory !== '' && { subdirectory }),
    ...(checksum !== '' && { checksum }),
    ...(keepGitDir !== undefined && { keepGitDir }),
    ...(submodules !== undefined && { submodules }),
    ...(mtime !== '' && { mtime }),
    ...(fetchByCommit !== undefined && { fetchByCommit }),
  };
}

/** Key by key what a query says; what nobody asks for does not belong there. */
class Query {
  readonly #values = new Map<string, string>();
  readonly #asked = new Set<string>();

  constructor(text: string) {
    for (const [key, value] of new URLSearchParams(text)) {
      if (this.#values.has(key)) throw invalidArgument(`query ${quote(key)} has multiple values`);
      this.#values.set(key, value);
    }
  }

  text(key: string): string {
    this.#asked.add(key);
    const value = this.#values.get(key);
    if (value === '') throw invalidArgument(`query ${quote(key)} has no value`);
    return value ?? '';
  }

  flag(key: string): boolean | undefined {
    this.#asked.add(key);
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    if (!/^(|1|0|t|f|T|F|true|false|TRUE|FALSE|True|False)$/.test(value)) {
      throw invalidArgument(`invalid ${key} value: ${quote(value)}`);
    }
    return value === '' || /^(1|t)/i.test(value);
  }

  finish(): void {
    const extra = [...this.#values.keys()].find(key => !this.#asked.has(key));
    if (extra !== undefined) throw invalidArgument(`unexpected query ${quote(extra)}`);
  }
}

function agree(what: string, one: string, other: string): string {
  if (one !== '' && other !== '' && one !== other) throw invalidArgument(`${what} conflicts: ${quote(one)} vs ${quote(other)}`);
  return one === '' ? other : one;
}

const prefixed = (prefix: string, name: string): string => (name === '' || name.startsWith(prefix) ? name : prefix + name);

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

/** Whether a source of `ADD` is fetched by HTTP: a URL that is no repository. */
export const isHttpSource = (text: string): boolean => /^https?:\/\//.test(text) && parseGitReference(text) === undefined;
