import type { DeviceMapping, DeviceRequest, ThrottleDevice, Ulimit, WeightDevice } from '#api/types/container.ts';
import { splitCsv } from '#base/csv.ts';
import { parseBytes } from '#base/size.ts';
import { cut, parseInteger } from '../flags/flag.ts';

const isDeviceMode = (text: string): boolean => /^[rwm]{1,3}$/.test(text) && new Set(text).size === text.length;

/** `vendor.com/class=name`: a device that the container device interface describes. */
export const isCdiDevice = (text: string): boolean => /^[A-Za-z][\w.-]*\/[A-Za-z][\w-]*=[A-Za-z0-9][\w.:-]*$/.test(text);

/** `/dev/host[:/dev/container][:rwm]`. */
export function parseDevice(text: string): DeviceMapping {
  const parts = text.split(':');
  const [source = '', second, third] = parts;
  if (parts.length > 3 || source === '') throw new Error(`bad format for path: ${text}`);
  const target = second === undefined || (third === undefined && isDeviceMode(second)) ? source : second;
  const mode = third ?? (second !== undefined && isDeviceMode(second) ? second : 'rwm');
  if (!isDeviceMode(mode)) throw new Error(`bad mode specified: ${mode}`);
  if (!target.startsWith('/')) throw new Error(`${target} is not an absolute path`);
  return { PathOnHost: source, PathInContainer: target, CgroupPermissions: mode };
}

export function checkCgroupRule(text: string): string {
  if (!/^[acb] (?:\d+|\*):(?:\d+|\*) [rwm]{1,3}$/.test(text)) throw new Error(`invalid device cgroup format '${text}'`);
  return text;
}

/** Reads one `--gpus`: `all`, a number, or `key=value` fields. */
export function parseGpus(text: string): DeviceRequest {
  const request: DeviceRequest = { Driver: '', Count: 0, DeviceIDs: null, Capabilities: [], Options: {} };
  const seen = new Set<string>();
  for (const field of splitCsv(text)) {
    const [name, given] = cut(field);
    const key = given === undefined ? 'count' : name;
    const value = given ?? name;
    if (seen.has(key)) throw new Error(`gpu request key '${key}' can be specified only once`);
    seen.add(key);
    switch (key) {
      case 'driver':
        request.Driver = value;
        break;
      case 'count':
        request.Count = value === 'all' ? -1 : countOf(value);
        break;
      case 'device':
        request.DeviceIDs = value.split(',');
        break;
      case 'capabilities':
        request.Capabilities = [[...value.split(','), 'gpu']];
        break;
      case 'options':
        request.Options = Object.fromEntries(splitCsv(value).map(pair => [cut(pair)[0], cut(pair)[1] ?? '']));
        break;
      default:
        throw new Error(`unexpected key '${key}' in '${field}'`);
    }
  }
  if (!seen.has('count') && request.DeviceIDs === null) request.Count = 1;
  if (request.Capabilities?.length === 0) request.Capabilities = [['gpu']];
  return request;
}

function countOf(value: string): number {
  try {
    return parseInteger(value, 'Atoi', -(2n ** 63n), 2n ** 63n - 1n);
  } catch (err) {
    throw new Error(`invalid count (${value}): value must be either "all" or an integer`, { cause: err });
  }
}

const ulimitNames = [
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
];

/** `name=soft[:hard]`. */
export function parseUlimit(text: string): Ulimit {
  const [name, limits] = cut(text);
  if (limits === undefined) throw new Error(`invalid ulimit argument: ${text}`);
  if (!ulimitNames.includes(name)) throw new Error(`invalid ulimit type: ${name}`);
  const parts = limits.split(':');
  if (parts.length > 2) throw new Error(`too many limit value arguments - ${limits}, can only have up to two, \`soft[:hard]\``);
  const [soft = 0, hard = soft] = parts.map(part => parseInteger(part, 'ParseInt', -(2n ** 63n), 2n ** 63n - 1n));
  if (hard !== -1 && (soft === -1 || soft > hard)) {
    const shown = soft === -1 ? 'soft: -1 (unlimited), hard:' : `${soft} >`;
    throw new Error(`ulimit soft limit must be less than or equal to hard limit: ${shown} ${hard}`);
  }
  return { Name: name, Soft: soft, Hard: hard };
}

function splitDevice(text: string): [string, string] {
  const [path, value] = cut(text, ':');
  if (value === undefined || path === '') throw new Error(`bad format: ${text}`);
  if (!path.startsWith('/dev/')) throw new Error(`bad format for device path: ${text}`);
  return [path, value];
}

export function parseWeightDevice(text: string): WeightDevice {
  const [Path, value] = splitDevice(text);
  const weight = /^\d{1,5}$/.test(value) ? Number(value) : -1;
  if (weight !== 0 && (weight < 10 || weight > 1000)) throw new Error(`invalid weight for device: ${text}`);
  return { Path, Weight: weight };
}

export function parseThrottleBytes(text: string): ThrottleDevice {
  const [Path, value] = splitDevice(text);
  try {
    return { Path, Rate: parseBytes(value) };
  } catch (err) {
    const hint =
      'The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb';
    throw new Error(`invalid rate for device: ${text}. ${hint}`, { cause: err });
  }
}

export function parseThrottleIops(text: string): ThrottleDevice {
  const [Path, value] = splitDevice(text);
  if (!/^\d+$/.test(value)) {
    throw new Error(`invalid rate for device: ${text}. The correct format is <device-path>:<number>. Number must be a positive integer`);
  }
  return { Path, Rate: Number(value) };
}
