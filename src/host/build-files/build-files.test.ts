import { afterEach, beforeEach, expect } from 'bun:test';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kindOf } from '#base/errors.ts';
import type { FileSource, FileTarget } from '#core/build-files.ts';
import { needs } from '#test/helpers/needs.ts';
import { createBuildFiles } from './build-files.ts';
import { changedMode } from './mode.ts';

const { describe, test } = needs('root');
const { signal } = new AbortController();
const files = createBuildFiles(2);
let place: string;
let root: string;

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'berth-files-'));
  for (const name of ['tree', 'root']) mkdirSync(join(place, name));
  root = join(place, 'root');
});
afterEach(() => rmSync(place, { recursive: true }));

const put = (path: string, text: string, mode = 0o644): void => {
  mkdirSync(join(place, 'tree', path, '..'), { recursive: true });
  writeFileSync(join(place, 'tree', path), text);
  chmodSync(join(place, 'tree', path), mode);
};
const source = (pattern: string, more: Partial<FileSource> = {}): FileSource => ({
  root: join(place, 'tree'),
  pattern,
  parents: false,
  excludes: [],
  keepOwners: false,
  unpack: false,
  ...more,
});
const target = (path: string, more: Partial<FileTarget> = {}): FileTarget => ({ root, path, owner: undefined, mode: undefined, ...more });
const refusal = async (action: Promise<unknown>): Promise<string> =>
  await action.then(
    () => 'nothing',
    (err: unknown) => `${kindOf(err)}: ${err instanceof Error ? err.message : ''}`,
  );
const digest = async (...sources: FileSource[]): Promise<string> => await files.digest(sources, signal);

describe('digest()', () => {
  test('depends on names, contents, modes and links, not on times; on owners where they are kept', async () => {
    put('d/a', 'one');
    symlinkSync('a', join(place, 'tree/d/link'));
    const first = await digest(source('d'));
    utimesSync(join(place, 'tree/d/a'), 1, 1);
    expect(await digest(source('d'))).toBe(first);
    chownSync(join(place, 'tree/d/a'), 5, 5);
    expect(await digest(source('d'))).toBe(first);
    const seen = new Set([first, await digest(source('d', { keepOwners: true }))]);
    chmodSync(join(place, 'tree/d/a'), 0o600);
    seen.add(await digest(source('d')));
    writeFileSync(join(place, 'tree/d/a'), 'two');
    seen.add(await digest(source('d')));
    rmSync(join(place, 'tree/d/link'));
    seen.add(await digest(source('d')));
    put('d/b', '');
    seen.add(await digest(source('d')));
    expect(seen.size).toBe(6);
    const all = await digest(source('d'));
    expect(await digest(source('d', { excludes: ['b'] }))).not.toBe(all);
    expect(await digest(source('d', { excludes: ['c'] }))).toBe(all);
  });

  test('what is not there is NotFound, by its pattern; links do not lead out of the tree', async () => {
    expect(await refusal(digest(source('none')))).toBe('NotFound: "/none": not found');
    await files.copy([source('*.none')], target('/nothing/'), signal);
    expect(existsSync(join(root, 'nothing'))).toBe(false);
    put('here', 'inside');
    symlinkSync('/here', join(place, 'tree/absolute'));
    symlinkSync('../../../../../../etc', join(place, 'tree/out'));
    await files.copy([source('absolute')], target('/copied'), signal);
    expect(readFileSync(join(root, 'copied'), 'utf8')).toBe('inside');
    expect(await refusal(digest(source('out/passwd')))).toStartWith('NotFound');
    expect(await refusal(digest(source('../../../etc/passwd')))).toStartWith('NotFound');
  });
});

describe('copy()', () => {
  test('directories that were there keep attributes and times; new ones are like their sources', async () => {
    put('d/sub/a', 'a', 0o640);
    utimesSync(join(place, 'tree/d/sub'), 1000, 1000);
    utimesSync(join(place, 'tree/d'), 2000, 2000);
    mkdirSync(join(root, 'there'), { mode: 0o700 });
    utimesSync(join(root, 'there'), 3000, 3000);
    await files.copy([source('d')], target('/there'), signal);
    await files.copy([source('d')], target('/made/deep/'), signal);
    const seen = (path: string): [number, number] => {
      const { mode, mtimeMs } = lstatSync(join(root, path));
      return [mode & 0o7777, mtimeMs / 1000];
    };
    expect([seen('there'), seen('there/sub'), seen('made'), seen('made/deep')]).toEqual([
      [0o700, 3000],
      [0o755, 1000],
      [0o755, 2000],
      [0o755, 2000],
    ]);
    expect(lstatSync(join(root, 'there/sub/a')).mode & 0o7777).toBe(0o640);
  });

  test('follows links of the root inside it, and never out of it', async () => {
    put('a', 'a');
    mkdirSync(join(root, 'real'));
    symlinkSync('/real', join(root, 'absolute'));
    symlinkSync('../../../../../../../../tmp', join(root, 'climbing'));
    await files.copy([source('a')], target('/absolute/in/'), signal);
    await files.copy([source('a')], target('/climbing/berth-escaped-file'), signal).catch(() => undefined);
    expect(existsSync(join(root, 'real/in/a'))).toBe(true);
    expect(existsSync('/tmp/berth-escaped-file')).toBe(false);
  });

  test('replaces files and links, and refuses to put a directory in the place of a file', async () => {
    put('d/x', 'new');
    writeFileSync(join(root, 'kept'), 'kept');
    symlinkSync('kept', join(root, 'x'));
    await files.copy([source('d')], target('/'), signal);
    expect([readFileSync(join(root, 'x'), 'utf8'), readFileSync(join(root, 'kept'), 'utf8')]).toEqual(['new', 'kept']);
    put('e/kept/deep', '');
    expect(await refusal(files.copy([source('e')], target('/'), signal))).toBe('InvalidArgument: cannot copy to non-directory: /kept');
    mkdirSync(join(root, 'dir'));
    put('dir', 'file');
    expect(await refusal(files.copy([source('dir'), source('d/x')], target('/'), signal))).toContain(
      'cannot replace to directory /dir with file',
    );
  });

  test('exceptions of what is left out bring their directories along', async () => {
    put('d/sub/keep', 'k');
    put('d/sub/drop', 'd');
    put('d/other/drop', 'd');
    await files.copy([source('d', { excludes: ['*', '!sub/keep'] })], target('/to/'), signal);
    expect(readdirSync(join(root, 'to'))).toEqual(['sub']);
    expect(readdirSync(join(root, 'to/sub'))).toEqual(['keep']);
  });

  test('aborting ends it', async () => {
    put('a', 'a');
    const stop = new AbortController();
    stop.abort(new DOMException('enough', 'AbortError'));
    expect(await refusal(files.copy([source('a')], target('/a'), stop.signal))).toStartWith('Canceled');
  });
});

describe('pack()', () => {
  const pack = async (
    lowerDirs: readonly string[],
    latestSeconds?: number,
  ): Promise<{ names: string[]; digest: string; isEmpty: boolean }> => {
    const tarPath = join(place, `layer-${String(Math.random())}.tar`);
    const { blob, isEmpty } = await files.pack({ upperDir: root, lowerDirs, tarPath, latestSeconds }, signal);
    const listed = Bun.spawnSync(['tar', 'tf', tarPath], { stdout: 'pipe' }).stdout.toString().trim().split('\n');
    expect(`sha256:${new Bun.CryptoHasher('sha256').update(readFileSync(tarPath)).digest('hex')}`).toBe(blob.digest);
    return { names: listed.filter(Boolean), digest: blob.digest, isEmpty };
  };

  test('is sorted, and the same for the same files', async () => {
    for (const name of ['b', 'a', 'c']) writeFileSync(join(root, name), name);
    linkSync(join(root, 'a'), join(root, 'z'));
    for (const name of ['a', 'b', 'c']) utimesSync(join(root, name), 5, 5);
    const first = await pack([]);
    expect(first.names).toEqual(['a', 'b', 'c', 'z']);
    expect((await pack([])).digest).toBe(first.digest);
    utimesSync(join(root, 'a'), 7, 7);
    expect((await pack([])).digest).not.toBe(first.digest);
    expect((await pack([], 5)).digest).toBe(first.digest);
  });

  test('leaves out directories that only overlay has touched, and everything when nothing has changed', async () => {
    mkdirSync(join(place, 'tree/etc'));
    mkdirSync(join(root, 'etc'));
    for (const path of ['tree/etc', 'root/etc']) utimesSync(join(place, path), 9, 9);
    expect(await pack([join(place, 'tree')])).toMatchObject({ names: [], isEmpty: true });
    utimesSync(join(root, 'etc'), 10, 10);
    expect((await pack([join(place, 'tree')])).names).toEqual(['etc/']);
  });
});

test('changedMode() reads what chmod reads', () => {
  const of = (change: string, mode: number, isDirectory = false): string => changedMode(change, mode, isDirectory).toString(8);
  expect([of('600', 0o777), of('4755', 0), of('u=rwX,go=rX', 0o600), of('u=rwX,go=rX', 0o700), of('a+X', 0o600, true)]).toEqual([
    '600',
    '4755',
    '644',
    '755',
    '711',
  ]);
  expect([of('g-w', 0o664), of('u+s,o=u', 0o750), of('+t', 0o755), of('go=', 0o777)]).toEqual(['644', '4757', '1755', '700']);
  expect(() => changedMode('nonsense', 0, false)).toThrow('invalid chmod parameter');
});

describe('change()', () => {
  const made = { owner: undefined, timeNs: undefined };

  test('makes files, directories and links, with the times that they are given, and leaves those of directories', async () => {
    mkdirSync(join(root, 'd'));
    utimesSync(join(root, 'd'), 100, 100);
    const owner = { uid: 3, gid: 4 };
    const content = Buffer.from('text').toString('base64');
    await files.change(root, { kind: 'file', path: 'd/f', mode: 0o640, content, owner, timeNs: '7000000000' }, signal);
    await files.change(root, { kind: 'directory', path: '/d/a/b', mode: 0o710, withParents: true, ...made }, signal);
    await files.change(root, { kind: 'symlink', path: '/d/l', target: '../x', ...made }, signal);
    const [file, directory, link] = ['d/f', 'd/a/b', 'd/l'].map(path => lstatSync(join(root, path)));
    expect([readFileSync(join(root, 'd/f'), 'utf8'), file?.mode, file?.uid, file?.gid, file?.mtimeMs]).toEqual([
      'text',
      0o100640,
      3,
      4,
      7000,
    ]);
    expect([directory?.mode, directory?.mtimeMs, link?.isSymbolicLink(), link?.mtimeMs]).toEqual([0o40710, 0, true, 0]);
    expect(lstatSync(join(root, 'd')).mtimeMs).toBe(100_000);
  });

  test('removes what a name or a pattern means, whatever is in it', async () => {
    for (const name of ['a1', 'a2', 'b']) mkdirSync(join(root, name, 'below'), { recursive: true });
    const removal = { kind: 'remove', allowsMissing: false, hasWildcard: true } as const;
    await files.change(root, { ...removal, path: '/a*' }, signal);
    expect(readdirSync(root)).toEqual(['b']);
    expect(await refusal(files.change(root, { ...removal, path: '/none', hasWildcard: false }, signal))).toStartWith('NotFound');
    await files.change(root, { ...removal, path: '/none/deep', allowsMissing: true }, signal);
  });

  test('stays in its root, and does not write through links', async () => {
    symlinkSync(place, join(root, 'out'));
    symlinkSync(join(place, 'victim'), join(root, 'link'));
    writeFileSync(join(place, 'victim'), 'kept');
    const file = { kind: 'file', mode: 0o644, content: '', ...made } as const;
    // A link is resolved inside the root, where its target is not.
    expect(await refusal(files.change(root, { ...file, path: '/out/f' }, signal))).toStartWith('NotFound');
    expect(await refusal(files.change(root, { ...file, path: '/link' }, signal))).toStartWith('InvalidArgument');
    await files.change(root, { ...file, path: '../../../../up' }, signal);
    await files.change(root, { kind: 'remove', path: '/out', allowsMissing: false, hasWildcard: false }, signal);
    expect([readFileSync(join(place, 'victim'), 'utf8'), existsSync(join(root, 'up')), existsSync(place)]).toEqual(['kept', true, true]);
    expect(await refusal(files.change(root, { kind: 'symlink', path: '/up', target: 'x', ...made }, signal))).toStartWith('AlreadyExists');
    expect(await refusal(files.change(root, { ...file, path: '/' }, signal))).toStartWith('InvalidArgument');
  });
});

describe('mirror()', () => {
  test('makes one tree the other, and touches only what is different', async () => {
    put('same/f', 'same');
    put('other/f', 'new', 0o600);
    put('only/here', 'x');
    put('kind', 'a file now');
    mkdirSync(join(root, 'same'));
    writeFileSync(join(root, 'same/f'), 'same');
    for (const path of ['same/f', 'same']) {
      for (const base of [join(place, 'tree'), root]) utimesSync(join(base, path), 50, 50);
    }
    const before = lstatSync(join(root, 'same/f'), { bigint: true });
    mkdirSync(join(root, 'other'));
    writeFileSync(join(root, 'other/f'), 'old');
    mkdirSync(join(root, 'kind/was/a/directory'), { recursive: true });
    writeFileSync(join(root, 'gone'), '');
    await files.mirror(join(place, 'tree'), root, signal);
    expect(readdirSync(root).sort()).toEqual(['kind', 'only', 'other', 'same']);
    expect([readFileSync(join(root, 'other/f'), 'utf8'), lstatSync(join(root, 'other/f')).mode & 0o777]).toEqual(['new', 0o600]);
    expect([readFileSync(join(root, 'kind'), 'utf8'), readFileSync(join(root, 'only/here'), 'utf8')]).toEqual(['a file now', 'x']);
    const after = lstatSync(join(root, 'same/f'), { bigint: true });
    expect([after.ino, after.ctimeNs]).toEqual([before.ino, before.ctimeNs]);
    for (const path of ['other', 'only', '.'])
      expect(lstatSync(join(root, path), { bigint: true }).mtimeNs).toBe(lstatSync(join(place, 'tree', path), { bigint: true }).mtimeNs);
  });
});
