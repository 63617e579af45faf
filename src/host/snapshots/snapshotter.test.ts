import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'bun:test';
import { silentLogger } from '#base/log.ts';
import { layerTarContract } from '#core/layer-tars.contract.ts';
import { type SnapshotPlace, snapshotterContract } from '#core/snapshots.contract.ts';
import { openSqliteRecords } from '#host/state/sqlite-records.ts';
import { getXattr } from '#host/sys/fs.ts';
import { unmount } from '#host/sys/mount.ts';
import { readMounts } from '#host/sys/mountinfo.ts';
import { type LoopFileSystem, makeLoopFileSystem } from '#test/helpers/loop-file-system.ts';
import { needs } from '#test/helpers/needs.ts';
import { openFuseOverlaySnapshotter, openOverlaySnapshotter } from './overlay/form.ts';
import type { SettlingSnapshotter, SnapshotterOptions } from './snapshotter.ts';
import { btrfsTrees } from './whole/btrfs.ts';
import { openWholeTreeSnapshotter } from './whole/form.ts';
import { vfsTrees } from './whole/vfs.ts';

const place =
  (isWhole: boolean, open: (options: SnapshotterOptions) => Promise<SettlingSnapshotter>, parent = tmpdir) =>
  async (): Promise<SnapshotPlace> => {
    const dir = await mkdtemp(join(parent(), 'berth-layers-'));
    const layers = join(dir, 'layers');
    const records = openSqliteRecords(join(dir, 'berth.db'));
    const opened: SettlingSnapshotter[] = [];
    const mounts = (): string[] =>
      readMounts()
        .map(({ target }) => target)
        .filter(target => target.startsWith(`${dir}/`));
    return {
      isWhole,
      async open() {
        const snapshotter = await open({ dir: layers, records, log: silentLogger });
        opened.push(snapshotter);
        return snapshotter;
      },
      layerCount: async () =>
        (await readdir(layers)).filter(name => /^\d+$/.test(name)).length + (await readdir(join(layers, 'trash'))).length,
      mounts,
      attributeOf: getXattr,
      async settled() {
        for (const snapshotter of opened) await snapshotter.settled();
      },
      async dispose() {
        for (const target of mounts()) unmount(target, { detach: true });
        for (const snapshotter of opened) await snapshotter.settled();
        records.close();
        await rm(dir, { recursive: true });
      },
    };
  };

snapshotterContract('overlay2', place(false, openOverlaySnapshotter), needs('root').describe);
layerTarContract('overlay2', place(false, openOverlaySnapshotter), needs('root').describe);
snapshotterContract(
  'fuse-overlayfs',
  place(false, options => openFuseOverlaySnapshotter({ ...options, program: 'fuse-overlayfs' })),
  needs('root', 'fuse-overlayfs').describe,
);
snapshotterContract(
  'vfs',
  place(true, options => openWholeTreeSnapshotter(options, vfsTrees)),
  needs('root').describe,
);

needs('root', 'loop', 'btrfs').describe('on btrfs', () => {
  let disk: LoopFileSystem;
  beforeAll(async () => {
    disk = await makeLoopFileSystem('btrfs');
  });
  afterAll(async () => {
    await disk?.[Symbol.asyncDispose]();
  });
  snapshotterContract(
    'btrfs',
    place(
      true,
      options => openWholeTreeSnapshotter(options, btrfsTrees),
      () => disk.path,
    ),
    needs('root').describe,
  );
});
