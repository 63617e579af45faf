import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { invalidArgument, isErrno, messageOf } from '#base/errors.ts';

/** Where a plugin listens. */
export interface PluginAddress {
  readonly name: string;
  /** The file that says so; the socket itself where there is no other. */
  readonly source: string;
  readonly at: { readonly socket: string } | { readonly url: string; readonly tls: PluginTls | undefined };
}

export interface PluginTls {
  readonly insecure: boolean;
  /** Files; empty: none. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

export interface PluginPlaces {
  /** Directories of sockets, in the order in which they are looked through. */
  readonly sockets: readonly string[];
  /** Directories of `.spec` and `.json` files, looked through afterwards. */
  readonly descriptions: readonly string[];
}

/** Docker's own places, and ours before them (docs.docker.com/engine/extend/plugin_api, Plugin discovery). */
export const pluginPlaces = (execRoot: string): PluginPlaces => ({
  sockets: [join(execRoot, 'plugins'), '/run/docker/plugins'],
  descriptions: ['/etc/berth/plugins', '/etc/docker/plugins', '/usr/lib/berth/plugins', '/usr/lib/docker/plugins'],
});

/** A plugin by its name; undefined when there is none. Rejects with InvalidArgument for a description that makes no sense. */
export function findPlugin(places: PluginPlaces, name: string): PluginAddress | undefined {
  if (!isName(name)) return undefined;
  for (const directory of places.sockets) {
    for (const socket of [join(directory, `${name}.sock`), join(directory, name, `${name}.sock`)]) {
      if (statSync(socket, { throwIfNoEntry: false })?.isSocket() === true) return { name, source: socket, at: { socket } };
    }
  }
  for (const directory of places.descriptions) {
    for (const extension of ['spec', 'json'] as const) {
      for (const file of [join(directory, `${name}.${extension}`), join(directory, name, `${name}.${extension}`)]) {
        const text = textOf(file);
        if (text !== undefined) return extension === 'spec' ? fromSpec(name, file, text) : fromJson(name, file, text);
      }
    }
  }
  return undefined;
}

/** A file's name becomes a plugin's: nothing leads out of the directory. */
const isName = (name: string): boolean => name !== '' && basename(name) === name && name !== '.' && name !== '..' && !name.includes('\0');

/** The names of all plugins, sorted. */
export function pluginNames(places: PluginPlaces): string[] {
  const names = new Set<string>();
  const take = (directory: string, extensions: readonly string[]): void => {
    for (const entry of namesIn(directory)) {
      const extension = extensions.find(one => entry.endsWith(one));
      if (extension !== undefined) names.add(entry.slice(0, -extension.length));
      else if (extensions.some(one => namesIn(join(directory, entry)).includes(`${entry}${one}`))) names.add(entry);
    }
  };
  for (const directory of places.sockets) take(directory, ['.sock']);
  for (const directory of places.descriptions) take(directory, ['.spec', '.json']);
  return [...names].toSorted();
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR', 'EACCES')) return [];
    throw err;
  }
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return undefined;
    throw err;
  }
}

/** One line: a URL. */
function fromSpec(name: string, source: string, text: string): PluginAddress {
  return { name, source, at: parseAddress(name, source, text.trim(), undefined) };
}

interface Description {
  readonly Name?: unknown;
  readonly Addr?: unknown;
  readonly TLSConfig?: {
    readonly InsecureSkipVerify?: unknown;
    readonly CAFile?: unknown;
    readonly CertFile?: unknown;
    readonly KeyFile?: unknown;
  } | null;
}

function fromJson(name: string, source: string, text: string): PluginAddress {
  let description: Description;
  try {
    description = JSON.parse(text) as Description;
  } catch (err) {
    throw invalidArgument(`the description of the plugin ${name} in ${source} is not valid JSON: ${messageOf(err)}`, { cause: err });
  }
  if (typeof description !== 'object' || description === null || typeof description.Addr !== 'string') {
    throw invalidArgument(`the description of the plugin ${name} in ${source} needs an "Addr", such as "unix:///run/plugin.sock"`);
  }
  const tls = description.TLSConfig;
  const file = (value: unknown): string => (typeof value === 'string' ? value : '');
  const settings =
    tls === undefined || tls === null
      ? undefined
      : { insecure: tls.InsecureSkipVerify === true, ca: file(tls.CAFile), certificate: file(tls.CertFile), key: file(tls.KeyFile) };
  return { name, source, at: parseAddress(name, source, description.Addr, settings) };
}

function parseAddress(name: string, source: string, text: string, tls: PluginTls | undefined): PluginAddress['at'] {
  const socket = /^unix:\/\/(\/.+)$/.exec(text)?.[1];
  if (socket !== undefined) return { socket };
  const host = /^(?:tcp|https?):\/\/([^/]+)\/?$/.exec(text)?.[1];
  if (host === undefined) {
    throw invalidArgument(`the plugin ${name} in ${source} has the address "${text}": expected unix:///path or tcp://host:port`);
  }
  const isSecure = tls !== undefined || text.startsWith('https:');
  return { url: `${isSecure ? 'https' : 'http'}://${host}`, tls };
}
