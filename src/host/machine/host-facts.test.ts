import { expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { devicesUnder, readHostFacts } from './host-facts.ts';

test('only capabilities of the own bounding set are offered', () => {
  const bounding = BigInt(`0x${/CapBnd:\s*([0-9a-f]+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`);
  const bits = bounding.toString(2).replaceAll('0', '').length;
  expect(readHostFacts({ version: 2 }).capabilities).toHaveLength(bits);
});

test('a device is described by its numbers, a missing one rejects with ENOENT', () => {
  expect(devicesUnder('/dev/null')).toMatchObject([{ path: '/dev/null', type: 'c', major: 1, minor: 3, fileMode: 0o666 }]);
  expect(() => devicesUnder('/dev/no-such-device')).toThrow('ENOENT');
});

test('a link to a device, or to a directory of devices, is followed at the top and keeps its own name', () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-devices-'));
  try {
    symlinkSync('/dev/null', join(folder, 'nothing'));
    expect(devicesUnder(join(folder, 'nothing'))).toMatchObject([{ path: join(folder, 'nothing'), type: 'c', major: 1, minor: 3 }]);
    symlinkSync('/dev', join(folder, 'all'));
    const below = devicesUnder(join(folder, 'all'));
    expect(below).toContainEqual(expect.objectContaining({ path: join(folder, 'all/zero'), major: 1, minor: 5 }));
    symlinkSync(join(folder, 'missing'), join(folder, 'broken'));
    expect(() => devicesUnder(join(folder, 'broken'))).toThrow('ENOENT');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
