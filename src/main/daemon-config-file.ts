import { readFileSync } from 'node:fs';
import { invalidArgument, isErrno } from '#base/errors.ts';
import { type Setting, settings } from './daemon-settings.ts';

/** Values by setting, as texts like flags give them; lists and maps have several. Objects stay as parsed. */
export type ConfigValues = ReadonlyMap<Setting, readonly string[] | Readonly<Record<string, unknown>> | readonly unknown[]>;

/** Reads daemon.json. A missing file is empty unless the operator named it. Rejects with InvalidArgument naming the key and what it should be. */
export function readConfigFile(path: string, required: boolean): ConfigValues {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (err) {
    if (isErrno(err, 'ENOENT') && !required) return new Map();
    throw invalidArgument(`unable to read the configuration file ${path}: ${err instanceof Error ? err.message : String(err)}`, {
      cause: err,
    });
  }
  if (text.trim() === '') return new Map();
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (err) {
    throw invalidArgument(`the configuration file ${path} is not valid JSON: ${err instanceof Error ? err.message : String(err)}`, {
      cause: err,
    });
  }
  if (!isObject(parsed)) throw invalidArgument(`the configuration file ${path} must hold one JSON object`);
  return parseConfig(parsed, path);
}

export function parseConfig(config: Readonly<Record<string, unknown>>, path: string): ConfigValues {
  const values = new Map<Setting, readonly string[] | Readonly<Record<string, unknown>> | readonly unknown[]>();
  const unknown: string[] = [];
  for (const [key, value] of Object.entries(config)) {
    const setting = settings.find(one => one.key === key);
    if (setting === undefined) unknown.push(key);
    else values.set(setting, valueOf(setting, key, value, path));
  }
  if (unknown.length > 0) {
    throw invalidArgument(`${path}: the following directives don't match any configuration option: ${unknown.join(', ')}`);
  }
  return values;
}

function valueOf(setting: Setting, key: string, value: unknown, path: string) {
  const wrong = (expected: string) => invalidArgument(`${path}: "${key}" must be ${expected}, not ${JSON.stringify(value)}`);
  switch (setting.type) {
    case 'string':
      if (typeof value !== 'string') throw wrong('a text');
      return [value];
    case 'bytes':
      if (typeof value !== 'string' && typeof value !== 'number') throw wrong('a size such as "64MiB"');
      return [String(value)];
    case 'bool':
      if (typeof value !== 'boolean') throw wrong('true or false');
      return [String(value)];
    case 'int':
      if (!Number.isInteger(value)) throw wrong('a whole number');
      return [String(value)];
    case 'list':
      if (!Array.isArray(value)) throw wrong('a list');
      return value.map(item => (typeof item === 'string' ? item : poolText(item, wrong)));
    case 'map':
      if (!isObject(value) || Object.values(value).some(item => typeof item !== 'string')) throw wrong('an object of texts');
      return Object.entries(value).map(([name, item]) => `${name}=${String(item)}`);
    case 'object':
      if (!isObject(value)) throw wrong('an object');
      return value;
  }
}

/** `default-address-pools` is the one list of objects: brought into the form of its flag. */
function poolText(item: unknown, wrong: (expected: string) => Error): string {
  if (!isObject(item) || typeof item.base !== 'string' || typeof item.size !== 'number') throw wrong('a list of texts');
  return `base=${item.base},size=${String(item.size)}`;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
