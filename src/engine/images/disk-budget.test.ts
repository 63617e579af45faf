import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { kindOf, messageOf } from '#base/errors.ts';
import { silentLogger } from '#base/log.ts';
import { hostPlatform } from '#oci/platform.ts';
import { parseReference } from '#oci/reference.ts';
import { fakeRegistry, type FakeRegistry } from '#test/helpers/fake-registry.ts';
import { fakeContent, fakeEvents, fakeRecords, fakeSnapshots } from '#test/helpers/image-fakes.ts';
import { inPieces, makeImage, oldArchive } from '#test/helpers/make-image.ts';
import { createImageService, type ImageService } from './service.ts';

const signal = new AbortController().signal;
/** A layer that takes as much compressed as it does unpacked. */
const solid = (name: string, bytes = 30_000) =>
  makeImage([`${name} ${Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('latin1')}`], { compress: true });
/** A layer that is next to nothing until it is unpacked. */
const airy = (name: string, bytes = 100_000) => makeImage([name.repeat(bytes / name.length)], { compress: true });

describe('the disk budget', () => {
  let registry: FakeRegistry;
  let content: Awaited<ReturnType<typeof fakeContent>>;
  let budgetBytes: number;
  const snapshots = { ...fakeSnapshots() };
  let records = fakeRecords();
  let images: ImageService;
  const used = new Set<string>();

  const open = (): ImageService =>
    createImageService({
      content,
      snapshots,
      records,
      events: fakeEvents(),
      registry,
      users: { usedBy: id => (used.has(id) ? [{ containerId: 'c'.repeat(64), running: false }] : []) },
      applyChanges: config => config,
      platform: hostPlatform('x64'),
      decompress: source => source,
      compress: source => source,
      openUrl: () => Promise.reject(new Error('no address is opened here')),
      budget: () => ({ totalBytes: budgetBytes, images: 'untagged', blobsUnusedForMs: undefined }),
      log: silentLogger,
    });
  beforeEach(async () => {
    registry = fakeRegistry();
    content = await fakeContent();
    records = fakeRecords();
    Object.assign(snapshots, fakeSnapshots());
    used.clear();
    images = open();
  });
  afterEach(async () => {
    await images.close();
    await content[Symbol.asyncDispose]();
  });

  const pull = (name: string): Promise<void> =>
    images.pull({ reference: parseReference(name), allTags: false, platform: undefined, auth: undefined }, () => undefined, signal);
  const refusal = async (work: Promise<unknown>): Promise<string> => {
    const err: unknown = await work.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(kindOf(err)).toBe('ResourceExhausted');
    return messageOf(err);
  };
  const tags = async (): Promise<string[]> =>
    (await images.list({ all: true, filters: {}, sharedSize: false, manifests: false })).flatMap(({ repoTags }) => repoTags).toSorted();
  /** As if nothing had been used for an hour. */
  const age = async (): Promise<void> => {
    await images.close();
    const uses = records.table<{ usedAt: number; movedAt: number }>('image-uses');
    for (const { key } of records.table('images').list()) uses.put(key, { usedAt: Date.now() - 3_600_000, movedAt: 0 });
    images = open();
  };

  test('refuses a pull that cannot fit before anything of it is fetched', async () => {
    budgetBytes = 20_000;
    registry.add('docker.io/library/large:1', solid('large'));
    const words = await refusal(pull('large:1'));
    expect(words).toMatch(/^no room in the disk budget of 20kB: with this it would be \d+(\.\d+)?kB/);
    expect(words).toContain('raise "disk-budget"');
    expect(registry.reads.length).toBe(1);
    expect([content.blobs.size, snapshots.layers.size]).toEqual([0, 0]);
  });

  test('takes back what turns out to be too much when it is unpacked', async () => {
    budgetBytes = 50_000;
    registry.add('docker.io/library/bomb:1', airy('bomb'));
    await refusal(pull('bomb:1'));
    expect([content.blobs.size, snapshots.layers.size, await tags()]).toEqual([0, 0, []]);
    const archive = oldArchive([{ image: makeImage(['y'.repeat(100_000)]), tags: ['bomb:2'] }]);
    await refusal(images.load(inPieces(archive), { platforms: [], quiet: true }, () => undefined, signal));
    expect([content.blobs.size, snapshots.layers.size, await tags()]).toEqual([0, 0, []]);
  });

  test('names what is there, and takes nothing in vain', async () => {
    budgetBytes = 100_000;
    const [first, second] = [solid('first', 10_000), solid('second', 10_000)];
    registry.add('docker.io/library/first:1', first);
    registry.add('docker.io/library/second:1', second);
    await pull('first:1');
    await pull('second:1');
    used.add(first.id);
    await age();
    registry.add('docker.io/library/large:1', solid('large', 60_000));
    const words = await refusal(pull('large:1'));
    expect(words).not.toContain('last minute');
    expect(words).toMatch(/kB in images that containers use, .*kB in images that no container uses \(second:1\)/);
    expect(await tags()).toEqual(['first:1', 'second:1']);
  });

  test('lets what may go make room', async () => {
    budgetBytes = 100_000;
    registry.add('docker.io/library/app:1', solid('old'));
    await pull('app:1');
    registry.add('docker.io/library/app:1', solid('new', 1_000));
    await pull('app:1');
    registry.add('docker.io/library/next:1', solid('next'));
    expect(await refusal(pull('next:1'))).toContain('Images used within the last minute (1) stay until it is over');
    await age();
    await pull('next:1');
    expect(await tags()).toEqual(['app:1', 'next:1']);
    expect(snapshots.layers.size).toBe(2);
  });

  test('gives its own compressed layers away rather than the image', async () => {
    snapshots.tarSize = chain => snapshots.layers.get(chain)?.sizeBytes;
    registry.add('docker.io/library/app:1', solid('app'));
    budgetBytes = 70_000;
    await pull('app:1');
    expect(await tags()).toEqual(['app:1']);
    expect([...content.blobs.values()].every(({ length }) => length < 10_000)).toBe(true);
  });

  test('promises the same room to one only', async () => {
    budgetBytes = 60_000;
    for (const name of ['one', 'two']) registry.add(`docker.io/library/${name}:1`, solid(name));
    const gate = Promise.withResolvers<void>();
    registry.gate = async digest => {
      if ((registry.blobs.get(digest)?.length ?? 0) > 10_000) await gate.promise;
    };
    const both = ['one:1', 'two:1'].map(name => pull(name));
    const first = await Promise.race(both.map(async (work, index) => await work.then(() => -1).catch(() => index)));
    expect(first).toBeGreaterThanOrEqual(0);
    budgetBytes = 140_000;
    gate.resolve();
    await both[1 - first];
    expect((await tags()).length).toBe(1);
  });

  test('does not refuse what is here', async () => {
    budgetBytes = 200_000;
    registry.add('docker.io/library/app:1', solid('app'));
    await pull('app:1');
    budgetBytes = 1;
    await pull('app:1');
    await images.tag('app:1', 'again', '');
    expect(await tags()).toEqual(['again:latest', 'app:1']);
  });
});
