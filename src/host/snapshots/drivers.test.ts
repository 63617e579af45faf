import { mkdirSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'bun:test';
import { silentLogger } from '#base/log.ts';
import { openSqliteRecords } from '#host/state/sqlite-records.ts';
import { bindMount } from '#host/sys/mount.ts';
import { readMounts } from '#host/sys/mountinfo.ts';
import { makeLoopFileSystem } from '#test/helpers/loop-file-system.ts';
import { needs } from '#test/helpers/needs.ts';
import { openStorage, type StorageDriver } from './drivers.ts';

needs('root').describe('openStorage()', () => {
  const { test } = needs('root');
  let folder: string;
  let records: ReturnType<typeof openSqliteRecords>;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'berth-drivers-'));
    records = openSqliteRecords(join(folder, 'berth.db'));
  });
  afterEach(async () => {
    records.close();
    await rm(folder, { recursive: true });
  });

  const open = async (driver?: StorageDriver, more: object = {}) =>
    await openStorage({ driver, dir: join(folder, 'layers'), records, log: silentLogger, ...more });

  test('takes the first that works, and the one that the layers have from then on', async () => {
    expect((await open()).name).toBe('overlay2');
    expect((await open('vfs')).name).toBe('vfs');
    const storage = await open('vfs');
    await storage.prepare('box', undefined);
    expect((await open()).name).toBe('vfs');
    await storage.remove('box');
    await storage.settled();
    expect((await open()).name).toBe('overlay2');
  });

  test('layers of one driver are refused by every other one', async () => {
    const storage = await open('vfs');
    await storage.prepare('box', undefined);
    for (const other of ['overlay2', 'btrfs', 'fuse-overlayfs'] as const) {
      const message = `were made with the storage driver vfs, and ${other} cannot read them: start with --storage-driver vfs`;
      expect(open(other)).rejects.toThrow(message);
    }
    await storage.remove('box');
    await storage.settled();
  });

  test('layers that no driver was remembered for are those of overlay2', async () => {
    records.table('layers').put('sha256:1', { id: 1, sizeBytes: 0 });
    expect((await open()).name).toBe('overlay2');
    expect(open('vfs')).rejects.toThrow('were made with the storage driver overlay2');
  });

  test('what cannot work is refused with the reason', async () => {
    expect(open('btrfs')).rejects.toThrow(
      `the storage driver btrfs cannot be used in ${folder}: it is no directory of a btrfs file system`,
    );
    const owners = { map: { uids: [], gids: [] }, namespaceFd: -1 };
    expect(open('vfs', { owners })).rejects.toThrow('the storage driver vfs has no user namespaces');
  });

  test('what a probe left is taken away', async () => {
    const merged = join(folder, 'layers/probe/merged');
    mkdirSync(merged, { recursive: true });
    bindMount(folder, merged);
    await open('vfs');
    expect(readMounts().filter(({ target }) => target.startsWith(folder))).toEqual([]);
    expect(readdirSync(join(folder, 'layers')).toSorted()).toEqual(['empty', 'trash']);
  });

  needs('root', 'loop', 'btrfs').test('on btrfs, overlay2 comes first as well, and btrfs when asked for', async () => {
    await using disk = await makeLoopFileSystem('btrfs');
    const dir = join(disk.path, 'layers');
    expect((await open(undefined, { dir })).name).toBe('overlay2');
    expect((await open('btrfs', { dir })).name).toBe('btrfs');
  });
});
