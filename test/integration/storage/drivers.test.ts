import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { buildOk } from '#test/helpers/build.ts';
import { create, inspect, outputOf, remove, sh, start, waiting, waitForExit } from '#test/helpers/containers.ts';
import { startDaemon, tempFolder, type TestDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { type LoopFileSystem, makeLoopFileSystem } from '#test/helpers/loop-file-system.ts';
import { type Need, needs } from '#test/helpers/needs.ts';

interface Driver {
  readonly name: 'overlay2' | 'fuse-overlayfs' | 'vfs' | 'btrfs';
  readonly needs: readonly Need[];
}

const drivers: readonly Driver[] = [
  { name: 'overlay2', needs: [] },
  { name: 'fuse-overlayfs', needs: ['fuse-overlayfs'] },
  { name: 'vfs', needs: [] },
  { name: 'btrfs', needs: ['loop', 'btrfs'] },
];

for (const driver of drivers) {
  needs('root', 'conmon', 'nft', ...driver.needs).describe(`storage driver ${driver.name}`, () => {
    const { test } = needs('root', 'conmon', 'nft', ...driver.needs);
    let disk: LoopFileSystem | undefined;
    let daemon: TestDaemon;
    beforeAll(async () => {
      if (driver.name === 'btrfs') disk = await makeLoopFileSystem('btrfs');
      daemon = await startDaemon({
        args: ['--storage-driver', driver.name],
        ...(disk === undefined ? {} : { dataRoot: join(disk.path, 'data') }),
      });
    }, 60_000);
    afterAll(async () => {
      try {
        await daemon?.[Symbol.asyncDispose]();
      } finally {
        await disk?.[Symbol.asyncDispose]();
      }
    }, 60_000);

    const layers = (): string[] => readdirSync(join(daemon.dataRoot, 'layers')).filter(name => /^\d+$/.test(name));
    const changes = async (id: string): Promise<string[]> =>
      (await daemon.api.expect<{ Kind: number; Path: string }[]>('GET', `/containers/${id}/changes`)).map(
        ({ Kind, Path }) => `${'CAD'[Kind] ?? '?'} ${Path}`,
      );

    test('is named in info and inspect', async () => {
      expect((await daemon.api.expect<{ Driver: string }>('GET', '/info')).Driver).toBe(driver.name);
      const image = await daemon.api.expect<{ GraphDriver: { Name: string; Data: object | null } }>('GET', '/images/busybox/json');
      expect([image.GraphDriver.Name, image.GraphDriver.Data === null]).toEqual([driver.name, ['vfs', 'btrfs'].includes(driver.name)]);
    });

    test('containers have private roots; diff, size, cp, commit and export tell what they changed', async () => {
      const script =
        'mkdir /made; echo new >/made/file; rm /etc/group; echo x >>/etc/passwd; touch /etc/same; rm /etc/same; chmod 700 /home; echo done';
      const id = await start(daemon, sh(script));
      expect(await waitForExit(daemon, id)).toBe(0);
      expect(await changes(id)).toEqual(['C /etc', 'D /etc/group', 'C /etc/passwd', 'C /home', 'A /made', 'A /made/file']);
      expect(await outputOf(daemon, 'ls -d /made /etc/group 2>/dev/null || true')).toBe('/etc/group');
      const { SizeRw } = await daemon.api.expect<{ SizeRw: number }>('GET', `/containers/${id}/json?size=1`);
      expect(SizeRw).toBeGreaterThan(4);
      expect(SizeRw).toBeLessThan(10_000);
      const tar = await (await daemon.api.open('GET', `/containers/${id}/archive?path=/made/file`)).arrayBuffer();
      expect(Buffer.from(tar).toString('latin1')).toContain('new\n');
      await daemon.api.expect('POST', `/commit?container=${id}&repo=committed&tag=1`);
      const look = { Image: 'committed:1' };
      expect(await outputOf(daemon, 'cat /made/file; ls /etc/group 2>/dev/null || echo gone; stat -c %a /home', look)).toBe(
        'new\ngone\n700',
      );
      const exported = await (await daemon.api.open('GET', `/containers/${id}/export`)).arrayBuffer();
      const names = [
        ...Buffer.from(exported)
          .toString('latin1')
          .matchAll(/made\/file/g),
      ];
      expect(names).not.toEqual([]);
      await remove(daemon, id);
      await daemon.api.expect('DELETE', '/images/committed:1');
    });

    test('builds: steps, whiteouts, linked copies, and the same digest again', async () => {
      const context = {
        Dockerfile: [
          'FROM busybox AS one',
          'RUN mkdir /d && echo a >/d/a && echo b >/d/b && ln /d/a /d/hard && ln -s a /d/soft && chown 7:8 /d/b',
          'RUN rm /d/a && echo longer >/d/b',
          'RUN rm -r /d/soft && mkdir /d/soft && echo in >/d/soft/in',
          'FROM busybox',
          'COPY --link f /linked/',
          'COPY --from=one /d /copied',
          'WORKDIR /work',
          'RUN --mount=type=bind,rw,target=/ctx touch /ctx/scratch && cat /ctx/f >out',
        ].join('\n'),
        f: 'file',
      };
      const id = await buildOk(daemon.api, context, { t: 'built:1' });
      const script = 'cat /copied/hard /copied/b /copied/soft/in /linked/f out; stat -c %u:%g /copied/b; ls /copied';
      expect(await outputOf(daemon, script, { Image: 'built:1' })).toBe('a\nlonger\nin\nfilefile7:8\nb\nhard\nsoft');
      expect(await buildOk(daemon.api, context, { t: 'built:2' })).toBe(id);
      for (const name of ['built:1', 'built:2']) await daemon.api.expect('DELETE', `/images/${name}`);
      await daemon.api.expect('POST', '/build/prune?all=1');
    });

    test('a running container outlives the daemon, with its root', async () => {
      const id = await start(daemon, waiting());
      await daemon.kill();
      await daemon.start();
      const { Id } = await daemon.api.expect<{ Id: string }>('POST', `/containers/${id}/exec`, {
        body: { Cmd: ['sh', '-c', 'echo kept >/kept'], AttachStdout: true },
      });
      await daemon.api.expect('POST', `/exec/${Id}/start`, { body: { Detach: false } });
      expect((await inspect(daemon, id)).State.Running).toBe(true);
      expect(await changes(id)).toEqual(['A /kept']);
      await daemon.api.expect('POST', `/containers/${id}/restart?t=5`);
      expect(await changes(id)).toEqual(['A /kept']);
      await remove(daemon, id);
    });

    test('image mounts, volumes and throw-away containers', async () => {
      const body = {
        HostConfig: {
          AutoRemove: false,
          ReadonlyRootfs: true,
          Mounts: [
            { Type: 'image', Source: 'busybox', Target: '/mnt' },
            { Type: 'volume', Source: 'filled', Target: '/etc' },
          ],
        },
      };
      expect(await outputOf(daemon, 'ls -d /mnt/bin; head -c 5 /etc/passwd; touch /mnt/x /x 2>/dev/null || echo refused', body)).toBe(
        '/mnt/bin\nroot:refused',
      );
      await daemon.api.expect('DELETE', '/volumes/filled');
      const id = await create(daemon, sh('echo x >/x', { HostConfig: { AutoRemove: true } }));
      const gone = daemon.api.expect('POST', `/containers/${id}/wait?condition=removed`);
      await daemon.api.expect('POST', `/containers/${id}/start`);
      await gone;
    });

    if (driver.name === 'btrfs') {
      test('--storage-opt size limits what a container may hold', async () => {
        const limited = { HostConfig: { StorageOpt: { size: '20m' } } };
        const written = await outputOf(
          daemon,
          'dd if=/dev/urandom of=/big bs=1M count=64 2>/dev/null && echo all; stat -c %s /big',
          limited,
        );
        expect(Number(written)).toBeLessThanOrEqual(20 * 1024 * 1024);
        expect(Number(written)).toBeGreaterThan(5 * 1024 * 1024);
        expect(await outputOf(daemon, 'dd if=/dev/urandom of=/big bs=1M count=64 2>/dev/null; stat -c %s /big')).toBe(
          String(64 * 1024 * 1024),
        );
      });

      test('a limit for all containers that name none', async () => {
        await using one = await startDaemon({
          dataRoot: join(disk?.path ?? '', 'limited'),
          args: ['--storage-driver', 'btrfs', '--storage-opt', 'btrfs.size=15M'],
        });
        const written = await outputOf(one, 'dd if=/dev/urandom of=/big bs=1M count=32 2>/dev/null && echo all; stat -c %s /big');
        expect(Number(written)).toBeLessThanOrEqual(15 * 1024 * 1024);
      });

      test('--opt size limits what a volume may hold', async () => {
        await daemon.api.expect('POST', '/volumes/create', { body: { Name: 'small', DriverOpts: { size: '10m' } } });
        const bind = { HostConfig: { Binds: ['small:/data'] } };
        const written = await outputOf(
          daemon,
          'dd if=/dev/urandom of=/data/big bs=1M count=32 2>/dev/null && echo all; stat -c %s /data/big',
          bind,
        );
        expect(Number(written)).toBeLessThanOrEqual(10 * 1024 * 1024);
        await daemon.api.expect('DELETE', '/volumes/small', { status: 204 });
        expect(readdirSync(join(daemon.dataRoot, 'volumes'))).toEqual([]);
      });
    } else {
      test('--storage-opt size is refused with the reason where it cannot be kept', async () => {
        const before = layers();
        const refused = await daemon.api.post<{ message: string }>('/containers/create', {
          Image: 'busybox',
          HostConfig: { StorageOpt: { size: '20m' } },
        });
        expect(refused.status).toBe(400);
        expect(refused.json.message).toContain('size');
        expect(layers()).toEqual(before);
        const volume = await daemon.api.post<{ message: string }>('/volumes/create', { Name: 'small', DriverOpts: { size: '10m' } });
        expect(volume.status).toBe(400);
        expect(volume.json.message).toContain('quota size requested but no quota support: the size of');
        expect((await daemon.api.get('/volumes/small')).status).toBe(404);
      });
    }

    test('when everything is removed, no layer is left', async () => {
      await daemon.removeContainers();
      expect(layers().length).toBe(1);
      await daemon.api.expect('DELETE', '/images/busybox');
      await eventually(
        'the layers are gone',
        () => layers().length === 0 && readdirSync(join(daemon.dataRoot, 'layers/trash')).length === 0,
      );
    });
  });
}

const { describe, test } = needs('root', 'conmon', 'nft');
describe('choosing a storage driver', () => {
  test('layers of one driver are refused by another, and taken up without asking', async () => {
    await using folder = await tempFolder();
    const dataRoot = join(folder.path, 'data');
    mkdirSync(dataRoot);
    {
      await using first = await startDaemon({ dataRoot, args: ['--storage-driver', 'vfs'] });
      await first.stop();
      await using second = await startDaemon({ dataRoot, busybox: false });
      expect((await second.api.expect<{ Driver: string }>('GET', '/info')).Driver).toBe('vfs');
      expect(await outputOf(second, 'echo fine')).toBe('fine');
    }
    await using third = await startDaemon({ dataRoot, args: ['--storage-driver', 'overlay2'], busybox: false }).catch((err: unknown) => {
      expect(String(err)).toContain('were made with the storage driver vfs, and overlay2 cannot read them');
      return undefined;
    });
    expect(third).toBeUndefined();
  });

  test('a driver that cannot work in the data root is refused with the reason', async () => {
    const err = await startDaemon({ args: ['--storage-driver', 'btrfs'], busybox: false }).then(
      () => '',
      (reason: unknown) => String(reason),
    );
    expect(err).toContain('the storage driver btrfs cannot be used in');
    const limited = await startDaemon({ args: ['--storage-opt', 'vfs.size=1G', '--storage-driver', 'vfs'], busybox: false }).then(
      () => '',
      (reason: unknown) => String(reason),
    );
    expect(limited).toContain('the storage driver vfs cannot limit the size of a container');
  });
});
