import { afterAll, beforeAll, expect } from 'bun:test';
import { existsSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StoreDamage, VerifiedStore } from '#api/types/store.ts';
import { buildOk } from '#test/helpers/build.ts';
import { inspect, outputOf, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { makeImage, oldArchive } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { startSmallRegistry, type SmallRegistry } from '#test/helpers/small-registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

interface Image {
  readonly Id: string;
  readonly RootFS: { readonly Layers: string[] };
  readonly GraphDriver: { readonly Data: { readonly UpperDir: string; readonly LowerDir?: string } };
}

describe('berth system verify', () => {
  const daemon = sharedDaemon({ args: ['--insecure-registry', '127.0.0.0/8'] });
  let registry: SmallRegistry;
  let pulled: string;
  beforeAll(async () => {
    registry = startSmallRegistry();
    pulled = `${registry.address}/box:1`;
    await daemon().api.expect('POST', `/images/busybox/tag?repo=${registry.address}/box&tag=1`);
    await daemon().api.expect('POST', `/images/${registry.address}/box/push?tag=1`, { headers: { 'X-Registry-Auth': 'e30=' } });
    for (const name of [pulled, 'busybox']) await daemon().api.expect('DELETE', `/images/${name}?force=1`);
    await daemon().api.expect('POST', `/images/create?fromImage=${registry.address}/box&tag=1`);
    await daemon().api.expect('POST', `/images/${pulled}/tag?repo=busybox&tag=latest`);
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
  });

  const verify = async (...flags: string[]): Promise<{ code: number; damage: StoreDamage[]; report: VerifiedStore }> => {
    const { exitCode: code, stdout, stderr } = await daemon().berth(['system', 'verify', '--format', 'json', ...flags]);
    if (stdout === '') throw new Error(stderr);
    const report = JSON.parse(stdout) as VerifiedStore;
    return { code, report, damage: report.Damage };
  };
  const image = async (name: string): Promise<Image> => await daemon().api.expect<Image>('GET', `/images/${name}/json`);
  const blob = (digest: string): string => join(daemon().dataRoot, 'content/blobs', digest.replace(':', '/'));
  /** The same length and time: only the contents say it. */
  const spoil = (path: string): void => {
    const bytes = readFileSync(path);
    bytes[Math.floor(bytes.length / 2)] = (bytes[Math.floor(bytes.length / 2)] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    utimesSync(path, 1, 1);
  };
  const manifestOf = (digest: string): { layers: { digest: string }[] } => JSON.parse(readFileSync(blob(digest), 'utf8'));
  const pulledManifest = async (): Promise<string> => {
    const { RepoDigests } = await daemon().api.expect<{ RepoDigests: string[] }>('GET', `/images/${pulled}/json`);
    return RepoDigests[0]?.split('@')[1] ?? '';
  };

  test('a sound store is told to be one', async () => {
    await buildOk(
      daemon().api,
      { Dockerfile: 'FROM busybox\nRUN rm /etc/passwd; mkdir /made; echo built > /made/file\nCOPY --link a /linked/\n', a: 'x' },
      { t: 'built:1' },
    );
    const { code, damage, report } = await verify();
    expect([code, damage]).toEqual([0, []]);
    expect(report.Layers).toBe((await image('built:1')).RootFS.Layers.length);
    expect((await daemon().berth(['system', 'verify'])).stdout).toMatch(/^Verified \d+ blobs and 3 layers, .*: nothing is damaged\n$/);
  });

  test('a damaged layer is named, and unpacked again; who runs on it keeps it until its next start', async () => {
    const { GraphDriver } = await image(pulled);
    const file = join(GraphDriver.Data.UpperDir, 'etc/group');
    const sound = readFileSync(file, 'utf8');
    const id = await start(daemon(), waiting());
    spoil(file);
    rmSync(join(GraphDriver.Data.UpperDir, 'etc/passwd'));
    const seen = await verify('--dry-run');
    expect(seen.code).toBe(1);
    expect(seen.damage).toMatchObject([{ Kind: 'layer', Healed: false, Images: expect.arrayContaining([pulled, 'built:1']) as string[] }]);
    expect(seen.damage[0]?.Found).toEqual(
      expect.arrayContaining(['"etc/passwd" is not there', expect.stringMatching(/^"etc\/group" has /) as string]) as string[],
    );
    const { code, damage } = await verify();
    expect([code, damage[0]?.Healed, damage[0]?.Note, damage[0]?.Containers]).toEqual([
      0,
      true,
      'unpacked again from the blob that is here',
      [id],
    ]);
    expect((await image(pulled)).GraphDriver.Data.UpperDir).not.toBe(GraphDriver.Data.UpperDir);
    // The one that runs does not notice.
    expect((await inspect(daemon(), id)).State.Running).toBe(true);
    expect(existsSync(file)).toBe(true);
    expect(await outputOf(daemon(), 'cat /etc/group')).toBe(sound.trim());
    await daemon().api.expect('POST', `/containers/${id}/restart?t=0`);
    expect(existsSync(file)).toBe(false);
    const logs = await daemon().berth(['exec', id, 'cat', '/etc/group']);
    expect(logs.stdout).toBe(sound);
    await daemon().api.expect('DELETE', `/containers/${id}?force=1`);
    expect((await verify()).damage).toEqual([]);
  });

  test('without a sound blob here it is pulled again from where it came', async () => {
    const { GraphDriver } = await image(pulled);
    const [layer] = manifestOf(await pulledManifest()).layers;
    spoil(join(GraphDriver.Data.UpperDir, 'etc/group'));
    spoil(blob(layer?.digest ?? ''));
    const { code, damage } = await verify();
    expect(code).toBe(0);
    expect(damage[0]).toMatchObject({ Kind: 'layer', Healed: true, Note: `pulled again from ${registry.address}/box` });
    expect((await verify()).damage).toEqual([]);
  });

  test('configuration and manifest are pulled again, a blob that can be spared goes when the registry is away', async () => {
    const manifest = await pulledManifest();
    const { Id } = await image(pulled);
    const [layer] = manifestOf(manifest).layers;
    spoil(blob(Id));
    rmSync(blob(manifest));
    expect((await verify()).damage.map(({ Kind, Healed }) => [Kind, Healed])).toEqual([
      ['config', true],
      ['manifest', true],
    ]);
    registry.intercept = () => new Response('gone', { status: 404 });
    spoil(blob(layer?.digest ?? ''));
    spoil(blob(Id));
    const { code, damage } = await verify();
    expect(code).toBe(1);
    expect(damage.map(({ Kind, Healed }) => [Kind, Healed]).sort()).toEqual([
      ['config', false],
      ['layer blob', true],
    ]);
    expect(existsSync(blob(layer?.digest ?? ''))).toBe(false);
    registry.intercept = undefined;
    expect((await verify()).code).toBe(0);
  });

  test('what was loaded or built here cannot be pulled: it says so, names the image, and goes on', async () => {
    const made = makeImage(['precious']);
    await daemon().api.call('POST', '/images/load', { raw: new Uint8Array(oldArchive([{ image: made, tags: ['only:here'] }])) });
    spoil(join((await image('only:here')).GraphDriver.Data.UpperDir, 'file-0'));
    const built = (await image('built:1')).GraphDriver.Data;
    const directory = [built.UpperDir, ...(built.LowerDir ?? '').split(':')].find(path => existsSync(join(path, 'made/file'))) ?? '';
    spoil(join(directory, 'made/file'));
    const { code, damage } = await verify();
    expect(code).toBe(1);
    expect(damage.map(({ Images, Healed }) => [Images, Healed])).toEqual([
      [['built:1'], false],
      [['only:here'], false],
    ]);
    expect(damage[1]?.Note).toContain('it was built, loaded or imported here');
    const words = await daemon().berth(['system', 'verify']);
    expect(words.stdout).toContain('NOT HEALED');
    for (const name of ['only:here', 'built:1']) await daemon().api.expect('DELETE', `/images/${name}`);
    // The build cache has the layer too: it is forgotten, and made again.
    const last = await verify();
    expect([last.code, last.damage.map(({ Note }) => Note)]).toEqual([
      0,
      [expect.stringContaining('the next build does it again') as string],
    ]);
    expect((await verify()).damage).toEqual([]);
  });

  test('damage is noticed at use: a save and a push of what is not what it was fail, a pull does not take it', async () => {
    await daemon().api.expect('POST', '/build/prune?all=1');
    for (const name of [pulled, 'busybox']) await daemon().api.expect('DELETE', `/images/${name}?force=1`);
    await daemon().api.expect('POST', `/images/create?fromImage=${registry.address}/box&tag=1`);
    const [layer] = manifestOf(await pulledManifest()).layers;
    spoil(blob(layer?.digest ?? ''));
    const saved = await daemon().berth(['save', '-o', '/dev/null', pulled]);
    expect([saved.exitCode === 0, saved.stderr]).toEqual([false, expect.any(String) as string]);
    const other = `${registry.address}/other`;
    await daemon().api.expect('POST', `/images/${pulled}/tag?repo=${other}&tag=1`);
    registry.blobs.delete(layer?.digest ?? '');
    const pushed = await daemon().api.call('POST', `/images/${other}/push?tag=1`, { headers: { 'X-Registry-Auth': 'e30=' } });
    expect(pushed.text).toContain('errorDetail');
    const { Id } = await image(pulled);
    for (const name of [`${other}:1`, pulled]) await daemon().api.expect('DELETE', `/images/${name}?force=1`);
    expect(existsSync(blob(Id))).toBe(false);
  });

  test('only one at a time', async () => {
    const stop = new AbortController();
    const first = daemon()
      .api.call('POST', '/berth/system/verify', { signal: stop.signal })
      .catch(() => undefined);
    const second = await daemon().api.call('POST', '/berth/system/verify');
    await first;
    expect([200, 409]).toContain(second.status);
  });
});
