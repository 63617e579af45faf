import { invalidArgument } from '#base/errors.ts';
import type { HostConfig } from './model.ts';

/** How much of a container's output is kept. */
export interface LogLimits {
  /** Undefined: everything. */
  readonly maxBytes: number | undefined;
  /** Files kept, the one being written included. */
  readonly files: number;
}

type LogConfig = HostConfig['logConfig'];

const common = ['max-size', 'max-file', 'compress'];
const known: Readonly<Record<string, readonly string[]>> = {
  'json-file': [...common, 'labels', 'labels-regex', 'env', 'env-regex', 'tag'],
  local: common,
};
/** What the driver `local` does when nothing is said; `json-file` keeps everything. */
const localMaxBytes = 20_000_000;
const localFiles = 5;

/** Rejects with InvalidArgument for an option that the driver does not have, or a value that it cannot take. */
export function checkLogOptions(config: LogConfig): void {
  const options = known[config.type];
  if (options === undefined) return;
  for (const key of Object.keys(config.config)) {
    if (!options.includes(key)) throw invalidArgument(`unknown log opt '${key}' for ${config.type} log driver`);
  }
  const { maxBytes, files } = logLimits(config);
  const { compress } = config.config;
  if (compress !== undefined && !/^(true|false|1|0|t|f)$/i.test(compress)) {
    throw invalidArgument(`invalid log opt compress "${compress}": it must be true or false`);
  }
  if (config.type === 'json-file' && /^(true|1|t)$/i.test(compress ?? '') && (maxBytes === undefined || files < 2)) {
    throw invalidArgument('compress cannot be true when max-file is less than 2 or max-size is not set');
  }
}

/** Reads `max-size` and `max-file`. Rejects with InvalidArgument. */
export function logLimits({ type, config }: LogConfig): LogLimits {
  const isLocal = type === 'local';
  const { 'max-size': size, 'max-file': count } = config;
  const files = count === undefined ? (isLocal ? localFiles : 1) : Number(count);
  if (!Number.isInteger(files)) throw invalidArgument(`invalid log opt max-file "${count ?? ''}": it must be a number of files`);
  if (files < 1) throw invalidArgument('max-file cannot be less than 1');
  return { maxBytes: size === undefined ? (isLocal ? localMaxBytes : undefined) : parseSize(size), files };
}

const units = ['', 'k', 'm', 'g', 't', 'p'];

/** `10m` and `10mb` are ten million bytes. */
function parseSize(text: string): number {
  if (text === '-1') throw invalidArgument('max-size must be a positive number');
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(i?b)?$/i.exec(text);
  if (match?.[1] === undefined) throw invalidArgument(`invalid size: '${text}'`);
  const bytes = Math.floor(Number(match[1]) * 1000 ** units.indexOf((match[2] ?? '').toLowerCase()));
  if (bytes <= 0) throw invalidArgument('max-size must be a positive number');
  return bytes;
}
