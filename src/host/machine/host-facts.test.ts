import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { devicesUnder, readHostFacts } from './host-facts.ts';

test('only capabilities of the own bounding set are offered', () => {
  const bounding = BigInt(`0x${/CapBnd:\s*([0-9a-f]+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`);
  const bits = bounding.toString(2).replaceAll('0', '').length;
  expect(readHostFacts({ version: 2, swapLimit: true }).capabilities).toHaveLength(bits);
});

test('a device is described by its numbers, a missing one rejects with ENOENT', () => {
  expect(devicesUnder('/dev/null')).toMatchObject([{ path: '/dev/null', type: 'c', major: 1, minor: 3, fileMode: 0o666 }]);
  expect(() => devicesUnder('/dev/no-such-device')).toThrow('ENOENT');
});
