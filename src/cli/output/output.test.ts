import { expect, test } from 'bun:test';
import { formatPorts } from './ports.ts';
import { alignColumns } from './tab-writer.ts';
import { ellipsis, goTimeOf, quoteGo } from './text.ts';
import { binarySize, humanDuration, humanSize } from './units.ts';

test('alignColumns() makes columns as wide as their widest cell and the padding', () => {
  expect(alignColumns('ID\tNAME\tX\na-long-identifier\tb\tc\n')).toBe('ID                  NAME      X\na-long-identifier   b         c\n');
});

test('alignColumns() ends a column where a line has no cell for it', () => {
  expect(alignColumns('aaaaaaaaaaaa\tb\n\nc\td\n')).toBe('aaaaaaaaaaaa   b\n\nc         d\n');
});

test('sizes have as many digits as people want', () => {
  expect([0, 999, 1000, 1_983_000, 1_234_567_890].map(size => humanSize(size, 3))).toEqual(['0B', '999B', '1kB', '1.98MB', '1.23GB']);
  expect(binarySize(25_275_000_000)).toBe('23.54GiB');
});

test('durations are in words', () => {
  const second = 1000;
  const hour = 3600 * second;
  expect(
    [0, second, 59 * second, 60 * second, 30 * 60 * second, hour, 5 * hour, 72 * hour, 24 * 20 * hour, 24 * 90 * hour, 24 * 800 * hour].map(
      humanDuration,
    ),
  ).toEqual([
    'Less than a second',
    '1 second',
    '59 seconds',
    'About a minute',
    '30 minutes',
    'About an hour',
    '5 hours',
    '3 days',
    '2 weeks',
    '3 months',
    '2 years',
  ]);
});

test('formatPorts() joins neighbours that are published as they are', () => {
  const port = (PrivatePort: number, PublicPort?: number, IP?: string, Type = 'tcp') => ({
    PrivatePort,
    Type,
    ...(PublicPort === undefined ? {} : { PublicPort }),
    ...(IP === undefined ? {} : { IP }),
  });
  expect(formatPorts([port(80, 8080, '0.0.0.0'), port(80, 8080, '::')])).toBe('0.0.0.0:8080->80/tcp, [::]:8080->80/tcp');
  expect(formatPorts([port(81), port(80), port(82), port(90)])).toBe('80-82/tcp, 90/tcp');
  expect(formatPorts([port(53, 53, '0.0.0.0', 'udp'), port(54, 54, '0.0.0.0', 'udp')])).toBe('0.0.0.0:53-54->53-54/udp');
});

test('texts are cut, quoted and dated as Go does', () => {
  expect(ellipsis('abcdef', 4)).toBe('abc…');
  expect(quoteGo('a "b"\n\u0001')).toBe('"a \\"b\\"\\n\\x01"');
  expect(goTimeOf('2026-11-21T02:42:09.068900000Z')).toBe('2026-11-21 02:42:09.0689 +0000 UTC');
});
