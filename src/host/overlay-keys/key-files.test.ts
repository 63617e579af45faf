import { chmodSync, renameSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { kindOf, messageOf } from '#base/errors.ts';
import { createKeyFiles } from './key-files.ts';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'berth-keys-'))));
afterEach(async () => await rm(folder, { recursive: true }));

const key = (byte: number): string => byte.toString(16).padStart(2, '0').repeat(32);
function write(text: string, mode = 0o600): string {
  const path = join(folder, 'keys');
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}
function refusal(path: string): string {
  try {
    createKeyFiles().read(path);
    return '';
  } catch (err) {
    return `${kindOf(err)} ${messageOf(err)}`;
  }
}

test('keys in their order, comments and empty lines between them', () => {
  const path = write(`# of today\n${key(1)}\n\n${key(2)} # of yesterday\n`);
  expect(createKeyFiles().read(path)).toEqual([new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]);
});

test('what is wrong with a file is said without what is in it', () => {
  expect(refusal(write(key(1), 0o644))).toMatch(/^PermissionDenied .* can be read by others \(mode 644\)/);
  expect(refusal(write('secret\n'))).toMatch(/^InvalidArgument line 1 of the file of keys .* is no key/);
  expect(refusal(write('secret\n'))).not.toContain('secret');
  expect(refusal(write('# none\n'))).toMatch(/^InvalidArgument .* has no keys/);
  expect(refusal(join(folder, 'none'))).toMatch(/^NotFound/);
});

test('a file that is written anew or replaced is told of', async () => {
  const files = createKeyFiles();
  const path = write(key(1));
  const seen = Promise.withResolvers<string>();
  using _watching = files.watch(seen.resolve);
  files.read(path);
  writeFileSync(`${path}.new`, key(2), { mode: 0o600 });
  renameSync(`${path}.new`, path);
  expect(await seen.promise).toBe(path);
  expect(files.read(path)).toEqual([new Uint8Array(32).fill(2)]);
});
