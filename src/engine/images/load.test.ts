import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { kindOf } from '#base/errors.ts';
import { silentLogger } from '#base/log.ts';
import { hostPlatform } from '#oci/platform.ts';
import { fakeContent, fakeEvents, fakeRecords, fakeSnapshots } from '#test/helpers/image-fakes.ts';
import { inPieces, type MadeImage, makeImage, makeTar, ociArchive, oldArchive } from '#test/helpers/make-image.ts';
import type { ImageProgress } from './model.ts';
import { createImageService, type ImageService } from './service.ts';

let content: Awaited<ReturnType<typeof fakeContent>>;
let snapshots: ReturnType<typeof fakeSnapshots>;
let events: ReturnType<typeof fakeEvents>;
let images: ImageService;
const signal = new AbortController().signal;

beforeEach(async () => {
  content = await fakeContent();
  snapshots = fakeSnapshots();
  events = fakeEvents();
  images = createImageService({
    content,
    snapshots,
    events,
    records: fakeRecords(),
    users: { usedBy: () => [] },
    applyChanges: config => config,
    platform: hostPlatform('x64'),
    decompress: source => source,
    compress: source => source,
    openUrl: () => Promise.reject(new Error('no address is opened here')),
    registry: {
      repository: () => Promise.reject(new Error('no registry')) as never,
      login: () => Promise.reject(new Error('no registry')),
      search: () => Promise.resolve([]),
    },
    log: silentLogger,
  });
});
afterEach(async () => {
  expect(snapshots.pending.size).toBe(0);
  await content[Symbol.asyncDispose]();
});

async function load(archive: Uint8Array, platform?: string): Promise<ImageProgress[]> {
  const told: ImageProgress[] = [];
  const options = { platforms: platform === undefined ? [] : [hostPlatform(platform)], quiet: false };
  await images.load(inPieces(archive), options, progress => told.push(progress), signal);
  return told;
}

async function failureOf(attempt: Promise<unknown>): Promise<Error> {
  return await attempt.then(
    () => {
      throw new Error('expected a failure');
    },
    (err: unknown) => err as Error,
  );
}

const texts = (told: readonly ImageProgress[]): string[] => told.flatMap(progress => progress.text ?? []);
const full = (image: MadeImage): string => image.id;

describe('load', () => {
  test('takes an archive of before version 25, with several images that share a layer', async () => {
    const one = makeImage(['base', 'one']);
    const two = makeImage(['base', 'two']);
    const told = await load(
      oldArchive([
        { image: one, tags: ['one:latest', 'uno:1'] },
        { image: two, tags: [] },
      ]),
    );
    expect(texts(told)).toEqual(['Loaded image: one:latest\n', 'Loaded image: uno:1\n', `Loaded image ID: ${full(two)}\n`]);
    expect((await images.inspect('uno:1')).id).toBe(one.id as never);
    expect((await images.resolve('one', undefined)).config.Cmd).toEqual(['/bin/sh']);
    expect(snapshots.layers.size).toBe(3);
    expect(events.published.map(event => event.action)).toEqual(['load', 'load']);
  });

  test('follows the symlinks that old archives have in place of equal layers', async () => {
    const image = makeImage(['base']);
    const hex = image.id.replace('sha256:', '');
    const archive = makeTar({
      'aa/layer.tar': image.layers[0] as Uint8Array,
      'bb/layer.tar': '→../aa/layer.tar',
      [`${hex}.json`]: image.config,
      'manifest.json': JSON.stringify([{ Config: `${hex}.json`, RepoTags: ['x:1'], Layers: ['bb/layer.tar'] }]),
    });
    expect(texts(await load(archive))).toEqual(['Loaded image: x:1\n']);
  });

  test('keeps the manifest of an OCI layout byte for byte', async () => {
    const image = makeImage(['a', 'b'], { compress: true });
    const { tar, manifests } = ociArchive([{ image, annotations: { 'io.containerd.image.name': 'docker.io/library/x:2' } }]);
    expect(texts(await load(tar))).toEqual(['Loaded image: x:2\n']);
    expect([...content.blobs.values()].some(blob => Buffer.compare(blob, manifests[0] as Uint8Array) === 0)).toBe(true);
    expect((await images.list({ all: false, filters: {}, sharedSize: false, manifests: false }))[0]?.repoTags).toEqual(['x:2']);
  });

  test('takes the platform of this machine from an index, or the one asked for', async () => {
    const [amd, arm] = [makeImage(['amd']), makeImage(['arm'], { architecture: 'arm64' })];
    const { tar } = ociArchive([
      { image: arm, platform: { os: 'linux', architecture: 'arm64' } },
      { image: amd, platform: { os: 'linux', architecture: 'amd64' } },
    ]);
    expect(texts(await load(tar))).toEqual([`Loaded image ID: ${amd.id}\n`]);
    expect(texts(await load(tar, 'arm64'))).toEqual([`Loaded image ID: ${arm.id}\n`]);
    expect(snapshots.layers.size).toBe(2);
  });

  test('moves a name from an older image and says so', async () => {
    const [old, young] = [makeImage(['old']), makeImage(['young'])];
    await load(oldArchive([{ image: old, tags: ['x:1'] }]));
    expect(texts(await load(oldArchive([{ image: young, tags: ['x:1'] }])))[0]).toBe(
      `The image x:1 already exists, renaming the old one with ID ${old.id} to empty string\n`,
    );
    expect((await images.inspect('x:1')).id).toBe(young.id as never);
    expect((await images.inspect(old.id)).repoTags).toEqual([]);
  });

  test('an image whose layer occurs twice gets both', async () => {
    const image = makeImage(['same']);
    const layer = image.layers[0] as Uint8Array;
    const config = JSON.stringify({
      os: 'linux',
      architecture: 'amd64',
      rootfs: { type: 'layers', diff_ids: [image.diffIds[0], image.diffIds[0]] },
    });
    await load(
      makeTar({
        'l/layer.tar': layer,
        'c.json': config,
        'manifest.json': JSON.stringify([{ Config: 'c.json', Layers: ['l/layer.tar', 'l/layer.tar'] }]),
      }),
    );
    expect(snapshots.layers.size).toBe(2);
  });

  describe('refuses, leaving nothing behind,', () => {
    const image = makeImage(['a', 'b']);
    const good = oldArchive([{ image, tags: ['x:1'] }]);
    const other = makeTar({ other: 'x' });
    const hex = image.id.replace('sha256:', '');
    const list = (item: object): string => JSON.stringify([{ Config: `${hex}.json`, RepoTags: ['x:1'], Layers: ['0', '1'], ...item }]);
    const parts = { '0': image.layers[0] as Uint8Array, '1': image.layers[1] as Uint8Array, [`${hex}.json`]: image.config };
    const cases: Record<string, [archive: Uint8Array, message: string]> = {
      'a truncated archive': [good.slice(0, good.length / 2), 'truncated tar archive'],
      'an empty one': [makeTar({}), 'does not contain a manifest.json'],
      'no archive at all': [new TextEncoder().encode('hello'.repeat(300)), 'tar archive'],
      'an altered layer': [makeTar({ ...parts, '1': other, 'manifest.json': list({}) }), 'invalid diffID for layer 1: expected'],
      'a missing layer': [makeTar({ ...parts, 'manifest.json': list({ Layers: ['0', '7'] }) }), 'layer 7 is missing'],
      'a missing config': [makeTar({ ...parts, 'manifest.json': list({ Config: 'c' }) }), 'c is missing'],
      'layers that config does not list': [makeTar({ ...parts, 'manifest.json': list({ Layers: ['0'] }) }), 'its config lists 2 layers'],
      'a layer that is no tar': [makeTar({ ...parts, '1': 'x'.repeat(700), 'manifest.json': list({}) }), 'truncated tar archive'],
      'a bad name': [makeTar({ ...parts, 'manifest.json': list({ RepoTags: ['Bad'] }) }), 'invalid reference format'],
      'a manifest.json that is none': [makeTar({ ...parts, 'manifest.json': '{}' }), 'manifest.json is not a list'],
      'a blob under a wrong name': [makeTar({ [`blobs/sha256/${'0'.repeat(64)}`]: other }), 'the archive is damaged'],
    };
    for (const [what, [archive, message]] of Object.entries(cases)) {
      test(what, async () => {
        const failure = await failureOf(load(archive));
        expect(failure.message).toContain(message);
        expect(['DataLoss', 'InvalidArgument']).toContain(kindOf(failure));
        expect(content.blobs.size).toBe(0);
        expect(snapshots.layers.size).toBe(0);
        expect(images.count()).toBe(0);
      });
    }

    test('an archive for another platform than asked', async () => {
      const failure = await failureOf(load(good, 'arm64'));
      expect(failure.message).toBe(
        'image with reference x:1 was found but its platform (linux/amd64) does not match the specified platform (linux/arm64)',
      );
      expect(content.blobs.size).toBe(0);
    });
  });
});
