import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { needs } from '#test/helpers/needs.ts';
import { openPins } from './pins.ts';

needs('root').describe('pin()', () => {
  let folder: string;
  let root: string;
  let outside: string;
  let pins: ReturnType<typeof openPins>;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'berth-pins-'));
    [root, outside] = [join(folder, 'root'), join(folder, 'outside')];
    mkdirSync(root);
    mkdirSync(outside);
    writeFileSync(join(outside, 'secret'), 'secret');
    pins = openPins(join(folder, 'pins'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test('goes on meaning what was there, whatever is put in its place', () => {
    mkdirSync(join(root, 'a'));
    writeFileSync(join(root, 'a/own'), 'own');
    symlinkSync('/a', join(root, 'link'));
    {
      using pinned = pins.pin(root, 'link');
      renameSync(join(root, 'a'), join(root, 'b'));
      symlinkSync(outside, join(root, 'a'));
      expect(readdirSync(pinned.path)).toEqual(['own']);
    }
    expect(readdirSync(join(folder, 'pins'))).toEqual([]);
    expect(readdirSync(join(root, 'b'))).toEqual(['own']);
  });

  test('a file, and nothing outside', () => {
    writeFileSync(join(root, 'file'), 'text');
    {
      using pinned = pins.pin(root, '/file');
      expect(readFileSync(pinned.path, 'utf8')).toBe('text');
    }
    symlinkSync(join(outside, 'secret'), join(root, 'escape'));
    expect(() => pins.pin(root, '/escape')).toThrow('/escape: no such file or directory');
  });

  test('what an earlier process left is taken away, the data stay', () => {
    mkdirSync(join(root, 'a'));
    writeFileSync(join(root, 'a/own'), 'own');
    pins.pin(root, 'a');
    openPins(join(folder, 'pins'));
    expect(readdirSync(join(folder, 'pins'))).toEqual([]);
    expect(readdirSync(join(root, 'a'))).toEqual(['own']);
  });
});
