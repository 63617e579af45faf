import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { projectOf, projectUse } from '#host/sys/project-quota.ts';
import { create, outputOf, remove, sh } from '#test/helpers/containers.ts';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { type LoopFileSystem, makeLoopFileSystem } from '#test/helpers/loop-file-system.ts';
import { needs, unmet } from '#test/helpers/needs.ts';

const kinds = [
  { type: 'ext4', mkfs: ['-O', 'quota,project'], mount: ['prjquota'] },
  { type: 'xfs', mkfs: [], mount: ['pquota'] },
] as const;

for (const { type, mkfs, mount } of kinds) {
  const wanted = ['root', 'conmon', 'nft', 'loop', 'project-quotas', ...(type === 'xfs' ? (['xfs'] as const) : [])] as const;
  needs(...wanted).describe(`sizes on ${type} with project quotas`, () => {
    const { test } = needs(...wanted);
    let disk: LoopFileSystem;
    let daemon: TestDaemon;
    beforeAll(async () => {
      if (unmet(...wanted) !== undefined) return;
      disk = await makeLoopFileSystem(type, { mkfs, mount });
      mkdirSync(join(disk.path, 'data'));
      daemon = await startDaemon({ dataRoot: join(disk.path, 'data') });
    }, 120_000);
    afterAll(async () => {
      try {
        await daemon?.[Symbol.asyncDispose]();
      } finally {
        await disk?.[Symbol.asyncDispose]();
      }
    }, 60_000);

    const fill = 'dd if=/dev/zero of=$0 bs=1M count=12 2>/dev/null && echo all; stat -c %s $0';
    const filling = (path: string): string => fill.replaceAll('$0', path);
    const limitOf = (directory: string): unknown => {
      const use = projectUse(directory, projectOf(directory));
      return typeof use === 'number' ? use : use.limitBytes;
    };

    test('a container writes no more than --storage-opt size, other containers do', async () => {
      const limited = { HostConfig: { StorageOpt: { size: '6m' } } };
      const written = Number(await outputOf(daemon, filling('/big'), limited));
      expect(written).toBeLessThanOrEqual(6 * 1024 * 1024);
      expect(written).toBeGreaterThan(3 * 1024 * 1024);
      expect(await outputOf(daemon, filling('/big'))).toContain('all');
    });

    test('the limit goes with the container', async () => {
      const id = await create(daemon, sh('true', { HostConfig: { StorageOpt: { size: '6m' } } }));
      const { GraphDriver } = await daemon.api.expect<{ GraphDriver: { Data: { UpperDir: string } } }>('GET', `/containers/${id}/json`);
      const project = projectOf(GraphDriver.Data.UpperDir);
      expect(project).toBeGreaterThan(0);
      expect(limitOf(GraphDriver.Data.UpperDir)).toBe(6 * 1024 * 1024);
      await remove(daemon, id);
      await eventually('nothing is left of the layer', () => readdirSync(join(daemon.dataRoot, 'layers/trash')).length === 0);
      const use = projectUse(disk.path, project);
      expect(typeof use === 'number' ? 0 : use.limitBytes).toBe(0);
    });

    test('a volume holds no more than --opt size', async () => {
      await daemon.api.expect('POST', '/volumes/create', { body: { Name: 'small', DriverOpts: { size: '4m' } } });
      const { Mountpoint } = await daemon.api.expect<{ Mountpoint: string }>('GET', '/volumes/small');
      expect(limitOf(Mountpoint)).toBe(4 * 1024 * 1024);
      const written = await outputOf(daemon, filling('/data/big'), { HostConfig: { Binds: ['small:/data'] } });
      expect(Number(written)).toBeLessThanOrEqual(4 * 1024 * 1024);
      await daemon.api.expect('DELETE', '/volumes/small', { status: 204 });
    });
  });
}
