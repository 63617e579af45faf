import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '#base/log.ts';
import { snapshotterContract } from '#core/snapshots.contract.ts';
import { openSqliteRecords } from '#host/state/sqlite-records.ts';
import { unmount } from '#host/sys/mount.ts';
import { readMounts } from '#host/sys/mountinfo.ts';
import { needs } from '#test/helpers/needs.ts';
import { openOverlaySnapshotter } from './snapshotter.ts';

snapshotterContract(
  'overlay',
  async () => {
    const dir = await mkdtemp(join(tmpdir(), 'berth-layers-'));
    const layers = join(dir, 'layers');
    const records = openSqliteRecords(join(dir, 'berth.db'));
    const opened: Awaited<ReturnType<typeof openOverlaySnapshotter>>[] = [];
    const mounts = (): string[] =>
      readMounts()
        .map(({ target }) => target)
        .filter(target => target.startsWith(`${dir}/`));
    return {
      async open() {
        const snapshotter = await openOverlaySnapshotter({ dir: layers, records, log: silentLogger });
        opened.push(snapshotter);
        return snapshotter;
      },
      layerCount: async () =>
        (await readdir(layers)).filter(name => /^\d+$/.test(name)).length + (await readdir(join(layers, 'trash'))).length,
      mounts,
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
  },
  needs('root').describe,
);
