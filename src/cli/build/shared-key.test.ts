import { expect, test } from 'bun:test';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sharedKeyOf } from './shared-key.ts';

test('a directory is known again, by machine and path; what is fetched is not', () => {
  const [one, other] = [mkdtempSync(join(tmpdir(), 'berth-key-')), mkdtempSync(join(tmpdir(), 'berth-key-'))];
  try {
    const key = (config: string, root: string): string => sharedKeyOf(config, { root, isFetched: false });
    expect(key(one, '/app')).toBe(key(one, '/app'));
    expect(new Set([key(one, '/app'), key(one, '/other'), key(other, '/app')]).size).toBe(3);
    expect((statSync(join(one, 'buildx/.buildNodeID')).mode & 0o777).toString(8)).toBe('600');
    expect(sharedKeyOf(one, { root: '/app', isFetched: true })).toBe('');
    expect(sharedKeyOf(one, { root: undefined, isFetched: false })).toBe('');
    expect(key('/proc/none', '/app')).toBe(key('/proc/none', '/app'));
  } finally {
    for (const folder of [one, other]) rmSync(folder, { recursive: true });
  }
});
