import { expect, test } from 'bun:test';
import { bool, csvList, filter, int, list, map, text } from './flag.ts';
import { parseFlags } from './parse.ts';
import { formatDuration, parseDuration } from '#base/duration.ts';
import { parseBytes } from '#base/size.ts';
import { cpus } from './units.ts';

const spec = {
  all: bool('', { short: 'a' }),
  detach: bool('', { short: 'd' }),
  env: list('', { short: 'e' }),
  names: csvList(''),
  label: map('', { short: 'l' }),
  last: int('', { short: 'n', default: -1 }),
  name: text(''),
  filter: filter('', { short: 'f' }),
  time: int('', { deprecated: 'use --last instead' }),
};

test('parseFlags() reads long, short, joined and repeated flags among words', () => {
  const parsed = parseFlags(spec, [
    '-ad',
    'x',
    '-n5',
    '--name=n',
    '-e',
    'A=1',
    '-eB=2',
    '--names',
    'a,"b,c"',
    '-l',
    'k=v=w',
    'y',
    '-f',
    'status=up',
    '-f=status=down',
  ]);
  expect(parsed.flags).toEqual({
    all: true,
    detach: true,
    env: ['A=1', 'B=2'],
    names: ['a', 'b,c'],
    label: { k: 'v=w' },
    last: 5,
    name: 'n',
    filter: { status: ['up', 'down'] },
    time: 0,
  });
  expect(parsed.args).toEqual(['x', 'y']);
  expect([...parsed.changed].toSorted()).toEqual(['all', 'detach', 'env', 'filter', 'label', 'last', 'name', 'names']);
});

test('parseFlags() stops at the first word for commands that carry a command', () => {
  expect(parseFlags(spec, ['-a', 'image', '-d', '--', 'x'], { interspersed: false })).toMatchObject({ args: ['image', '-d', '--', 'x'] });
});

test('parseFlags() takes everything after -- as words, and a single dash as one', () => {
  expect(parseFlags(spec, ['-', '--', '-a'])).toMatchObject({ args: ['-', '-a'], flags: { all: false } });
});

const failures: readonly (readonly [readonly string[], string])[] = [
  [['--foo'], 'unknown flag: --foo'],
  [['-ax'], "unknown shorthand flag: 'x' in -x"],
  [['--name'], 'flag needs an argument: --name'],
  [['-n'], "flag needs an argument: 'n' in -n"],
  [['--last=x'], 'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax'],
  [['--all=maybe'], 'invalid argument "maybe" for "-a, --all" flag: strconv.ParseBool: parsing "maybe": invalid syntax'],
  [['--=x'], 'bad flag syntax: --=x'],
  [['-f', 'status'], 'invalid argument "status" for "-f, --filter" flag: bad format of filter (expected name=value)'],
];
test.each(failures)('parseFlags(%p) says what is wrong', (argv, message) => {
  expect(() => parseFlags(spec, argv)).toThrow(message);
});

test('parseFlags() takes --help anywhere, -h with a word about it, and tells of deprecated flags', () => {
  expect(parseFlags(spec, ['-a', '--help', '--foo']).help).toBe(true);
  expect(parseFlags(spec, ['-h']).notices).toEqual(['Flag shorthand -h has been deprecated, use --help']);
  expect(parseFlags(spec, ['--time', '3']).notices).toEqual(['Flag --time has been deprecated, use --last instead']);
});

test('sizes are powers of 1024, whatever the letters', () => {
  expect(['512', '1k', '1.5KiB', '2mb', '3G'].map(parseBytes)).toEqual([512, 1024, 1536, 2 * 2 ** 20, 3 * 2 ** 30]);
  expect(() => parseBytes('x')).toThrow("invalid size: 'x'");
});

test('durations are read and written as Go does', () => {
  expect(['1h30m', '1.5s', '-2ms', '0', '300us'].map(parseDuration)).toEqual([
    5_400_000_000_000n,
    1_500_000_000n,
    -2_000_000n,
    0n,
    300_000n,
  ]);
  expect([5_400_000_000_000n, 1_500_000_000n, 0n, 300_000n, 61_000_000_000n].map(formatDuration)).toEqual([
    '1h30m0s',
    '1.5s',
    '0s',
    '300µs',
    '1m1s',
  ]);
  expect(() => parseDuration('3')).toThrow('time: missing unit in duration "3"');
});

test('--cpus is exact to a billionth', () => {
  const flags = { cpus: cpus('') };
  expect(parseFlags(flags, ['--cpus', '1.5']).flags.cpus).toBe(1_500_000_000);
  expect(() => parseFlags(flags, ['--cpus=0.1234567891'])).toThrow('value is too precise');
});
