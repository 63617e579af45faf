import { existsSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { createRootFiles } from './root-files.ts';

const files = createRootFiles();
const root0 = { uid: 0, gid: 0 };
let folder: string;
let root: string;
let outside: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-rootfs-'));
  [root, outside] = [join(folder, 'root'), join(folder, 'outside')];
  mkdirSync(root);
  mkdirSync(outside);
  writeFileSync(join(outside, 'secret'), 'secret');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('ensureDirectory()', () => {
  test('makes what is missing and leaves what is there', () => {
    files.ensureDirectory(root, '/a/b/c', root0);
    files.ensureDirectory(root, '/a/b', root0);
    expect(statSync(join(root, 'a/b/c')).mode & 0o777).toBe(0o755);
  });

  test('follows links inside the root, also those that lead nowhere yet', () => {
    symlinkSync('/real/place', join(root, 'absolute'));
    symlinkSync('../../real/./other', join(root, 'climbing'));
    mkdirSync(join(root, 'there'));
    symlinkSync('there', join(root, 'known'));
    for (const name of ['absolute', 'climbing', 'known']) files.ensureDirectory(root, `/${name}/made`, root0);
    expect([
      existsSync(join(root, 'real/place/made')),
      existsSync(join(root, 'real/other/made')),
      existsSync(join(root, 'there/made')),
    ]).toEqual([true, true, true]);
  });

  test('never leaves the root', () => {
    symlinkSync(outside, join(root, 'absolute'));
    symlinkSync(`../../../../../../../../..${outside}`, join(root, 'climbing'));
    for (const name of ['absolute', 'climbing']) files.ensureDirectory(root, `/${name}/made`, root0);
    expect(readdirSync(outside)).toEqual(['secret']);
    expect(existsSync(join(root, outside, 'made'))).toBe(true);
  });

  test('files in the way and endless links are refused', () => {
    writeFileSync(join(root, 'file'), '');
    expect(() => files.ensureDirectory(root, '/file', root0)).toThrow('Cannot mkdir: /file is not a directory');
    expect(() => files.ensureDirectory(root, '/file/below', root0)).toThrow('Cannot mkdir: /file is not a directory');
    symlinkSync('loop', join(root, 'loop'));
    expect(() => files.ensureDirectory(root, '/loop/x', root0)).toThrow('Cannot mkdir: /loop/x leads through too many links');
  });
});

describe('putLink()', () => {
  test('takes the place of files and links, never of directories, and stays inside the root', () => {
    mkdirSync(join(root, 'etc'));
    writeFileSync(join(root, 'etc/file'), '');
    symlinkSync('/elsewhere', join(root, 'etc/link'));
    mkdirSync(join(root, 'etc/directory'));
    symlinkSync(outside, join(root, 'away'));
    for (const name of ['etc/file', 'etc/link', 'etc/directory', 'new/link', 'away/link'])
      files.putLink(root, `/${name}`, '/target', root0);
    expect(['etc/file', 'etc/link', 'new/link'].map(name => readlinkSync(join(root, name)))).toEqual(Array(3).fill('/target'));
    expect(statSync(join(root, 'etc/directory')).isDirectory()).toBe(true);
    expect(readdirSync(outside)).toEqual(['secret']);
  });
});

describe('reading', () => {
  test('a file of the root, not one that a link names outside', () => {
    writeFileSync(join(root, 'passwd'), '0123456789');
    symlinkSync(join(outside, 'secret'), join(root, 'link'));
    expect(files.readText(root, '/passwd', 100)).toBe('0123456789');
    expect(files.readText(root, '/passwd', 4)).toBe('0123');
    expect(files.readText(root, '/link', 100)).toBeUndefined();
    expect(files.readText(root, `/../outside/secret`, 100)).toBeUndefined();
    expect(files.readText(root, '/', 100)).toBeUndefined();
  });

  test('what a path is', () => {
    mkdirSync(join(root, 'a'));
    writeFileSync(join(root, 'b'), '');
    symlinkSync('/a', join(root, 'c'));
    expect(['/a', '/b', '/c', '/d'].map(path => files.kindOf(root, path))).toEqual(['directory', 'other', 'directory', 'missing']);
    expect(files.resolve(root, '/c')).toBe(join(root, 'a'));
    expect(() => files.resolve(root, '/d')).toThrow('/d: no such file or directory');
  });
});
