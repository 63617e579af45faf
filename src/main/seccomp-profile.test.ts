import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'bun:test';
import { readSeccompSetting } from './seccomp-profile.ts';

test('words stand for themselves', () => {
  expect(readSeccompSetting('')).toBe('builtin');
  expect(readSeccompSetting('builtin')).toBe('builtin');
  expect(readSeccompSetting('unconfined')).toBe('unconfined');
});

test('anything else is a file, read and checked at once', () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-seccomp-'));
  try {
    const file = join(folder, 'profile.json');
    expect(() => readSeccompSetting(file)).toThrow(`opening seccomp profile (${file}) failed: ENOENT`);
    writeFileSync(file, '{');
    expect(() => readSeccompSetting(file)).toThrow('Decoding seccomp profile failed');
    writeFileSync(file, '{"defaultAction":"SCMP_ACT_ALLOW"}');
    expect(readSeccompSetting(file)).toBe('{"defaultAction":"SCMP_ACT_ALLOW"}');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
