import { lstatSync, readdirSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'bun:test';
import { silentLogger } from '#base/log.ts';
import type { ChainId } from '#core/snapshots.ts';
import { openSqliteRecords } from '#host/state/sqlite-records.ts';
import { chainIds, type Digest, sha256 } from '#oci/digest.ts';
import { type NewTarFile, writeTar } from '#oci/tar/writer.ts';
import { needs } from '#test/helpers/needs.ts';
import type { SettlingSnapshotter } from '../snapshotter.ts';
import { openWholeTreeSnapshotter } from './form.ts';
import { vfsTrees } from './vfs.ts';

const { describe, test } = needs('root');
const { signal } = new AbortController();
const file = (name: string, content: string): NewTarFile => ({ entry: { name }, content: new TextEncoder().encode(content) });

describe('the tars of layers that are whole trees', () => {
  let dir: string;
  let records: ReturnType<typeof openSqliteRecords>;
  let snapshots: SettlingSnapshotter;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'berth-layers-'));
    records = openSqliteRecords(join(dir, 'berth.db'));
    snapshots = await openWholeTreeSnapshotter({ dir: join(dir, 'layers'), records, log: silentLogger }, vfsTrees);
  });
  afterEach(async () => {
    await snapshots.settled();
    records.close();
    await rm(dir, { recursive: true });
  });

  const tarOf = async (files: readonly NewTarFile[]): Promise<Uint8Array> => Buffer.concat(await Array.fromAsync(writeTar(files)));
  async function* stream(tar: Uint8Array): AsyncGenerator<Uint8Array> {
    yield tar;
  }
  const add = async (tar: Uint8Array, parents: readonly Digest[] = []): Promise<ChainId> => {
    await using pending = await snapshots.unpack({ stream: stream(tar) }, { signal });
    const chain = chainIds([...parents, pending.unpacked.diffId]).at(-1) as ChainId;
    await pending.commit(chain, chainIds(parents).at(-1));
    return chain;
  };
  /** Where the newest layer is. */
  const newest = (): string => {
    const ids = readdirSync(join(dir, 'layers'))
      .filter(name => /^\d+$/.test(name))
      .map(Number);
    return join(dir, 'layers', String(Math.max(...ids)), 'diff');
  };

  test('come back byte for byte from the tree, whatever is below; damage is named', async () => {
    const below = await tarOf([file('kept', 'k'), file('gone', 'g'), { entry: { name: 'd', type: 'directory' } }, file('d/old', 'o')]);
    const above = await tarOf([
      file('new', 'n'),
      file('.wh.gone', ''),
      { entry: { name: 'd', type: 'directory', mtime: { seconds: 7, nanoseconds: 0 } } },
      file('d/.wh..wh..opq', ''),
      file('d/in', 'i'),
      { entry: { name: 'link', type: 'link', linkName: 'kept' } },
    ]);
    const [first, second] = [await add(below), await add(above, [sha256(below)])];
    for (const [chain, tar] of [
      [first, below],
      [second, above],
    ] as const) {
      expect(sha256(Buffer.concat(await Array.fromAsync(snapshots.tar(chain, { signal }))))).toBe(sha256(tar));
      expect(await snapshots.check(chain, { signal })).toEqual({ diffId: sha256(tar), damage: [] });
    }
    const tree = newest();
    await chmod(join(tree, 'new'), 0o600);
    await writeFile(join(tree, 'gone'), '');
    expect((await snapshots.check(second, { signal })).damage).toEqual([
      { path: 'new', what: 'has the mode 600' },
      { path: 'gone', what: 'is not from the image' },
    ]);
    await using pending = await snapshots.unpack({ stream: stream(above) }, { signal });
    expect(await pending.replace(second)).toEqual([]);
    expect((await snapshots.check(second, { signal })).damage).toEqual([]);
    await snapshots.prepare('box', second);
    expect(readdirSync(await snapshots.mount('box')).sort()).toEqual(['d', 'kept', 'link', 'new']);
    await snapshots.remove('box');
  });

  test('a link of a layer below is never followed when a layer is put on top', async () => {
    const outside = join(dir, 'outside');
    await mkdir(outside);
    await writeFile(join(outside, 'secret'), 'secret');
    const link = (name: string): NewTarFile => ({ entry: { name, type: 'symlink', linkName: outside } });
    const below = await tarOf([link('a'), link('b'), link('c'), { entry: { name: 'd', type: 'directory' } }, link('d/e')]);
    const above = await tarOf([
      file('a/new', 'x'),
      file('b/.wh.secret', ''),
      { entry: { name: 'c', type: 'directory' } },
      file('c/.wh..wh..opq', ''),
      file('d/e/secret', 'overwritten'),
    ]);
    await add(below);
    const chain = await add(above, [sha256(below)]);
    expect([readdirSync(outside), await readFile(join(outside, 'secret'), 'utf8')]).toEqual([['secret'], 'secret']);
    await snapshots.prepare('box', chain);
    const root = await snapshots.mount('box');
    expect(['a', 'b', 'c', 'd/e'].map(name => lstatSync(join(root, name)).isDirectory())).toEqual(Array(4).fill(true));
    await snapshots.remove('box');
  });
});
