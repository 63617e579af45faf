import { flagOf, type Flag, type FlagOptions, type ValueType } from './flag.ts';

const binaryUnits: Readonly<Record<string, number>> = { '': 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 };

/** A size as people write it: `512m`, `1.5GiB`, `1024`. A unit is a power of 1024. */
export function parseBytes(text: string): number {
  const parts = /^(\d+(?:\.\d+)?) ?([kKmMgGtTpP]?)(?:[iI]?[bB])?$/.exec(text);
  const factor = binaryUnits[parts?.[2]?.toLowerCase() ?? ''];
  if (parts === null || factor === undefined) throw new Error(`invalid size: '${text}'`);
  return Math.floor(Number(parts[1]) * factor);
}

const nanosPerUnit: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** A duration as Go writes it, `1h30m` or `1.5s`, in nanoseconds. */
export function parseDuration(text: string): bigint {
  const fail = (): never => {
    throw new Error(`time: invalid duration ${JSON.stringify(text)}`);
  };
  const sign = text.startsWith('-') ? -1n : 1n;
  let rest = text.replace(/^[+-]/, '');
  if (rest === '0') return 0n;
  if (rest === '') fail();
  let total = 0n;
  while (rest !== '') {
    const part = /^(\d*)(?:\.(\d*))?([a-zµμ]*)/.exec(rest);
    const [whole = '', unit = ''] = [part?.[1], part?.[3]];
    const fraction = part?.[2] ?? '';
    if (part === null || (whole === '' && fraction === '')) fail();
    if (unit === '') throw new Error(`time: missing unit in duration ${JSON.stringify(text)}`);
    const scale = nanosPerUnit[unit];
    if (scale === undefined) throw new Error(`time: unknown unit ${JSON.stringify(unit)} in duration ${JSON.stringify(text)}`);
    total += BigInt(whole === '' ? '0' : whole) * scale;
    if (fraction !== '') total += (BigInt(fraction) * scale) / 10n ** BigInt(fraction.length);
    rest = rest.slice(part?.[0].length);
  }
  return sign * total;
}

/** A duration in nanoseconds as Go prints it: `1h30m0s`, `1.5s`, `0s`. */
export function formatDuration(nanos: bigint): string {
  const sign = nanos < 0n ? '-' : '';
  const value = nanos < 0n ? -nanos : nanos;
  if (value === 0n) return '0s';
  const decimal = (amount: bigint, unit: bigint): string => {
    const fraction = String(amount % unit)
      .padStart(String(unit).length - 1, '0')
      .replace(/0+$/, '');
    return `${amount / unit}${fraction === '' || unit === 1n ? '' : `.${fraction}`}`;
  };
  if (value < 1_000n) return `${sign}${value}ns`;
  if (value < 1_000_000n) return `${sign}${decimal(value, 1_000n)}µs`;
  if (value < 1_000_000_000n) return `${sign}${decimal(value, 1_000_000n)}ms`;
  const minutes = value / 60_000_000_000n;
  const seconds = `${decimal(value % 60_000_000_000n, 1_000_000_000n)}s`;
  if (minutes === 0n) return `${sign}${seconds}`;
  return minutes < 60n ? `${sign}${minutes}m${seconds}` : `${sign}${minutes / 60n}h${minutes % 60n}m${seconds}`;
}

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
