import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, expect } from 'bun:test';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { sha256 } from '#oci/digest.ts';
import { build, buildOk } from '#test/helpers/build.ts';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { expectTraces, imageTraces } from '#test/helpers/image-traces.ts';
import { type MadeImage, makeTar, oldArchive } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { publishImage } from '#test/helpers/publish-image.ts';
import { startSmallRegistry, type SmallRegistry } from '#test/helpers/small-registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft');
const megabyte = 1_000_000;

/** An image with one layer of a megabyte that cannot be compressed. */
function large(name: string): MadeImage {
  const data = new Uint8Array(megabyte);
  for (let at = 0; at < data.length; at += 65_536) crypto.getRandomValues(data.subarray(at, at + 65_536));
  const layer = makeTar({ [name]: data });
  const config = new TextEncoder().encode(
    JSON.stringify({ architecture: 'amd64', os: 'linux', config: { Cmd: [name] }, rootfs: { type: 'layers', diff_ids: [sha256(layer)] } }),
  );
  return { id: sha256(config), config, layers: [gzipSync(layer)], diffIds: [sha256(layer)] };
}

describe('the disk budget', () => {
  const daemon = sharedDaemon({ busybox: false, args: ['--insecure-registry', '127.0.0.0/8'] });
  let registry: SmallRegistry;
  const images = ['old', 'used', 'young'].map(large);
  const [old, , young] = images as [MadeImage, MadeImage, MadeImage];
  const loaded = large('loaded');
  const nameOf = (name: string): string => `${registry.address}/${name}:1`;
  const blobOf = (image: MadeImage): string =>
    join(daemon().dataRoot, 'content/blobs/sha256', sha256(image.layers[0] as Uint8Array).slice('sha256:'.length));
  const tags = async (): Promise<string[]> =>
    (await daemon().api.expect<{ RepoTags: string[] | null; Id: string }[]>('GET', '/images/json'))
      .flatMap(({ RepoTags, Id }) => RepoTags ?? [Id])
      .toSorted();
  const caches = async (): Promise<number> =>
    (await daemon().api.expect<{ BuildCache: unknown[] | null }>('GET', '/system/df?type=build-cache')).BuildCache?.length ?? 0;
  const diskUse = (): number => {
    const paths = ['content/blobs', 'layers'].map(path => join(daemon().dataRoot, path));
    const { stdout } = Bun.spawnSync(['du', '-sc', '-B1', ...paths], { stdout: 'pipe' });
    return Number(stdout.toString().trim().split('\n').at(-1)?.split('\t')[0]);
  };

  /** As if everything had been used this many hours ago; later ones in the list less. */
  const restartAged = async (hours: Readonly<Record<string, number>>, config: object): Promise<void> => {
    await daemon().stop();
    const records = new Database(join(daemon().dataRoot, 'berth.db'));
    for (const [id, ago] of Object.entries(hours)) {
      const at = Date.now() - ago * 3_600_000;
      const value = JSON.stringify({ usedAt: at, movedAt: at });
      records.run("INSERT OR REPLACE INTO records (noun, key, value) VALUES ('image-uses', ?, ?)", [id, value]);
      records.run("UPDATE records SET value = json_set(value, '$.addedAt', ?) WHERE noun = 'images' AND key = ?", [
        new Date(at).toISOString(),
        id,
      ]);
    }
    records.run("UPDATE records SET value = json_set(value, '$.lastUsedAt', ?) WHERE noun = 'build-cache'", [
      new Date(Date.now() - 3_600_000).toISOString(),
    ]);
    records.close();
    await Bun.write(join(daemon().folder, 'daemon.json'), JSON.stringify(config));
    await daemon().start();
  };

  beforeAll(async () => {
    registry = startSmallRegistry();
    for (const [index, image] of images.entries()) {
      const name = ['old', 'used', 'young'][index] ?? '';
      publishImage(registry, name, '1', image);
      await daemon().api.expect('POST', `/images/create?fromImage=${registry.address}/${name}&tag=1`);
    }
    await daemon().api.call('POST', '/images/load', {
      raw: new Uint8Array(
        oldArchive([
          { image: { ...loaded, layers: [Bun.gunzipSync(new Uint8Array(loaded.layers[0] as Uint8Array))] }, tags: ['loaded:1'] },
        ]),
      ),
    });
    await daemon().api.expect('POST', '/containers/create?name=user', { body: { Image: nameOf('used'), Cmd: ['/none'] } });
  }, 60_000);
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
  });
  const ids = { old: old.id, used: images[1]?.id ?? '', young: young.id, loaded: loaded.id };

  test('compressed layers go when they were not moved for long; what they were is still had', async () => {
    await restartAged({ [ids.old]: 200, [ids.used]: 100, [ids.young]: 50, [ids.loaded]: 300 }, {});
    await eventually('the old blob is gone', () => !existsSync(blobOf(old)));
    expect(existsSync(blobOf(young))).toBe(true);
    // To where it came from nothing has to be sent.
    registry.requests.length = 0;
    const pushed = await daemon().api.call('POST', `/images/${registry.address}/old/push?tag=1`, {
      headers: { 'X-Registry-Auth': 'e30=' },
    });
    expect(pushed.text).toContain('Layer already exists');
    expect(registry.requests.some(({ line }) => line.startsWith('PUT') && line.includes('blobs'))).toBe(false);
    // Elsewhere it is compressed anew, and is the same image.
    const elsewhere = `${registry.address}/elsewhere`;
    await daemon().api.expect('POST', `/images/${nameOf('old')}/tag?repo=${elsewhere}&tag=1`);
    registry.blobs.delete(sha256(old.layers[0] as Uint8Array));
    const again = await daemon().api.call('POST', `/images/${elsewhere}/push?tag=1`, { headers: { 'X-Registry-Auth': 'e30=' } });
    expect(again.text).not.toContain('errorDetail');
    await daemon().api.expect('DELETE', `/images/${elsewhere}:1`);
    const archive = await (await daemon().api.open('GET', `/images/${nameOf('old')}/get`)).arrayBuffer();
    await daemon().api.expect('DELETE', `/images/${nameOf('old')}`);
    const said = await daemon().api.call('POST', '/images/load', { raw: new Uint8Array(archive) });
    expect(said.text).toContain('Loaded image');
    expect(await tags()).toContain(nameOf('old'));
    await daemon().api.expect('DELETE', `/images/${nameOf('old')}`);
    publishImage(registry, 'old', '1', old);
    await daemon().api.expect('POST', `/images/create?fromImage=${registry.address}/old&tag=1`);
  });

  test('without room: blobs first, then the build cache and images without a tag, then what can be pulled again', async () => {
    await buildOk(daemon().api, { Dockerfile: `FROM ${nameOf('used')}\nCOPY data /data\n`, data: 'x'.repeat(megabyte) }, { t: 'built:1' });
    await daemon().api.expect('DELETE', '/images/built:1');
    expect(await caches()).toBe(1);
    const ages = { [ids.old]: 40, [ids.used]: 30, [ids.young]: 20, [ids.loaded]: 300 };
    // Five unpacked layers and little more.
    await restartAged(ages, { 'disk-budget': '5632kB', 'disk-budget-images': 'pulled' });
    await eventually('all blobs of layers are gone', () => !existsSync(blobOf(young)));
    await eventually('what is used is within the budget', () => diskUse() <= 5_800_000);
    expect(await tags()).toEqual([nameOf('old'), nameOf('used'), nameOf('young'), 'loaded:1'].toSorted());
    await restartAged(ages, { 'disk-budget': '3900kB', 'disk-budget-images': 'pulled' });
    await eventually('the build cache is gone', async () => (await caches()) === 0);
    await eventually('the oldest that can be pulled is gone', async () => !(await tags()).includes(nameOf('old')));
    expect(await tags()).toEqual([nameOf('used'), nameOf('young'), 'loaded:1'].toSorted());
    // Told once all of it is gone.
    const events = await eventually('it is told', async () => {
      const until = (Date.now() / 1000).toFixed(3);
      const answer = await daemon().api.call('GET', `/events?since=0&until=${until}`);
      return answer.text.includes('"cause":"disk-budget"') ? answer : undefined;
    });
    expect(events.text).toMatch(new RegExp(`"Action":"delete"[^\\n]*${ids.old}|${ids.old}[^\\n]*"Action":"delete"`));
  });

  test('room is made for a pull by what may go, its own compressed layers among it', async () => {
    await restartAged({ [ids.used]: 30, [ids.young]: 20, [ids.loaded]: 300 }, { 'disk-budget': '3900kB', 'disk-budget-images': 'pulled' });
    await daemon().api.expect('POST', `/images/create?fromImage=${registry.address}/old&tag=1`);
    expect(await tags()).toEqual([nameOf('old'), nameOf('used'), 'loaded:1'].toSorted());
    expect(existsSync(blobOf(old))).toBe(false);
  });

  test('what would be too much without all that may go is refused, by whatever door it comes, and leaves nothing', async () => {
    await restartAged({ [ids.old]: 40, [ids.used]: 30, [ids.loaded]: 300 }, { 'disk-budget': '3500kB' });
    const [before, kept] = [imageTraces(daemon()), await tags()];
    const rootTar = new Uint8Array(Bun.gunzipSync(new Uint8Array(young.layers[0] as Uint8Array)));
    const archive = new Uint8Array(oldArchive([{ image: { ...young, layers: [rootTar] }, tags: ['more:1'] }]));
    registry.requests.length = 0;
    const refusals = {
      pull: (await daemon().api.call('POST', `/images/create?fromImage=${registry.address}/young&tag=1`)).text,
      load: (await daemon().api.call('POST', '/images/load', { raw: archive })).text,
      import: (await daemon().api.call('POST', '/images/create?fromSrc=-&repo=more', { raw: rootTar })).text,
      build: (
        await build(daemon().api, { Dockerfile: `FROM ${nameOf('used')}\nCOPY data /data\n`, data: 'x'.repeat(megabyte) }, { t: 'more:1' })
      ).error,
    };
    for (const [door, words] of Object.entries(refusals)) {
      expect([door, words]).toEqual([
        door,
        expect.stringMatching(/no room in the disk budget of 3\.584MB: with this it would be [4-9]\S*MB/),
      ]);
      expect([door, words]).toEqual([door, expect.stringContaining('MB in images that containers use')]);
    }
    expect(registry.requests.some(({ line }) => line.includes('/blobs/') && line.includes(sha256(young.layers[0] as Uint8Array)))).toBe(
      false,
    );
    await expectTraces(daemon(), before);
    expect(await tags()).toEqual(kept);
    await daemon().api.expect('DELETE', `/images/${nameOf('old')}`);
    await daemon().api.expect('POST', `/images/create?fromImage=${registry.address}/young&tag=1`);
    expect(await tags()).toEqual([nameOf('used'), nameOf('young'), 'loaded:1'].toSorted());
  });

  test('what containers use, and what only the operator may give up, stays whatever the budget is', async () => {
    await restartAged({ [ids.used]: 30, [ids.young]: 20, [ids.loaded]: 300 }, { 'disk-budget': '1kB', 'disk-budget-images': 'pulled' });
    await eventually('all that may go is gone', async () => !(await tags()).includes(nameOf('young')));
    expect(await tags()).toEqual([nameOf('used'), 'loaded:1'].toSorted());
    await restartAged({ [ids.used]: 30, [ids.loaded]: 300 }, { 'disk-budget': '1kB', 'disk-budget-images': 'unused' });
    await eventually('the loaded one is gone', async () => (await tags()).length === 1);
    await daemon().api.expect('DELETE', '/containers/user');
    // It was in use until now: whoever removes a container may be about to start the next one.
    expect(await tags()).toEqual([nameOf('used')]);
    await restartAged({ [ids.used]: 1 }, { 'disk-budget': '1kB', 'disk-budget-images': 'unused' });
    await eventually('nothing is left', () => imageTraces(daemon()).length === 0);
  });
});
