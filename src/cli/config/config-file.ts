import { chmodSync, mkdirSync, readFileSync, readlinkSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { isErrno, messageOf } from '#base/errors.ts';
import { ExitError } from '../errors.ts';
import { problem } from '../output/problem.ts';
import type { GlobalOptions } from '../global-options.ts';

export interface StoredAuth {
  auth?: string;
  email?: string;
  identitytoken?: string;
  registrytoken?: string;
}

export interface ProxyConfig {
  readonly httpProxy?: string;
  readonly httpsProxy?: string;
  readonly noProxy?: string;
  readonly ftpProxy?: string;
  readonly allProxy?: string;
}

/** The keys of config.json that the command line acts on. Others are kept as they are. */
export interface ConfigValues {
  auths?: Record<string, StoredAuth>;
  HttpHeaders?: Record<string, string>;
  psFormat?: string;
  imagesFormat?: string;
  networksFormat?: string;
  volumesFormat?: string;
  statsFormat?: string;
  detachKeys?: string;
  credsStore?: string;
  credHelpers?: Record<string, string>;
  pruneFilters?: string[];
  proxies?: Record<string, ProxyConfig>;
  currentContext?: string;
  cliPluginsExtraDirs?: string[];
  plugins?: Record<string, Record<string, string>>;
  aliases?: Record<string, string>;
  features?: Record<string, string>;
}

export const configDirectory = (options: GlobalOptions): string =>
  options.configDir ?? nonEmpty(process.env.DOCKER_CONFIG) ?? join(homedir(), '.docker');

const nonEmpty = (value: string | undefined): string | undefined => (value === '' ? undefined : value);

/** config.json, read once; an absent file is an empty one. */
export class ConfigFile {
  readonly path: string;
  readonly values: ConfigValues;

  constructor(path: string, values: ConfigValues) {
    this.path = path;
    this.values = values;
  }

  get directory(): string {
    return dirname(this.path);
  }

  /** Writes the file anew beside itself and renames it, readable by its owner only: it may hold passwords. */
  save(): void {
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    const target = this.#target();
    const temporary = `${target}.${process.pid}.tmp`;
    writeFileSync(temporary, JSON.stringify(this.values, null, '\t'), { mode: 0o600 });
    chmodSync(temporary, 0o600);
    renameSync(temporary, target);
  }

  /** Where the bytes are: a config.json that is a symbolic link stays one. */
  #target(): string {
    try {
      return resolve(this.directory, readlinkSync(this.path));
    } catch {
      return this.path;
    }
  }
}

export function loadConfigFile(options: GlobalOptions, warn: (text: string) => void): ConfigFile {
  const path = join(configDirectory(options), 'config.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return new ConfigFile(path, {});
    warn(`WARNING: Error loading config file: ${problem(err)}`);
    return new ConfigFile(path, {});
  }
  try {
    const values: unknown = text.trim() === '' ? {} : JSON.parse(text);
    if (typeof values !== 'object' || values === null || Array.isArray(values)) throw new Error('it is not a JSON object');
    return new ConfigFile(path, values as ConfigValues);
  } catch (err) {
    throw new ExitError(1, `Error loading config file ${path}: ${messageOf(err)}`, { cause: err });
  }
}
