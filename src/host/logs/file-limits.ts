import { invalidArgument, messageOf } from '#base/errors.ts';
import { parseBoolean, parseDecimalSize, requireBoolean, requireInteger } from './options.ts';

/** How much of a container's output is kept, and how. */
export interface FileLimits {
  /** Of one file; undefined: no limit. */
  readonly maxBytes: number | undefined;
  /** Files kept, the one being written included. */
  readonly files: number;
  readonly compress: boolean;
}

type Config = Readonly<Record<string, string>>;

const defaultMaxBytes = 20_000_000;
const defaultFiles = 5;
/** What Docker's documents call its own default. */
const unlimited = '-1';

/** Limits of the driver `json-file`: without a word of the user it keeps what `local` keeps. Rejects with InvalidArgument. */
export function jsonFileLimits(config: Config): FileLimits {
  const { 'max-size': size, 'max-file': count, compress } = config;
  const maxBytes = size === undefined ? defaultMaxBytes : size === unlimited ? undefined : parseDecimalSize(size);
  if (maxBytes !== undefined && maxBytes <= 0) throw invalidArgument('max-size must be a positive number');
  const files = count === undefined ? (size === undefined ? defaultFiles : 1) : requireInteger(count);
  if (files < 1) throw invalidArgument('max-file cannot be less than 1');
  const isCompressed = compress !== undefined && requireBoolean(compress);
  if (isCompressed && (files === 1 || maxBytes === undefined)) {
    throw invalidArgument('compress cannot be true when max-file is less than 2 or max-size is not set');
  }
  return { maxBytes, files, compress: isCompressed };
}

/** Limits of the driver `local` and, with a prefix, of the local copy that other drivers keep. Rejects with InvalidArgument. */
export function localLimits(config: Config, prefix = ''): FileLimits {
  const { [`${prefix}max-size`]: size, [`${prefix}max-file`]: count, [`${prefix}compress`]: compress } = config;
  const maxBytes = size === undefined ? defaultMaxBytes : sizeOption(size);
  const files = count === undefined ? defaultFiles : fileOption(count);
  const isCompressed = compress === undefined ? true : parseBoolean(compress);
  if (isCompressed === undefined)
    throw invalidArgument(`invalid boolean value for compress: strconv.ParseBool: parsing ${JSON.stringify(compress)}: invalid syntax`);
  if (files < 0) throw invalidArgument('max-file must not be negative');
  // Docker refuses the default together with a single file as well.
  if (isCompressed && files <= 1) throw invalidArgument('compression cannot be enabled when max file count is 1');
  return { maxBytes, files: Math.max(files, 1), compress: isCompressed };
}

function sizeOption(text: string): number {
  try {
    return parseDecimalSize(text);
  } catch (err) {
    throw invalidArgument(`invalid value for max-size: ${text}: ${messageOf(err)}`, { cause: err });
  }
}

function fileOption(text: string): number {
  try {
    return requireInteger(text);
  } catch (err) {
    throw invalidArgument(`invalid value for max-file: ${text}: ${messageOf(err)}`, { cause: err });
  }
}
