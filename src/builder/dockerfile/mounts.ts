import { posix } from 'node:path';
import { splitCsv } from '#base/csv.ts';
import { parseBytes } from '#base/size.ts';
import { quote } from './characters.ts';
import { PartError } from './flags.ts';
import type { DeviceRequest, Mount, MountFlag } from './instructions.ts';
import type { Range } from './source.ts';
import { didYouMean } from './suggest.ts';

const types = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const;
const sharings = ['shared', 'private', 'locked'] as const;
const keys = [
  'type',
  'from',
  'source',
  'target',
  'readonly',
  'id',
  'sharing',
  'required',
  'size',
  'mode',
  'uid',
  'gid',
  'src',
  'dst',
  'destination',
  'ro',
  'rw',
  'readwrite',
  'env',
];

type MountType = (typeof types)[number];

/** Reads what can be known of a mount before variables have values. Throws PartError. */
export function parseMountFlag(text: string, range: Range): MountFlag {
  let from: string | undefined;
  for (const field of fieldsOf(text, 'mounts', range)) {
    const [key, value] = cut(field);
    if (key !== 'from' || value === undefined) continue;
    const dollar = value.indexOf('$');
    if (dollar >= 0 && dollar !== value.length - 1) {
      throw new PartError(`'from' doesn't support variable expansion, define alias stage instead`, range);
    }
    from = value;
  }
  return { text, range, ...(from !== undefined && from !== '' && { from }) };
}

interface Settings {
  type: MountType;
  from: string;
  source: string;
  target: string;
  readOnly: boolean | undefined;
  sizeBytes: number;
  id: string;
  sharing: (typeof sharings)[number] | undefined;
  required: boolean;
  env: string | undefined;
  mode: number | undefined;
  uid: number | undefined;
  gid: number | undefined;
}

/**
 * Reads a mount whose variables have values. A relative target is below `cwd`. Throws PartError with BuildKit's words: an unknown key or type
 * with a suggestion, a key that its type does not have, a value that is none.
 */
export function resolveMount(flag: MountFlag, { expand, cwd }: { expand: (word: string) => string; cwd: string }): Mount {
  try {
    return checkMount(readSettings(fieldsOf(flag.text, 'mounts', flag.range), expand), cwd);
  } catch (err) {
    throw err instanceof PartError && err.range === undefined ? new PartError(err.message, flag.range) : err;
  }
}

function readSettings(fields: readonly string[], expand: (word: string) => string): Settings {
  const settings: Settings = {
    type: 'bind',
    from: '',
    source: '',
    target: '',
    readOnly: undefined,
    sizeBytes: 0,
    id: '',
    sharing: undefined,
    required: false,
    env: undefined,
    mode: undefined,
    uid: undefined,
    gid: undefined,
  };
  for (const field of fields) {
    const [key, given] = cut(field);
    readSetting(settings, key, given === undefined ? undefined : expand(given), field);
  }
  return settings;
}

function readSetting(settings: Settings, key: string, value: string | undefined, field: string): void {
  if (value === undefined) {
    if (key === 'readonly' || key === 'ro') settings.readOnly = true;
    else if (key === 'readwrite' || key === 'rw') settings.readOnly = false;
    else if (key === 'required') settings.required = forAgents(settings, key, () => true);
    else throw new PartError(`invalid field '${field}' must be a key=value pair`);
    return;
  }
  switch (key) {
    case 'type':
      settings.type = oneOf(types, value, 'mount type');
      return;
    case 'from':
      settings.from = value;
      return;
    case 'source':
    case 'src':
      settings.source = value;
      return;
    case 'target':
    case 'dst':
    case 'destination':
      settings.target = value;
      return;
    case 'readonly':
    case 'ro':
      settings.readOnly = parseBool(key, value);
      return;
    case 'readwrite':
    case 'rw':
      settings.readOnly = !parseBool(key, value);
      return;
    case 'required':
      settings.required = forAgents(settings, key, () => parseBool(key, value));
      return;
    case 'size':
      if (settings.type !== 'tmpfs') throw unexpectedKey(key, settings.type);
      settings.sizeBytes = parseSize(key, value);
      return;
    case 'id':
      settings.id = value;
      return;
    case 'sharing':
      settings.sharing = oneOf(sharings, value, 'sharing value');
      return;
    case 'mode':
      settings.mode = parseNumber(value, 8, /^[0-7]+$/, key);
      return;
    case 'uid':
      settings.uid = parseNumber(value, 10, /^\d+$/, key);
      return;
    case 'gid':
      settings.gid = parseNumber(value, 10, /^\d+$/, key);
      return;
    case 'env':
      settings.env = value;
      return;
    default:
      throw new PartError(`unexpected key '${key}' in '${field}'${didYouMean(key, keys)}`);
  }
}

function checkMount(settings: Settings, cwd: string): Mount {
  const { type, from, source, target, id, sharing, required, env, mode, uid, gid } = settings;
  if (type === 'bind' || type === 'tmpfs') {
    for (const [name, value] of Object.entries({ mode, uid, gid })) {
      if (value !== undefined) throw new PartError(`${name} not allowed for ${quote(type)} type mounts`);
    }
  }
  const readOnly = settings.readOnly ?? !(type === 'cache' || type === 'tmpfs');
  if (type === 'secret') checkSecret(settings);
  if (sharing !== undefined && type !== 'cache') throw new PartError(`invalid cache sharing set for ${type} mount`);
  const owner = { uid: uid ?? 0, gid: gid ?? 0 };
  const base = { ...(from !== '' && { from }), source: posix.join('/', source), readOnly };
  switch (type) {
    case 'bind':
      return { type, ...base, target: absoluteTarget(target, cwd) };
    case 'cache':
      return {
        type,
        ...base,
        id: id === '' ? posix.normalize(target === '' ? '.' : target).replace(/(.)\/$/, '$1') : id,
        target: absoluteTarget(target, cwd),
        sharing: sharing ?? 'shared',
        mode: mode ?? 0o755,
        ...owner,
      };
    case 'tmpfs':
      return { type, target: absoluteTarget(target, cwd), readOnly, sizeBytes: settings.sizeBytes };
    case 'secret': {
      const secret = source !== '' ? source : id !== '' ? id : posix.basename(target);
      const place = target !== '' ? target : env === undefined ? `/run/secrets/${posix.basename(secret)}` : undefined;
      return {
        type,
        id: secret,
        ...(place !== undefined && { target: posix.isAbsolute(place) ? place : posix.join('/', cwd, place) }),
        ...(env !== undefined && { env: env === '' ? secret : env }),
        required,
        mode: mode ?? 0o400,
        ...owner,
      };
    }
    case 'ssh':
      if (source !== '') throw new PartError('ssh does not support source');
      return {
        type,
        id: id === '' ? 'default' : id,
        ...(target !== '' && { target: posix.isAbsolute(target) ? target : posix.join('/', cwd, target) }),
        required,
        mode: mode ?? 0o600,
        ...owner,
      };
  }
}

function checkSecret({ from, sharing, source, target, id }: Settings): void {
  if (from !== '') throw new PartError('secret mount should not have a from');
  if (sharing !== undefined) throw new PartError('secret mount should not define sharing');
  if (source === '' && target === '' && id === '') throw new PartError('invalid secret mount. one of source, target required');
  if (source !== '' && id !== '') throw new PartError("both source and id can't be set");
}

function absoluteTarget(target: string, cwd: string): string {
  const path = posix.resolve(posix.join('/', cwd), target);
  if (path === '/') throw new PartError(`invalid mount target ${quote(path)}`);
  return path;
}

/** Reads `--device`: `name`, `name,required` or `name=x,required=true`. Throws PartError. */
export function parseDevice(text: string, range: Range): DeviceRequest {
  let name = '';
  let required = false;
  for (const field of fieldsOf(text, 'devices', range)) {
    const [key, value] = cut(field);
    if (key === 'required') required = value === undefined ? true : parseBool(key, value);
    else if (key === 'name' && value !== undefined) {
      if (name !== '') throw new PartError(`device name already set to ${name}`, range);
      name = value;
    } else if (name === '') name = field;
    else if (value === undefined) throw new PartError(`invalid field '${field}' must be a key=value pair`, range);
    else throw new PartError(`unexpected key '${key}' in '${field}'${didYouMean(key, ['name', 'required'])}`, range);
  }
  return { name, required };
}

function fieldsOf(text: string, what: string, range: Range): string[] {
  try {
    return splitCsv(text);
  } catch (err) {
    throw new PartError(`failed to parse csv ${what}: ${err instanceof Error ? err.message : String(err)}`, range);
  }
}

function cut(field: string): [string, string | undefined] {
  const at = field.indexOf('=');
  return at < 0 ? [field.toLowerCase(), undefined] : [field.slice(0, at).toLowerCase(), field.slice(at + 1)];
}

function oneOf<T extends string>(options: readonly T[], value: string, what: string): T {
  const found = options.find(option => option === value.toLowerCase());
  if (found === undefined) throw new PartError(`unsupported ${what} ${quote(value)}${didYouMean(value, options)}`);
  return found;
}

function forAgents(settings: Settings, key: string, value: () => boolean): boolean {
  if (settings.type !== 'secret' && settings.type !== 'ssh') throw unexpectedKey(key, settings.type);
  return value();
}

const unexpectedKey = (key: string, type: string): PartError => new PartError(`unexpected key '${key}' for mount type '${type}'`);

const truths: Readonly<Record<string, boolean>> = {
  '1': true,
  t: true,
  T: true,
  TRUE: true,
  true: true,
  True: true,
  '0': false,
  f: false,
  F: false,
  FALSE: false,
  false: false,
  False: false,
};

function parseBool(key: string, value: string): boolean {
  const parsed = Object.hasOwn(truths, value) ? truths[value] : undefined;
  if (parsed === undefined) throw new PartError(`invalid value for ${key}: ${value}`);
  return parsed;
}

function parseSize(key: string, value: string): number {
  try {
    return parseBytes(value);
  } catch {
    throw new PartError(`invalid value for ${key}: ${value}`);
  }
}

function parseNumber(value: string, base: number, digits: RegExp, key: string): number {
  const number = digits.test(value) ? Number.parseInt(value, base) : Number.NaN;
  if (!(number <= 0xffff_ffff)) throw new PartError(`invalid value ${value} for ${key}`);
  return number;
}
