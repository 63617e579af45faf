import { invalidArgument, messageOf } from '#base/errors.ts';
import type { LogConfig } from '#core/logs.ts';
import { attributeOptions, parsePattern } from './attributes.ts';
import { fluentd } from './drivers/fluentd.ts';
import { gelf } from './drivers/gelf.ts';
import { journald } from './drivers/journald.ts';
import type { LogDriver } from './drivers/driver.ts';
import { syslog } from './drivers/syslog.ts';
import { jsonFileLimits, localLimits } from './file-limits.ts';
import { parseBinarySize, parseBoolean } from './options.ts';

/** Drivers that pass lines on, by name. */
export const receiverDrivers: ReadonlyMap<string, LogDriver> = new Map(
  [fluentd, gelf, journald, syslog].map(driver => [driver.name, driver]),
);

/** In the order of their names; `none` keeps nothing and is not one. */
export const driverNames: readonly string[] = ['json-file', 'local', ...receiverDrivers.keys()].toSorted();

const fileOptions: readonly string[] = ['max-size', 'max-file', 'compress', ...attributeOptions];
/** Options of every driver, about how lines reach it. */
const deliveryOptions: readonly string[] = ['mode', 'max-buffer-size'];
const cachePrefix = 'cache-';
/** Options of every driver, about the local copy of those that cannot be read. */
const cacheOptions: readonly string[] = ['disabled', ...fileOptions].map(name => `${cachePrefix}${name}`);

export const isCacheOption = (name: string): boolean => cacheOptions.includes(name);

/** Rejects with InvalidArgument for a driver that does not exist, an option it does not have, or a value it cannot take. */
export function checkConfig({ type, config }: LogConfig): void {
  if (type === 'none') return;
  requireDriver(type);
  checkDelivery(config);
  checkCache(config);
  const own = Object.fromEntries(Object.entries(config).filter(([key]) => !deliveryOptions.includes(key) && !isCacheOption(key)));
  switch (type) {
    case 'json-file':
      refuseUnknown(own, key => `unknown log opt '${key}' for json-file log driver`);
      jsonFileLimits(own);
      break;
    case 'local':
      refuseUnknown(own, key => `unknown log opt '${key}' for log driver local`);
      localLimits(own);
      break;
    default:
      receiverDrivers.get(type)?.check(own);
  }
  for (const name of ['env-regex', 'labels-regex']) if (config[name] !== undefined) parsePattern(config[name]);
}

/** Rejects with InvalidArgument for a driver that does not exist. */
export function requireDriver(name: string): void {
  if (name === 'none' || driverNames.includes(name)) return;
  throw invalidArgument(`error looking up logging plugin ${name}: plugin ${JSON.stringify(name)} not found`);
}

function refuseUnknown(config: LogConfig['config'], message: (key: string) => string): void {
  for (const key of Object.keys(config)) if (!fileOptions.includes(key)) throw invalidArgument(message(key));
}

function checkDelivery(config: LogConfig['config']): void {
  const { mode = '', 'max-buffer-size': size } = config;
  if (!['', 'blocking', 'non-blocking'].includes(mode)) throw invalidArgument(`logger: logging mode not supported: ${mode}`);
  if (size === undefined) return;
  if (mode !== 'non-blocking') throw invalidArgument("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  try {
    parseBinarySize(size);
  } catch (err) {
    throw invalidArgument(`error parsing option max-buffer-size: ${messageOf(err)}`, { cause: err });
  }
}

function checkCache(config: LogConfig['config']): void {
  const disabled = config['cache-disabled'] ?? '';
  if (disabled !== '' && parseBoolean(disabled) === undefined)
    throw invalidArgument(`invalid value for option cache-disabled: ${disabled}`);
  localLimits(config, cachePrefix);
}

/** Whether a driver that passes lines on keeps a copy that can be read. */
export const keepsCopy = ({ config }: LogConfig): boolean => parseBoolean(config['cache-disabled'] ?? '') !== true;

export const copyLimits = ({ config }: LogConfig): ReturnType<typeof localLimits> => localLimits(config, cachePrefix);

export const isReadable = (config: LogConfig): boolean =>
  config.type !== 'none' && (!receiverDrivers.has(config.type) || keepsCopy(config));
