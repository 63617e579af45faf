import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'bun:test';
import type { DiskUsage } from '#api/types/system.ts';
import { buildOk } from '#test/helpers/build.ts';
import { create, outputOf, sharedDaemon, sh, waitForExit } from '#test/helpers/containers.ts';
import { needs } from '#test/helpers/needs.ts';
import { runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

describe('GET /system/df', () => {
  const daemon = sharedDaemon();

  /** Bytes that these take, each inode once. */
  const du = async (...paths: string[]): Promise<number> => {
    if (paths.length === 0) return 0;
    const lines = (await runOk(['du', '-sc', '-B1', ...paths])).trim().split('\n');
    return Number(lines.at(-1)?.split('\t')[0]);
  };
  const directoriesOf = async (image: string): Promise<string[]> => {
    const { GraphDriver } = await daemon().api.expect<{ GraphDriver: { Data: { UpperDir: string; LowerDir?: string } } }>(
      'GET',
      `/images/${image}/json`,
    );
    const { UpperDir, LowerDir } = GraphDriver.Data;
    return [UpperDir, ...(LowerDir === undefined ? [] : LowerDir.split(':'))].map(path => join(path, '..'));
  };
  const sum = (numbers: readonly (number | undefined)[]): number => numbers.reduce<number>((total, each) => total + (each ?? 0), 0);

  test('tells what du tells: images, shared and own, containers, volumes, build cache', async () => {
    const { api } = daemon();
    const write = 'for i in 1 2 3; do dd if=/dev/urandom of=/f$i bs=1000 count=77; done; ln /f1 /l1; truncate -s 5M /hole; mkdir -p /a/b/c';
    for (const name of ['one', 'two'])
      await buildOk(
        api,
        {
          Dockerfile: `FROM busybox\nRUN ${write}\nRUN --mount=type=cache,target=/c head -c 300000 /dev/urandom > /c/${name}; echo ${name} > /own\n`,
        },
        { t: `${name}:1` },
      );
    await api.expect('DELETE', '/images/two:1');
    await api.expect('POST', '/volumes/create', { body: { Name: 'data' } });
    const id = await create(
      daemon(),
      sh(`${write}; head -c 123456 /dev/zero > /v/x`, { Image: 'one:1', HostConfig: { Binds: ['data:/v'] } }),
      'writer',
    );
    await api.expect('POST', `/containers/${id}/start`);
    await waitForExit(daemon(), id);

    const usage = await api.expect<DiskUsage>('GET', '/system/df');
    const layers = join(daemon().dataRoot, 'layers');
    const blobs = join(daemon().dataRoot, 'content/blobs/sha256');
    const ofImages = [...new Set([...(await directoriesOf('one:1')), ...(await directoriesOf('busybox'))])];
    const allBlobs = readdirSync(blobs).map(name => join(blobs, name));
    expect(usage.LayersSize).toBe(await du(...ofImages, ...allBlobs));

    const images = usage.Images ?? [];
    const one = images.find(({ RepoTags }) => RepoTags?.includes('one:1') === true);
    const busybox = images.find(({ RepoTags }) => RepoTags?.includes('busybox:latest') === true);
    const base = await directoriesOf('busybox');
    expect(busybox?.SharedSize).toBe(await du(...base));
    expect(one?.SharedSize).toBe(busybox?.SharedSize ?? -1);
    expect((one?.Size ?? 0) - (one?.SharedSize ?? 0) + (busybox?.Size ?? 0)).toBe(usage.LayersSize ?? -1);

    const container = usage.Containers?.find(({ Id }) => Id === id);
    const { GraphDriver } = await api.expect<{ GraphDriver: { Data: { UpperDir: string } } }>('GET', `/containers/${id}/json`);
    expect(container?.SizeRw).toBe(await du(GraphDriver.Data.UpperDir));
    const volume = usage.Volumes?.find(({ Name }) => Name === 'data');
    expect(volume?.UsageData?.Size).toBe(await du(join(daemon().dataRoot, 'volumes/data/_data')));

    const own = (usage.BuildCache ?? []).filter(record => !record.Shared);
    const writable = join(GraphDriver.Data.UpperDir, '..');
    const ofCache = readdirSync(layers)
      .filter(name => /^\d+$/.test(name))
      .map(name => join(layers, name))
      .filter(path => path !== writable && !ofImages.includes(path));
    const mounts = readdirSync(join(daemon().dataRoot, 'build/caches')).map(name => join(daemon().dataRoot, 'build/caches', name));
    expect(sum(own.map(({ Size }) => Size))).toBe(await du(...ofCache, ...mounts));
    expect(own.length).toBe(2);

    // The files' own sizes are told where they always were.
    const listed = await api.expect<{ Size: number; RepoTags: string[] }[]>('GET', '/images/json');
    expect(listed.find(({ RepoTags }) => RepoTags.includes('one:1'))?.Size).toBeGreaterThan(5_000_000);
    const { stdout } = await daemon().berth(['system', 'df', '--format', '{{.Type}} {{.Size}}']);
    expect(stdout.split('\n')).toHaveLength(5);
    expect(await outputOf(daemon(), 'true')).toBe('');
  });
});
