import { expect, test } from 'bun:test';
import { checkLogOptions, logLimits } from './log-limits.ts';

const limits = (config: Readonly<Record<string, string>>, type = 'json-file') => logLimits({ type, config });
const check =
  (config: Readonly<Record<string, string>>, type = 'json-file') =>
  (): void =>
    checkLogOptions({ type, config });

test('sizes are decimal; nothing said keeps everything, but not for the driver local', () => {
  expect(limits({})).toEqual({ maxBytes: undefined, files: 1 });
  expect(limits({ 'max-size': '10m', 'max-file': '3' })).toEqual({ maxBytes: 10_000_000, files: 3 });
  expect(limits({ 'max-size': '1.5kb' }).maxBytes).toBe(1500);
  expect(limits({ 'max-size': '2G' }).maxBytes).toBe(2_000_000_000);
  expect(limits({}, 'local')).toEqual({ maxBytes: 20_000_000, files: 5 });
});

test('refusals', () => {
  expect(check({ 'max-size': 'x' })).toThrow("invalid size: 'x'");
  expect(check({ 'max-size': '0' })).toThrow('max-size must be a positive number');
  expect(check({ 'max-size': '-1' })).toThrow('max-size must be a positive number');
  expect(check({ 'max-file': '0' })).toThrow('max-file cannot be less than 1');
  expect(check({ 'max-file': 'x' })).toThrow('invalid log opt max-file "x"');
  expect(check({ compress: 'true' })).toThrow('compress cannot be true when max-file is less than 2 or max-size is not set');
  expect(check({ compress: 'maybe' })).toThrow('invalid log opt compress "maybe"');
  expect(check({ labels: 'a' }, 'local')).toThrow("unknown log opt 'labels' for local log driver");
  expect(check({ labels: 'a', env: 'b', tag: 'c', 'env-regex': 'd', 'labels-regex': 'e' })).not.toThrow();
  expect(check({ anything: 'goes' }, 'none')).not.toThrow();
});
