import { expect, test } from 'bun:test';
import { parseTimestamp } from './timestamp.ts';

test('seconds since 1970', () => {
  expect(parseTimestamp('1700000000', 0)).toBe(1_700_000_000_000);
  expect(parseTimestamp('1700000000.5', 0)).toBe(1_700_000_000_500);
});

test('how long ago', () => {
  expect(parseTimestamp('1h30m', 10_000_000)).toBe(10_000_000 - 5_400_000);
  expect(parseTimestamp('1.5s', 10_000)).toBe(8_500);
});

test('RFC 3339 and parts of it, which mean local time', () => {
  expect(parseTimestamp('2026-01-02T03:04:05Z', 0)).toBe(Date.UTC(2026, 0, 2, 3, 4, 5));
  expect(parseTimestamp('2026-01-02T03:04:05.25+01:00', 0)).toBe(Date.UTC(2026, 0, 2, 2, 4, 5, 250));
  expect(parseTimestamp('2026-01-02T03', 0)).toBe(new Date(2026, 0, 2, 3).getTime());
  expect(parseTimestamp('2026-01-02', 0)).toBe(new Date(2026, 0, 2).getTime());
});

test('anything else is refused', () => {
  for (const text of ['yesterday', '', '1d', '2026-13-01', '2026-01-02T', '10 h'])
    expect(() => parseTimestamp(text, 0)).toThrow(`invalid time "${text}"`);
});
