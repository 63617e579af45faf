import { expect, test } from 'bun:test';
import { mergeLayers } from './merge-layers.ts';
import { readAll, readTar } from './reader.ts';
import { type NewTarFile, writeTar } from './writer.ts';

const file = (name: string, text: string): NewTarFile => ({ entry: { name }, content: new TextEncoder().encode(text) });
const directory = (name: string, mode = 0o755): NewTarFile => ({ entry: { name, type: 'directory', mode } });
const link = (name: string, linkName: string): NewTarFile => ({ entry: { name, type: 'link', linkName } });
const symlink = (name: string, linkName: string): NewTarFile => ({ entry: { name, type: 'symlink', linkName } });

/** The merged members: `path` → text, `path@target` for links, `path/` for directories. */
async function merged(...layers: readonly (readonly NewTarFile[])[]): Promise<Record<string, string>> {
  const tars = await Promise.all(layers.map(async layer => Buffer.concat(await Array.fromAsync(writeTar(layer)))));
  const open = tars.map(
    tar =>
      async function* () {
        yield await Promise.resolve(tar);
      },
  );
  const members: Record<string, string> = {};
  for await (const { entry, content } of readTar(writeTar(mergeLayers(open)))) {
    const key = entry.type === 'directory' ? `${entry.name}/` : entry.linkName === '' ? entry.name : `${entry.name}@${entry.linkName}`;
    expect(members).not.toHaveProperty([key]);
    members[key] = entry.type === 'directory' ? entry.mode.toString(8) : Buffer.from(await readAll(content)).toString();
  }
  return members;
}

test('what a layer above has replaces what is below; everything else stays', async () => {
  expect(await merged([directory('d', 0o700), file('d/a', '1'), file('d/b', '1')], [directory('d', 0o711), file('d/a', '2')])).toEqual({
    'd/': '711',
    'd/a': '2',
    'd/b': '1',
  });
});

test('a removal takes what is below it, and stays for what is further below', async () => {
  expect(await merged([file('a', '1'), file('d/x', '1'), file('k', '1')], [file('.wh.a', ''), file('.wh.d', '')])).toEqual({
    '.wh.a': '',
    '.wh.d': '',
    k: '1',
  });
  expect(await merged([file('a', '1')], [file('.wh.a', '')], [file('a', '3')])).toEqual({ a: '3' });
});

test('a directory that was removed and made again hides what it had', async () => {
  const again = await merged([file('d/old', '1')], [file('.wh.d', '')], [directory('d'), file('d/new', '3')]);
  expect(again).toEqual({ 'd/': '755', 'd/new': '3', 'd/.wh..wh..opq': '' });
  const opaque = await merged([file('d/old', '1')], [directory('d'), file('d/.wh..wh..opq', ''), file('d/new', '2')]);
  expect(opaque).toEqual({ 'd/': '755', 'd/.wh..wh..opq': '', 'd/new': '2' });
});

test('a file in the place of a directory, and the other way round', async () => {
  expect(await merged([directory('d'), file('d/x', '1')], [file('d', '2')])).toEqual({ d: '2' });
  expect(await merged([symlink('d', 'elsewhere')], [directory('d'), file('d/x', '2')])).toEqual({ 'd/': '755', 'd/x': '2' });
});

test('another name of a file that was replaced keeps the content it had', async () => {
  expect(await merged([file('a', 'old'), link('b', 'a'), link('c', 'a')], [file('a', 'new')])).toEqual({ a: 'new', b: 'old', 'c@b': '' });
  expect(await merged([file('a', 'old'), link('b', 'a')], [file('.wh.a', '')])).toEqual({ '.wh.a': '', b: 'old' });
});
