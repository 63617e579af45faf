import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno, messageOf } from '#base/errors.ts';
import { type Endpoint, parseHost } from '#client/endpoint.ts';
import type { Cli } from '../cli.ts';
import { ExitError } from '../errors.ts';
import { configDirectory } from './config-file.ts';

/** meta.json of a context. */
export interface ContextMeta {
  Name: string;
  Metadata: { Description?: string; [other: string]: unknown };
  Endpoints: { docker?: { Host?: string; SkipTLSVerify?: boolean }; [other: string]: unknown };
}

export const tlsFileNames = ['ca.pem', 'cert.pem', 'key.pem'] as const;
export type TlsFileName = (typeof tlsFileNames)[number];
export type TlsContents = Partial<Record<TlsFileName, Uint8Array>>;

const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$/;

export function checkContextName(name: string): void {
  if (name === 'default') throw new ExitError(1, '"default" is a reserved context name');
  if (namePattern.test(name)) return;
  throw new ExitError(
    1,
    `context name ${JSON.stringify(name)} is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"`,
  );
}

/** The contexts kept beside config.json: a directory for each, named by the hash of its name. */
export class ContextStore {
  readonly #root: string;

  constructor(cli: Cli) {
    this.#root = join(configDirectory(cli.options), 'contexts');
  }

  metaDirectory(name: string): string {
    return join(this.#root, 'meta', hashOf(name));
  }

  tlsDirectory(name: string): string {
    return join(this.#root, 'tls', hashOf(name));
  }

  has(name: string): boolean {
    return existsSync(join(this.metaDirectory(name), 'meta.json'));
  }

  read(name: string): ContextMeta {
    const path = join(this.metaDirectory(name), 'meta.json');
    try {
      return JSON.parse(readFileSync(path, 'utf8')) as ContextMeta;
    } catch (err) {
      if (isErrno(err, 'ENOENT', 'ENOTDIR'))
        throw new ExitError(1, `context ${JSON.stringify(name)}: context not found: open ${path}: no such file or directory`);
      throw new ExitError(1, `context ${JSON.stringify(name)}: ${path}: ${messageOf(err)}`, { cause: err });
    }
  }

  /** Every context there is, by name. */
  list(): ContextMeta[] {
    let directories: string[];
    try {
      directories = readdirSync(join(this.#root, 'meta'));
    } catch (err) {
      if (isErrno(err, 'ENOENT')) return [];
      throw err;
    }
    return directories
      .filter(directory => existsSync(join(this.#root, 'meta', directory, 'meta.json')))
      .map(directory => JSON.parse(readFileSync(join(this.#root, 'meta', directory, 'meta.json'), 'utf8')) as ContextMeta)
      .toSorted((a, b) => (a.Name < b.Name ? -1 : 1));
  }

  write(meta: ContextMeta): void {
    mkdirSync(this.metaDirectory(meta.Name), { recursive: true, mode: 0o755 });
    writeFileSync(join(this.metaDirectory(meta.Name), 'meta.json'), JSON.stringify(meta), { mode: 0o644 });
  }

  readTls(name: string): TlsContents {
    const contents: TlsContents = {};
    for (const file of tlsFileNames) {
      const path = join(this.tlsDirectory(name), 'docker', file);
      if (existsSync(path)) contents[file] = readFileSync(path);
    }
    return contents;
  }

  writeTls(name: string, contents: TlsContents): void {
    rmSync(this.tlsDirectory(name), { recursive: true, force: true });
    for (const file of tlsFileNames) {
      const bytes = contents[file];
      if (bytes === undefined) continue;
      const directory = join(this.tlsDirectory(name), 'docker');
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      writeFileSync(join(directory, file), bytes, { mode: 0o600 });
    }
  }

  remove(name: string): void {
    rmSync(this.metaDirectory(name), { recursive: true, force: true });
    rmSync(this.tlsDirectory(name), { recursive: true, force: true });
  }
}

const hashOf = (name: string): string => createHash('sha256').update(name).digest('hex');

/** The daemon that a stored context names. */
export function contextEndpoint(cli: Cli, name: string): Endpoint {
  const store = new ContextStore(cli);
  const { Endpoints } = store.read(name);
  const host = Endpoints.docker?.Host;
  if (host === undefined || host === '')
    throw new ExitError(1, `context ${JSON.stringify(name)} has no docker endpoint; update it with --docker host=…`);
  const directory = join(store.tlsDirectory(name), 'docker');
  const has = (file: TlsFileName): boolean => existsSync(join(directory, file));
  const skip = Endpoints.docker?.SkipTLSVerify === true;
  if (!skip && !tlsFileNames.some(has)) return parseHost(host);
  return parseHost(host, {
    verify: !skip,
    ...(has('ca.pem') ? { ca: join(directory, 'ca.pem') } : {}),
    ...(has('cert.pem') ? { cert: join(directory, 'cert.pem') } : {}),
    ...(has('key.pem') ? { key: join(directory, 'key.pem') } : {}),
  });
}
