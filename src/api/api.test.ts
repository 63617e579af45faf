import { expect, test } from 'bun:test';
import { formatFilters, parseFilters } from './filters.ts';
import { JsonLines } from './json-stream.ts';
import { Query, parseBool, parseMoment } from './query.ts';
import { FrameReader, frame } from './stream-framing.ts';
import { compareVersions, isBefore, requireServed } from './versions.ts';

test('versions compare by their numbers, not by their letters', () => {
  expect(isBefore('1.9', '1.24')).toBeTrue();
  expect(isBefore('1.100', '1.24')).toBeFalse();
  expect(compareVersions('1.44', '1.44')).toBe(0);
});

test('a version outside the range is refused in the words clients know', () => {
  expect(() => requireServed('1.99')).toThrow('client version 1.99 is too new. Maximum supported API version is 1.51');
  expect(() => requireServed('1.10')).toThrow(
    'client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version',
  );
  expect(() => requireServed('1.2.3')).toThrow('invalid API version "1.2.3"');
});

test('filters come as a map or as a list', () => {
  const expected = new Map([['label', ['a=b', 'c']]]);
  expect(parseFilters('{"label":{"a=b":true,"c":true}}', ['label'])).toEqual(expected);
  expect(parseFilters('{"label":["a=b","c"]}', ['label'])).toEqual(expected);
  expect(parseFilters('', ['label']).size).toBe(0);
  expect(parseFilters(formatFilters(expected), ['label'])).toEqual(expected);
});

test.each([
  ['{"labl":["a"]}', "invalid filter 'labl'"],
  ['nonsense', 'invalid filter: "nonsense" is not JSON'],
  ['["a"]', 'is not a JSON object'],
  ['{"label":"a"}', 'the values of "label"'],
])('filters %s are refused', (text, message) => {
  expect(() => parseFilters(text, ['label'])).toThrow(message);
});

test('every word but a few means true', () => {
  expect(['', '0', 'no', 'False', ' none '].map(parseBool)).toEqual([false, false, false, false, false]);
  expect(['1', 'true', 'foo', 'on'].map(parseBool)).toEqual([true, true, true, true]);
});

test('numbers of a query are whole numbers', () => {
  const query = new Query('t=-1&h=24&w=x&empty=&limit=1.5');
  expect(query.integer('t')).toBe(-1);
  expect(query.integer('empty')).toBeUndefined();
  expect(query.size('h')).toBe(24);
  expect(() => query.size('w')).toThrow('invalid resize parameter w="x"');
  expect(() => query.size('absent')).toThrow('invalid resize parameter absent=""');
  expect(() => query.integer('limit')).toThrow('strconv.Atoi: parsing "1.5": invalid syntax');
});

test('moments keep their nanoseconds', () => {
  expect(parseMoment('1700000000.000000001')).toBe(1_700_000_000_000_000_001n);
  expect(parseMoment('1700000000.5')).toBe(1_700_000_000_500_000_000n);
  expect(parseMoment('soon')).toBeUndefined();
});

test('a framed stream is read whatever its pieces are', () => {
  const stream = Buffer.concat([
    frame('stdout', Buffer.from('hello')),
    frame('stderr', Buffer.from('')),
    frame('stderr', Buffer.from('oops')),
  ]);
  for (const size of [1, 3, 7, 100]) {
    const got = { stdin: '', stdout: '', stderr: '', systemerr: '' };
    const reader = new FrameReader((type, payload) => {
      got[type] += Buffer.from(payload).toString();
    });
    for (let at = 0; at < stream.length; at += size) reader.push(stream.subarray(at, at + size));
    expect(got).toEqual({ stdin: '', stdout: 'hello', stderr: 'oops', systemerr: '' });
    expect(reader.atBoundary).toBeTrue();
  }
  expect(() => new FrameReader(() => undefined).push(Buffer.from('HTTP/1.1 500'))).toThrow('unrecognized stream type');
});

test('objects of a stream are read across pieces and line endings', () => {
  const values: unknown[] = [];
  const lines = new JsonLines(value => values.push(value));
  for (const piece of ['{"a":', '"é', '"}\r\n{"b":2}\n{"c"', ':3}']) lines.push(Buffer.from(piece));
  lines.end();
  expect(values).toEqual([{ a: 'é' }, { b: 2 }, { c: 3 }]);
});
