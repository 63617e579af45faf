import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { lstatSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { silentLogger } from '#base/log.ts';
import { openSqliteRecords } from '#host/state/sqlite-records.ts';
import { getXattr } from '#host/sys/fs.ts';
import { unmount } from '#host/sys/mount.ts';
import { readMounts } from '#host/sys/mountinfo.ts';
import { ownedFd } from '#host/sys/rooted.ts';
import { holdUserNamespace, type NamespaceHolder } from '#host/sys/user-namespace.ts';
import { chainIds } from '#oci/digest.ts';
import { type NewTarFile, writeTar } from '#oci/tar/writer.ts';
import { needs } from '#test/helpers/needs.ts';
import { openOverlaySnapshotter } from './form.ts';

needs('root').describe('with user namespaces', () => {
  const idMap = { uids: [{ containerId: 0, hostId: 200_000, size: 65_536 }], gids: [{ containerId: 0, hostId: 300_000, size: 65_536 }] };
  let dir: string;
  let holder: NamespaceHolder;
  let records: ReturnType<typeof openSqliteRecords>;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'berth-layers-'));
    holder = await holdUserNamespace({ idMap }, { network: false });
    records = openSqliteRecords(join(dir, 'berth.db'));
  });
  afterEach(async () => {
    holder[Symbol.dispose]();
    for (const { target } of readMounts()) if (target.startsWith(`${dir}/`)) unmount(target, { detach: true });
    records.close();
    await rm(dir, { recursive: true });
  });

  const open = async (namespaceFd: number) =>
    await openOverlaySnapshotter({ dir: join(dir, 'layers'), records, log: silentLogger, owners: { map: idMap, namespaceFd } });

  async function* layer(files: Iterable<NewTarFile>): AsyncGenerator<Uint8Array> {
    yield* writeTar(files);
  }

  // Without a namespace the kernel cannot map: the way of kernels that never can.
  test.each(['mapped by the kernel', 'copied'])('owners of layers are %s; the host sees its own ids', async how => {
    using namespace = ownedFd(openSync(`/proc/${String(holder.pid)}/ns/user`, 'r'));
    const snapshots = await open(how === 'copied' ? -1 : namespace.fd);
    const { signal } = new AbortController();
    const below = await snapshots.unpack(
      {
        stream: layer([
          { entry: { name: 'kept', uid: 7, gid: 8, mode: 0o4755 }, content: new Uint8Array(3) },
          { entry: { name: 'gone' }, content: new Uint8Array(1) },
          { entry: { name: 'folder', type: 'directory', mode: 0o700, uid: 1, gid: 2 } },
          { entry: { name: 'folder/hidden' }, content: new Uint8Array(1) },
        ]),
      },
      { signal },
    );
    const above = await snapshots.unpack(
      {
        stream: layer([
          { entry: { name: '.wh.gone' }, content: new Uint8Array(0) },
          { entry: { name: 'folder', type: 'directory', mode: 0o700, uid: 1, gid: 2 } },
          { entry: { name: 'folder/.wh..wh..opq' }, content: new Uint8Array(0) },
        ]),
      },
      { signal },
    );
    const [lower, upper] = chainIds([below.unpacked.diffId, above.unpacked.diffId]);
    if (lower === undefined || upper === undefined) throw new Error('two layers have two chain ids');
    await below.commit(lower, undefined);
    await above.commit(upper, lower);

    await snapshots.prepare('inside', upper, { mapped: true });
    const root = await snapshots.mount('inside');
    const owner = (path: string): string => `${String(lstatSync(path).uid)}:${String(lstatSync(path).gid)}`;
    expect([root, `${root}/kept`, `${root}/folder`].map(owner)).toEqual(['200000:300000', '200007:300008', '200001:300002']);
    expect(lstatSync(`${root}/kept`).mode & 0o7777).toBe(0o4755);
    expect([readdirSync(root), readdirSync(`${root}/folder`)]).toEqual([['folder', 'kept'], []]);
    expect(snapshots.idMapOf('inside')).toEqual(idMap);
    // The layer's own files stay as the image has them, for everybody else.
    await snapshots.prepare('outside', upper);
    expect(owner(`${await snapshots.mount('outside')}/kept`)).toBe('7:8');
    expect(snapshots.idMapOf('outside')).toBeUndefined();
    expect(readMounts().filter(({ target }) => target.startsWith(`${dir}/`))).toHaveLength(2);
    for (const key of ['inside', 'outside']) await snapshots.remove(key);
    await snapshots.settled();
  });

  test('capabilities of a copied file are good for root of the namespace', async () => {
    const snapshots = await open(-1);
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
    const pending = await snapshots.unpack(
      {
        stream: layer([
          { entry: { name: 'ping', xattrs: new Map([['security.capability', new Uint8Array(capability)]]) }, content: new Uint8Array(1) },
        ]),
      },
      { signal: new AbortController().signal },
    );
    const [chain] = chainIds([pending.unpacked.diffId]);
    if (chain === undefined) throw new Error('one layer has a chain id');
    await pending.commit(chain, undefined);
    await snapshots.prepare('inside', chain, { mapped: true });
    const mapped = getXattr(`${await snapshots.mount('inside')}/ping`, 'security.capability');
    expect(Buffer.from(mapped ?? []).toString('hex')).toBe('0100000300040000000000000000000000000000400d0300');
    await snapshots.remove('inside');
    await snapshots.settled();
  });
});

needs('root').test(
  'containers find what they need below their image, whose own files hide it; nothing of it is in their layer',
  async () => {
    const dir = await mkdtemp(join(tmpdir(), 'berth-layers-'));
    const records = openSqliteRecords(join(dir, 'berth.db'));
    try {
      const snapshots = await openOverlaySnapshotter({ dir: join(dir, 'layers'), records, log: silentLogger });
      const tar = writeTar([
        { entry: { name: 'etc', type: 'directory', mode: 0o750, uid: 3 } },
        { entry: { name: 'etc/hosts' }, content: new Uint8Array(3) },
      ]);
      const pending = await snapshots.unpack({ stream: tar }, { signal: new AbortController().signal });
      const [chain] = chainIds([pending.unpacked.diffId]);
      if (chain === undefined) throw new Error('one layer has a chain id');
      await pending.commit(chain, undefined);
      expect(await snapshots.prepare('box', chain, { framed: true })).toEqual({ isFramed: true });
      const root = await snapshots.mount('box');
      expect(readdirSync(root).toSorted()).toEqual(['.dockerenv', 'dev', 'etc', 'proc', 'sys']);
      expect(readdirSync(`${root}/etc`).toSorted()).toEqual(['hostname', 'hosts', 'mtab', 'resolv.conf']);
      expect([lstatSync(`${root}/etc`).mode & 0o7777, lstatSync(`${root}/etc`).uid, lstatSync(`${root}/etc/hosts`).size]).toEqual([
        0o750, 3, 3,
      ]);
      expect(readdirSync(snapshots.paths('box').upperDir)).toEqual([]);
      await snapshots.prepare('plain', chain);
      expect(readdirSync(await snapshots.mount('plain'))).toEqual(['etc']);
      for (const key of ['box', 'plain']) await snapshots.remove(key);
      await snapshots.settled();
    } finally {
      for (const { target } of readMounts()) if (target.startsWith(`${dir}/`)) unmount(target, { detach: true });
      records.close();
      await rm(dir, { recursive: true });
    }
  },
);
