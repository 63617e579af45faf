import { readFileSync } from 'node:fs';
import { invalidArgument, messageOf } from '#base/errors.ts';
import { parseDuration } from '#base/duration.ts';
import { parseBytes } from '#base/size.ts';
import { registrySettings } from './registry-settings.ts';

/** Values by key, as they are in the file. */
export interface RegistryConfig {
  readonly values: ReadonlyMap<string, unknown>;
  /** Sentences about settings that have no effect. */
  readonly notices: readonly string[];
}

const settable = registrySettings.filter(setting => setting.accepted === undefined);
const ignored = registrySettings.filter(setting => setting.accepted !== undefined);

/** File, then environment, then flags: the later counts. Rejects with InvalidArgument naming the key, the value and what it should be. */
export function readRegistryConfig(sources: {
  readonly file: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Texts by key. */
  readonly flags: ReadonlyMap<string, string | readonly string[]>;
}): RegistryConfig {
  const values = new Map<string, unknown>();
  const notices: string[] = [];
  if (sources.file !== undefined) readFile(sources.file, values, notices);
  readEnvironment(sources.env, values, notices);
  for (const [key, value] of sources.flags) values.set(key, value);
  return { values, notices };
}

function readFile(path: string, values: Map<string, unknown>, notices: string[]): void {
  let parsed: unknown;
  try {
    parsed = Bun.YAML.parse(readFileSync(path, 'utf8'));
  } catch (err) {
    throw invalidArgument(`the configuration file ${path} cannot be read: ${messageOf(err)}`, { cause: err });
  }
  if (parsed === null || parsed === undefined) return;
  if (!isObject(parsed)) throw invalidArgument(`the configuration file ${path} must hold keys and values`);
  flatten(parsed, '', path, values, notices);
}

function flatten(
  node: Readonly<Record<string, unknown>>,
  prefix: string,
  path: string,
  values: Map<string, unknown>,
  notices: string[],
): void {
  for (const [name, value] of Object.entries(node)) {
    const key = prefix === '' ? name : `${prefix}.${name}`;
    const exact = settable.find(setting => setting.key === key);
    if (exact !== undefined) {
      if (value !== null) values.set(key, value);
      continue;
    }
    const isGroup = settable.some(setting => setting.key.startsWith(`${key}.`));
    if (isGroup && isObject(value)) flatten(value, key, path, values, notices);
    else if (isGroup && value === null) continue;
    else {
      const skipped = ignored.find(setting => key === setting.key || key.startsWith(`${setting.key}.`));
      if (skipped === undefined) throw invalidArgument(`${path}: there is no setting ${key}${suggestion(key)}`);
      notices.push(`${key} has no effect: ${String(skipped.accepted)}`);
    }
  }
}

function suggestion(key: string): string {
  const last = key.slice(key.lastIndexOf('.') + 1);
  const similar = settable.find(setting => setting.key.endsWith(`.${last}`) || setting.key.startsWith(key));
  return similar === undefined ? '' : `; did you mean ${similar.key}?`;
}

const envPrefix = 'REGISTRY_';

/** `REGISTRY_HTTP_ADDR` stands for `http.addr`. Lists and objects are written as YAML. */
function readEnvironment(env: Readonly<Record<string, string | undefined>>, values: Map<string, unknown>, notices: string[]): void {
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(envPrefix) || text === undefined) continue;
    const setting = settable.find(one => envName(one.key) === name);
    if (setting !== undefined) {
      values.set(setting.key, ['list', 'map', 'objects'].includes(setting.type) ? parseYaml(name, text) : text);
      continue;
    }
    // `REGISTRY_AUTH=htpasswd` names a group whose settings follow in other variables.
    const isGroup = settable.some(one => envName(one.key).startsWith(`${name}_`));
    if (!isGroup) notices.push(`the variable ${name} has no effect: there is no such setting, or it is not needed`);
  }
}

export const envName = (key: string): string => envPrefix + key.replaceAll('.', '_').toUpperCase();

function parseYaml(name: string, text: string): unknown {
  try {
    return Bun.YAML.parse(text);
  } catch (err) {
    throw invalidArgument(`the variable ${name} is not YAML: ${messageOf(err)}`, { cause: err });
  }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reads values of a configuration by their types. Everything rejects with InvalidArgument. */
export class ConfigReader {
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #where: string;

  constructor(values: ReadonlyMap<string, unknown>, where = '') {
    this.#values = values;
    this.#where = where;
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  text(key: string): string | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    if (typeof value === 'string' || typeof value === 'number') return String(value);
    throw this.wrong(key, value, 'a text');
  }

  bool(key: string): boolean | undefined {
    const value = this.#values.get(key);
    if (value === undefined || typeof value === 'boolean') return value;
    if (value === 'true' || value === 'false') return value === 'true';
    throw this.wrong(key, value, 'true or false');
  }

  int(key: string): number | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
    if (typeof number === 'number' && Number.isSafeInteger(number) && number >= 0) return number;
    throw this.wrong(key, value, 'a whole number');
  }

  bytes(key: string): number | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    try {
      const bytes = parseBytes(String(value));
      if (bytes >= 0) return bytes;
    } catch {
      // Said below in words that name the key.
    }
    throw this.wrong(key, value, 'a size such as 500MB or 10GiB');
  }

  durationMs(key: string): number | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    if (value === 0 || value === '0') return 0;
    try {
      const nanos = parseDuration(String(value));
      if (nanos >= 0n) return Number(nanos / 1_000_000n);
    } catch {
      // Said below in words that name the key.
    }
    throw this.wrong(key, value, 'a duration such as 30s or 24h');
  }

  list(key: string): readonly string[] | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    if (typeof value === 'string') return [value];
    if (Array.isArray(value) && value.every(item => typeof item === 'string')) return value;
    throw this.wrong(key, value, 'a list of texts');
  }

  map(key: string): Readonly<Record<string, string>> | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    if (!isObject(value)) throw this.wrong(key, value, 'keys and texts');
    // The reference registry has lists of texts here.
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, Array.isArray(item) ? item.join(', ') : String(item)]));
  }

  /** A list of objects with these keys. */
  objects(key: string, keys: readonly string[]): readonly ConfigReader[] {
    const value = this.#values.get(key);
    if (value === undefined) return [];
    if (!Array.isArray(value)) throw this.wrong(key, value, `a list of {${keys.join(', ')}}`);
    return value.map((item: unknown, index) => {
      const where = `${key}[${String(index)}]`;
      if (!isObject(item)) throw this.wrong(where, item, `an object of ${keys.join(', ')}`);
      const unknown = Object.keys(item).find(name => !keys.includes(name));
      if (unknown !== undefined) throw invalidArgument(`${where} has the unknown key ${unknown}: it may have ${keys.join(', ')}`);
      return new ConfigReader(new Map(Object.entries(item).filter(([, entry]) => entry !== null)), where);
    });
  }

  /** An object as it is. */
  raw(key: string): Readonly<Record<string, unknown>> | undefined {
    const value = this.#values.get(key);
    if (value === undefined || isObject(value)) return value;
    throw this.wrong(key, value, 'an object');
  }

  /** One of these words. */
  choice<T extends string>(key: string, words: readonly T[]): T | undefined {
    const text = this.text(key);
    const found = words.find(word => word === text);
    if (text !== undefined && found === undefined) throw this.wrong(key, text, words.join(' or '));
    return found;
  }

  /** Rejects when it is missing. */
  needed(key: string): string {
    const text = this.text(key);
    if (text === undefined || text === '') throw invalidArgument(`${this.#name(key)} is missing`);
    return text;
  }

  wrong(key: string, value: unknown, expected: string): Error {
    const isSecret = /password|secret|token$/.test(key);
    return invalidArgument(`${this.#name(key)} must be ${expected}${isSecret ? '' : `, not ${JSON.stringify(value)}`}`);
  }

  #name(key: string): string {
    return this.#where === '' || key.startsWith(this.#where) ? key : `${this.#where}.${key}`;
  }
}
