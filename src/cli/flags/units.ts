import { formatDuration, parseDuration } from '#base/duration.ts';
import { parseBytes } from '#base/size.ts';
import { flagOf, type Flag, type FlagOptions, type ValueType } from './flag.ts';

const bytesType: ValueType<number> = { hint: 'bytes', initial: 0, parse: parseBytes };
/** -1 is a value of its own. */
const swapType: ValueType<number> = { hint: 'bytes', initial: 0, parse: text => (text === '-1' ? -1 : parseBytes(text)) };
const durationType: ValueType<number> = {
  hint: 'duration',
  initial: 0,
  parse: text => Number(parseDuration(text)),
  showDefault: value => (value === 0 ? '' : formatDuration(BigInt(value))),
};

/** A number of processors, `1.5`, in billionths. */
function parseCpus(text: string): number {
  const invalid = (): never => {
    throw new Error(`failed to parse ${text} as a rational number`);
  };
  const parts = /^[+]?(\d*)(?:\.(\d*))?$/.exec(text) ?? invalid();
  const fraction = (parts[2] ?? '').replace(/0+$/, '');
  if ((parts[1] ?? '') === '' && (parts[2] ?? '') === '') invalid();
  if (fraction.length > 9) throw new Error('value is too precise');
  return Number(parts[1] === '' ? 0 : parts[1]) * 1e9 + Number(fraction.padEnd(9, '0'));
}

const cpusType: ValueType<number> = { hint: 'decimal', initial: 0, parse: parseCpus };

export const bytes = (usage: string, options: FlagOptions<number> = {}): Flag<number> => flagOf(bytesType, usage, options);
export const swapBytes = (usage: string, options: FlagOptions<number> = {}): Flag<number> => flagOf(swapType, usage, options);
export const duration = (usage: string, options: FlagOptions<number> = {}): Flag<number> => flagOf(durationType, usage, options);
export const cpus = (usage: string, options: FlagOptions<number> = {}): Flag<number> => flagOf(cpusType, usage, options);
