import { readFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { failedPrecondition, isErrno, messageOf } from '#base/errors.ts';
import { rootCertificates } from 'node:tls';
import { systemCertificates, type TlsOptions } from './certificates.ts';
import { withoutPassword } from './proxies.ts';

/** A host that serves a registry's repositories, as `hosts.toml` says (containerd, docs/hosts.md). */
export interface ConfiguredHost {
  /** `https://mirror.example.com/v2`: what comes before the repository's name. */
  readonly root: string;
  readonly capabilities: readonly Capability[];
  readonly skipVerify: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsOptions;
}

/** `pull`: blobs and manifests by digest; `resolve`: what a tag stands for; `push`. */
export type Capability = 'pull' | 'resolve' | 'push';

export interface HostsFile {
  /** In the order of the file, best first. */
  readonly hosts: readonly ConfiguredHost[];
  /** The registry itself; undefined: it is asked as usual. */
  readonly server: ConfiguredHost | undefined;
}

/**
 * What the operator wrote about a registry: `<dir>/<host>/hosts.toml`, or that of `_default` for registries that have none. The first directory with a file
 * counts; undefined when there is none. Rejects with FailedPrecondition, naming file and key, for what cannot be read.
 */
export async function readHostsFile(dirs: readonly string[], host: string): Promise<HostsFile | undefined> {
  const names = [host.replace(/:(\d+)$/, '_$1_'), host, '_default'];
  for (const name of new Set(names)) {
    for (const dir of dirs) {
      const path = join(dir, name, 'hosts.toml');
      const text = await readFile(path, 'utf8').catch((err: unknown) => {
        if (isErrno(err, 'ENOENT', 'ENOTDIR')) return undefined;
        throw failedPrecondition(`cannot read ${path}: ${messageOf(err)}`, { cause: err });
      });
      if (text !== undefined) return await parseHostsFile(text, join(dir, name), path, host);
    }
  }
  return undefined;
}

type Table = Readonly<Record<string, unknown>>;

async function parseHostsFile(text: string, folder: string, path: string, host: string): Promise<HostsFile> {
  let root: Table;
  try {
    root = Bun.TOML.parse(text) as Table;
  } catch (err) {
    throw failedPrecondition(`${path} is not valid TOML: ${messageOf(err)}`, { cause: err });
  }
  const hosts: ConfiguredHost[] = [];
  const tables = root.host ?? {};
  if (!isTable(tables)) throw failedPrecondition(`${path}: "host" must be a table of tables such as [host."https://mirror.example.com"]`);
  for (const [address, table] of Object.entries(tables)) {
    if (!isTable(table)) throw failedPrecondition(`${path}: [host."${address}"] must be a table`);
    hosts.push(await readHost(address, table, folder, path));
  }
  const { host: _hosts, server, ...own } = root;
  if (server !== undefined && typeof server !== 'string')
    throw failedPrecondition(`${path}: "server" must be a text such as "https://${host}"`);
  const isSaid = server !== undefined || Object.keys(own).length > 0;
  return { hosts, server: isSaid ? await readHost(server ?? `https://${host}`, own, folder, path) : undefined };
}

const known = ['capabilities', 'ca', 'client', 'skip_verify', 'override_path', 'header', 'dial_timeout'];
const capabilities: readonly Capability[] = ['pull', 'resolve', 'push'];

async function readHost(address: string, table: Table, folder: string, path: string): Promise<ConfiguredHost> {
  const shown = withoutPassword(address);
  const wrong = (key: string, expected: string): Error => failedPrecondition(`${path}: "${key}" of ${shown} must be ${expected}`);
  const unknown = Object.keys(table).find(key => !known.includes(key));
  if (unknown !== undefined) throw failedPrecondition(`${path}: unknown key "${unknown}" of ${shown}; there are ${known.join(', ')}`);
  const url = URL.canParse(address) && /^https?:\/\//.test(address) ? new URL(address) : undefined;
  if (url === undefined) throw failedPrecondition(`${path}: "${shown}" is no address such as https://mirror.example.com`);
  if (url.username !== '' || url.password !== '') {
    throw failedPrecondition(`${path}: the address of ${url.host} carries a user name or password: log in, or give it as "header"`);
  }
  const wanted = table.capabilities ?? capabilities;
  if (!Array.isArray(wanted) || !wanted.every((one): one is Capability => capabilities.includes(one as Capability))) {
    throw wrong('capabilities', `a list of ${capabilities.join(', ')}`);
  }
  const flag = (key: string): boolean => {
    const value = table[key] ?? false;
    if (typeof value !== 'boolean') throw wrong(key, 'true or false');
    return value;
  };
  const header = table.header ?? {};
  if (!isTable(header)) throw wrong('header', 'a table of texts');
  const place = `${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, '')}`;
  return {
    root: flag('override_path') || place.endsWith('/v2') ? place : `${place}/v2`,
    capabilities: wanted,
    skipVerify: flag('skip_verify'),
    headers: Object.fromEntries(Object.entries(header).map(([name, value]) => [name, textsOf(value).join(', ')])),
    tls: await readTls(table, folder, wrong),
  };
}

async function readTls(table: Table, folder: string, wrong: (key: string, expected: string) => Error): Promise<TlsOptions> {
  const read = async (key: string, file: string): Promise<string> => {
    const path = isAbsolute(file) ? file : join(folder, file);
    return await readFile(path, 'utf8').catch((err: unknown) => {
      throw wrong(key, `a file that can be read, not ${path} (${messageOf(err)})`);
    });
  };
  const authorities = await Promise.all(textsOf(table.ca).map(file => read('ca', file)));
  // One file with both, a list of those, or a list of pairs; one pair is shown.
  const [first] = Array.isArray(table.client) ? (table.client as unknown[]) : [table.client];
  const [cert, key = cert] = textsOf(first);
  return {
    ...(authorities.length > 0 && { ca: [...rootCertificates, ...(await systemCertificates()), ...authorities] }),
    ...(cert !== undefined && { cert: await read('client', cert), key: await read('client', key ?? cert) }),
  };
}

const isTable = (value: unknown): value is Table => typeof value === 'object' && value !== null && !Array.isArray(value);
const textsOf = (value: unknown): string[] =>
  typeof value === 'string' ? [value] : Array.isArray(value) ? value.filter(one => typeof one === 'string') : [];
