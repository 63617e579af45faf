import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { messageOf } from '#base/errors.ts';
import { IgnoreMatcher } from '#builder/dockerfile/ignore.ts';
import { readTar } from '#oci/tar/reader.ts';
import { contextFiles } from './context-files.ts';
import { contextTar, streamOf } from './context-tar.ts';
import { openContext } from './context.ts';
import { NeededPaths } from './needed-paths.ts';

let root: string;

function write(path: string, content = path): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'berth-context-test-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const all = { ignore: new IgnoreMatcher([]), always: new Set<string>() };
const inFolder = (name: string): string => join(root, name);
const paths = (folder: string, rules: Partial<Parameters<typeof contextFiles>[1]> = {}): string[] =>
  [...contextFiles(inFolder(folder), { ...all, ...rules })].map(({ path }) => path);

async function entries(stream: ReadableStream<Uint8Array>): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { entry, content } of readTar(stream)) {
    const bytes: Uint8Array[] = [];
    for await (const chunk of content) bytes.push(Buffer.from(chunk));
    const text = Buffer.concat(bytes).toString();
    found[entry.name] = `${entry.type} ${entry.mode.toString(8)} ${entry.uid}:${entry.gid} ${entry.linkName}${text}`.trim();
  }
  return found;
}

describe('contextFiles()', () => {
  beforeAll(() => {
    for (const path of ['a', 'b/c', 'b/d', 'b/keep/x', 'z.log', 'A', 'é']) write(`files/${path}`);
  });

  test('lists directories before what is in them, names by their bytes', () => {
    expect(paths('files')).toEqual(['A', 'a', 'b', 'b/c', 'b/d', 'b/keep', 'b/keep/x', 'z.log', 'é']);
  });

  test('leaves out what the rules say, but for exceptions below and what is always sent', () => {
    const ignore = new IgnoreMatcher(['*', '!b/keep', '*.log']);
    expect(paths('files', { ignore, always: new Set(['z.log']) })).toEqual(['b/keep', 'b/keep/x', 'z.log']);
  });
});

describe('NeededPaths', () => {
  beforeAll(() => {
    for (const path of ['src/a.go', 'src/b.txt', 'src/sub/c.go', 'docs/d', 'data/e', 'data/f/g', '!odd']) write(`needed/${path}`);
    symlinkSync('../data/f', join(root, 'needed/src/link'));
    symlinkSync('/data', join(root, 'needed/alias'));
    symlinkSync('loop', join(root, 'needed/loop'));
  });

  const needed = (...sources: string[]): string[] => paths('needed', { needed: new NeededPaths(inFolder('needed'), sources) });

  test.each([
    [['docs'], ['docs', 'docs/d']],
    [['./docs/'], ['docs', 'docs/d']],
    [['/src/sub/c.go'], ['src', 'src/sub', 'src/sub/c.go']],
    [['src/*.go'], ['src', 'src/a.go']],
    [['*/[de]'], ['alias', 'data', 'data/e', 'docs', 'docs/d', 'loop']],
    [['!odd'], ['!odd']],
    [['alias/e'], ['alias', 'data', 'data/e']],
    [['src/link'], ['data', 'data/f', 'data/f/g', 'src', 'src/link']],
    [['src/l*/g'], ['data', 'data/f', 'data/f/g', 'src', 'src/link']],
    [['../../docs/../data/e'], ['data', 'data/e']],
    [['src/**/c.go'], ['src', 'src/a.go', 'src/b.txt', 'src/link', 'src/sub', 'src/sub/c.go']],
    [['loop'], ['loop']],
    [['nothing/at/all'], []],
    [[], []],
  ])('%p', (sources, found) => {
    expect(needed(...sources)).toEqual(found);
  });

  test('the whole context', () => {
    expect(needed('docs', '.')).toEqual(paths('needed'));
    expect(needed('**/x')).toEqual(paths('needed'));
  });
});

describe('contextTar()', () => {
  beforeAll(() => {
    write('tar/file', 'hello');
    write('tar/dir/other', 'x'.repeat(3_000_000));
    chmodSync(join(root, 'tar/file'), 0o640);
    linkSync(join(root, 'tar/file'), join(root, 'tar/hard'));
    symlinkSync('file', join(root, 'tar/soft'));
    for (const name of ['file', 'dir/other', 'dir']) utimesSync(join(root, 'tar', name), 1000.75, 1000.75);
  });

  const make = (): Generator<Uint8Array> =>
    contextTar(inFolder('tar'), contextFiles(inFolder('tar'), all), [{ path: 'extra', mode: 0o600, content: Buffer.from('more') }]);

  test('owners are root, hard links stay links, in pieces that are not large', async () => {
    let sent = 0;
    const found = await entries(streamOf(make(), count => (sent += count)));
    const shown: Record<string, string | number | undefined> = { ...found, 'dir/other': found['dir/other']?.length };
    expect(shown).toEqual({
      dir: 'directory 755 0:0',
      'dir/other': 'file 644 0:0 '.length + 3_000_000,
      extra: 'file 600 0:0 more',
      file: 'file 640 0:0 hello',
      hard: 'link 640 0:0 file',
      soft: 'symlink 777 0:0 file',
    });
    expect(sent % 512).toBe(0);
    expect(Math.max(...[...make()].map(chunk => chunk.length))).toBeLessThanOrEqual(1 << 20);
  });

  test('the same files give the same bytes', () => {
    const hash = (): string => {
      const hasher = new Bun.CryptoHasher('sha256');
      for (const chunk of make()) hasher.update(chunk);
      return hasher.digest('hex');
    };
    expect(hash()).toBe(hash());
  });

  test('a file that shrinks or goes while it is sent does not break the archive', async () => {
    write('changing/a', 'x'.repeat(5_000));
    write('changing/b', 'gone');
    const files = [...contextFiles(inFolder('changing'), all)];
    writeFileSync(join(root, 'changing/a'), 'short');
    rmSync(join(root, 'changing/b'));
    expect(await entries(streamOf(contextTar(inFolder('changing'), files), () => undefined))).toEqual({ a: 'file 644 0:0 short' });
  });
});

describe('openContext()', () => {
  const { signal } = new AbortController();
  const stdin = (text: string) => () => new Response(text).body ?? new Blob([]).stream();
  const refusal = async (opened: Promise<unknown>): Promise<string> =>
    await opened.then(
      () => 'nothing was refused',
      (err: unknown) => messageOf(err),
    );
  const open = (argument: string, file = '', input = '') => openContext({ argument, file, stdin: stdin(input), signal });

  beforeAll(() => {
    write('context/Dockerfile', 'FROM a');
    write('context/sub/Other', 'FROM b');
    write('context/sub/Other.dockerignore', 'x*');
    write('context/.dockerignore', 'sub');
    write('context/x1');
    write('elsewhere/Dockerfile', 'FROM c');
    write('lower/dockerfile', 'FROM d');
    mkdirSync(join(root, 'none'));
  });

  test('a directory, with the ignore file that counts', async () => {
    await using context = await open(inFolder('context'));
    expect(context).toMatchObject({ dockerfileName: 'Dockerfile', dockerfile: { name: 'Dockerfile', text: 'FROM a' } });
    expect(Object.keys(await entries(context.open(() => undefined)))).toEqual(['.dockerignore', 'Dockerfile', 'x1']);
    await using other = await open(inFolder('context'), join(root, 'context/sub/Other'));
    expect(other).toMatchObject({ dockerfileName: 'sub/Other', dockerfile: { name: 'sub/Other', text: 'FROM b' } });
    expect(Object.keys(await entries(other.open(() => undefined)))).toEqual([
      ...['.dockerignore', 'Dockerfile', 'sub', 'sub/Other', 'sub/Other.dockerignore'],
    ]);
  });

  test('a Dockerfile in lower case', async () => {
    await using context = await open(inFolder('lower'));
    expect(context).toMatchObject({ dockerfileName: 'dockerfile', dockerfile: { text: 'FROM d' } });
  });

  test('a Dockerfile from elsewhere or stdin goes along, hidden from COPY', async () => {
    for (const context of [
      await open(inFolder('context'), join(root, 'elsewhere/Dockerfile')),
      await open(inFolder('context'), '-', 'FROM c'),
    ]) {
      const name = context.dockerfileName ?? '';
      expect(name).toMatch(/^\.dockerfile\.[0-9a-f]{20}$/);
      expect(await entries(context.open(() => undefined))).toEqual({
        Dockerfile: 'file 644 0:0 FROM a',
        x1: 'file 644 0:0 context/x1',
        '.dockerignore': `file 644 0:0 sub\n${name}`,
        [name]: 'file 644 0:0 FROM c',
      });
      await context[Symbol.asyncDispose]();
    }
  });

  test('stdin: a Dockerfile alone, or an archive', async () => {
    await using file = await open('-', '', 'FROM e\n');
    expect(file).toMatchObject({ dockerfileName: 'Dockerfile', dockerfile: { text: 'FROM e\n' }, root: undefined });
    expect(Object.keys(await entries(file.open(() => undefined)))).toEqual(['Dockerfile']);
    const archive = Buffer.concat([...contextTar(inFolder('context'), contextFiles(inFolder('context'), all))]);
    for (const [bytes, name] of [
      [archive, 'sub/Other'],
      [Bun.gzipSync(archive), ''],
    ] as const) {
      await using context = await openContext({ argument: '-', file: name, stdin: () => new Blob([bytes]).stream(), signal });
      expect(context).toMatchObject({ dockerfileName: name === '' ? undefined : name, dockerfile: undefined });
      expect(Buffer.from(await new Response(context.open(() => undefined)).bytes())).toEqual(Buffer.from(bytes));
    }
    const packed = Bun.zstdCompressSync(archive);
    await using context = await openContext({ argument: '-', file: '', stdin: () => new Blob([packed]).stream(), signal });
    expect(Buffer.from(await new Response(context.open(() => undefined)).bytes())).toEqual(archive);
  });

  test.each([
    ['/no/such/place', '', 'unable to prepare context: path "/no/such/place" not found'],
    ['/etc/hostname', '', 'unable to prepare context: context must be a directory: /etc/hostname'],
    ['-', '-', "invalid argument: can't use stdin for both build context and dockerfile"],
    ['-', 'x', 'ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles'],
    ['http://127.0.0.1:1/x', '', 'unable to prepare context: unable to download remote context http://127.0.0.1:1/x: '],
  ])('%s with Dockerfile "%s" is refused', async (argument, file, message) => {
    expect(await refusal(open(argument, file, 'FROM x'))).toStartWith(message);
  });

  test('a directory without a Dockerfile is refused', async () => {
    const path = join(root, 'none/Dockerfile');
    expect(await refusal(open(inFolder('none')))).toBe(
      `unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat ${path}: no such file or directory`,
    );
  });
});
