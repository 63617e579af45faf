import { resolve } from 'node:path';
import type { Mount } from '#api/types/container.ts';
import { splitCsv } from '#base/csv.ts';
import { parseBytes } from '#base/size.ts';
import { boolType, cut } from '../flags/flag.ts';

/** Keys that mean something without a value. */
const switches = ['readonly', 'ro', 'volume-nocopy', 'bind-nonrecursive', 'bind-create-src'];

/** Reads one `--mount`: comma-separated `key=value`. */
export function parseMount(text: string): Mount {
  const fields = splitCsv(text);
  const mount: Mount = { Type: 'volume', Target: '' };
  if (fields.length === 0) throw new Error('value is empty');
  for (const field of fields) {
    const [rawKey, value] = cut(field);
    const key = rawKey.toLowerCase();
    if (value === undefined && !switches.includes(key)) throw new Error(`invalid field '${field}' must be a key=value pair`);
    if (key !== rawKey.trim().toLowerCase()) throw new Error(`invalid option '${rawKey}' in '${field}': option should not have whitespace`);
    setField(mount, key, value, field);
  }
  checkMount(mount);
  return mount;
}

const truth = (key: string, value: string | undefined): boolean => {
  if (value === undefined) return true;
  try {
    return boolType.parse(value, false, true);
  } catch (err) {
    throw new Error(`invalid value for ${key}: ${value}`, { cause: err });
  }
};

function setField(mount: Mount, key: string, given: string | undefined, field: string): void {
  const value = given ?? '';
  const bind = (): NonNullable<Mount['BindOptions']> => (mount.BindOptions ??= {});
  const volume = (): NonNullable<Mount['VolumeOptions']> => (mount.VolumeOptions ??= {});
  const driver = (): NonNullable<NonNullable<Mount['VolumeOptions']>['DriverConfig']> => (volume().DriverConfig ??= {});
  const tmpfs = (): NonNullable<Mount['TmpfsOptions']> => (mount.TmpfsOptions ??= {});
  switch (key) {
    case 'type':
      mount.Type = value.toLowerCase();
      return;
    case 'source':
    case 'src':
      mount.Source = value === '.' || value.startsWith('./') || value.startsWith('..') ? resolve(value) : value;
      return;
    case 'target':
    case 'dst':
    case 'destination':
      mount.Target = value;
      return;
    case 'readonly':
    case 'ro':
      mount.ReadOnly = truth(key, given);
      return;
    case 'consistency':
      mount.Consistency = value.toLowerCase();
      return;
    case 'bind-propagation':
      bind().Propagation = value.toLowerCase();
      return;
    case 'bind-nonrecursive':
      bind().NonRecursive = truth(key, given);
      return;
    case 'bind-recursive':
      setRecursive(mount, bind(), value);
      return;
    case 'bind-create-src':
      bind().CreateMountpoint = truth(key, given);
      return;
    case 'volume-subpath':
      volume().Subpath = value;
      return;
    case 'volume-nocopy':
      volume().NoCopy = truth(key, given);
      return;
    case 'volume-label':
      addPair((volume().Labels ??= {}), value);
      return;
    case 'volume-driver':
      driver().Name = value;
      return;
    case 'volume-opt':
      addPair((driver().Options ??= {}), value);
      return;
    case 'image-subpath':
      (mount.ImageOptions ??= {}).Subpath = value;
      return;
    case 'tmpfs-size':
      try {
        tmpfs().SizeBytes = parseBytes(value);
      } catch (err) {
        throw new Error(`invalid value for ${key}: ${value}`, { cause: err });
      }
      return;
    case 'tmpfs-mode':
      if (!/^[0-7]{1,11}$/.test(value)) throw new Error(`invalid value for ${key}: ${value}`);
      tmpfs().Mode = Number.parseInt(value, 8);
      return;
    default:
      throw new Error(`unexpected key '${key}' in '${field}'`);
  }
}

function setRecursive(mount: Mount, options: NonNullable<Mount['BindOptions']>, value: string): void {
  switch (value) {
    case 'enabled':
      return;
    case 'disabled':
      options.NonRecursive = true;
      return;
    case 'writable':
      options.ReadOnlyNonRecursive = true;
      return;
    case 'readonly':
      options.ReadOnlyForceRecursive = true;
      return;
    default:
      throw new Error(`invalid value for bind-recursive: ${value} (must be "enabled", "disabled", "writable", or "readonly")`);
  }
}

function addPair(into: Record<string, string>, pair: string): void {
  const [key, value] = cut(pair);
  if (value !== undefined) into[key] = value;
  else if (key !== '') into[key] = '';
}

function checkMount(mount: Mount): void {
  const { Type: type } = mount;
  if (type === '') throw new Error('type is required');
  if (mount.Target === '') throw new Error('target is required');
  if (mount.VolumeOptions !== undefined && type !== 'volume') throw new Error(`cannot mix 'volume-*' options with mount type '${type}'`);
  if (mount.BindOptions !== undefined && type !== 'bind') throw new Error(`cannot mix 'bind-*' options with mount type '${type}'`);
  if (mount.TmpfsOptions !== undefined && type !== 'tmpfs') throw new Error(`cannot mix 'tmpfs-*' options with mount type '${type}'`);
  if (mount.ImageOptions !== undefined && type !== 'image') throw new Error(`cannot mix 'image-*' options with mount type '${type}'`);
  const { BindOptions: bind } = mount;
  if (bind?.ReadOnlyNonRecursive === true && mount.ReadOnly !== true) {
    throw new Error("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction");
  }
  if (bind?.ReadOnlyForceRecursive !== true) return;
  if (mount.ReadOnly !== true) throw new Error("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction");
  if (bind.Propagation !== 'rprivate') {
    throw new Error("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction");
  }
}

export interface ParsedVolumes {
  /** For HostConfig.Binds. */
  readonly binds: string[];
  /** Paths inside, for anonymous volumes. */
  readonly anonymous: Record<string, object>;
}

/**
 * Reads every `-v`: `path`, `name:path[:mode]` or `/host/path:path[:mode]`. A host path that begins with a dot is relative to this directory. What
 * makes no sense is the daemon's to refuse.
 */
export function parseVolumes(specs: readonly string[]): ParsedVolumes {
  const parsed: ParsedVolumes = { binds: [], anonymous: {} };
  for (const spec of specs) {
    if (spec === '') throw new Error('invalid empty volume spec');
    const [source = '', ...rest] = spec.split(':');
    if (source === '' || rest.length === 0) parsed.anonymous[spec] = {};
    else parsed.binds.push([source.startsWith('.') ? resolve(source) : source, ...rest].join(':'));
  }
  return parsed;
}
