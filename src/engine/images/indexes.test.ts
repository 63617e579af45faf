import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { kindOf, messageOf } from '#base/errors.ts';
import { silentLogger } from '#base/log.ts';
import { type Digest, sha256 } from '#oci/digest.ts';
import { hostPlatform, type Platform } from '#oci/platform.ts';
import { parseReference } from '#oci/reference.ts';
import { fakeRegistry, type FakeRegistry } from '#test/helpers/fake-registry.ts';
import { fakeContent, fakeEvents, fakeRecords, fakeSnapshots } from '#test/helpers/image-fakes.ts';
import { inPieces, makeImage, makeTar } from '#test/helpers/make-image.ts';
import type { ImageProgress } from './model.ts';
import { createImageService, type ImageService } from './service.ts';

interface Store extends AsyncDisposable {
  readonly images: ImageService;
  readonly content: Awaited<ReturnType<typeof fakeContent>>;
  readonly used: Set<string>;
  /** As a start of the daemon makes it. */
  reopened(): ImageService;
}

const signal = new AbortController().signal;
const arm: Platform = { os: 'linux', architecture: 'arm64' };
const amd: Platform = { os: 'linux', architecture: 'amd64' };
const name = 'docker.io/library/app';
let registry: FakeRegistry;
let here: Store;

async function openStore(): Promise<Store> {
  const content = await fakeContent();
  const [snapshots, records, used] = [fakeSnapshots(), fakeRecords(), new Set<string>()];
  const reopened = (): ImageService =>
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
      log: silentLogger,
    });
  return { images: reopened(), content, used, reopened, [Symbol.asyncDispose]: () => content[Symbol.asyncDispose]() };
}

const amdImage = makeImage(['base', 'amd'], { compress: true });
const armImage = makeImage(['arm'], { compress: true, architecture: 'arm64' });
const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const oci = 'application/vnd.oci.image.manifest.v1+json';

/** An index with two images, one of which is attested something, under `app:1`. */
function publish(more: readonly object[] = []): { readonly index: Uint8Array; readonly attestation: Uint8Array } {
  const entry = (manifest: Uint8Array, rest: object): object => ({
    mediaType: oci,
    digest: sha256(manifest),
    size: manifest.length,
    ...rest,
  });
  const amdManifest = registry.add(`${name}:amd`, amdImage);
  const armManifest = registry.add(`${name}:arm`, armImage);
  const statement = json({ _type: 'https://in-toto.io/Statement/v0.1' });
  const config = json({ architecture: 'unknown', os: 'unknown' });
  for (const blob of [statement, config]) registry.blobs.set(sha256(blob), blob);
  const attestation = json({
    ...{ schemaVersion: 2, mediaType: oci },
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(config), size: config.length },
    layers: [{ mediaType: 'application/vnd.in-toto+json', digest: sha256(statement), size: statement.length }],
  });
  registry.manifests.set(`${name}@${sha256(attestation)}`, attestation);
  const annotations = { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': sha256(amdManifest) };
  const index = json({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      entry(amdManifest, { platform: amd }),
      entry(armManifest, { platform: arm }),
      entry(attestation, { platform: { os: 'unknown', architecture: 'unknown' }, annotations }),
      ...more,
    ],
  });
  registry.manifests.set(`${name}:1`, index);
  return { index, attestation };
}

const pull = (platform?: Platform, into = here): Promise<void> =>
  into.images.pull({ reference: parseReference('app:1'), allTags: false, platform, auth: undefined }, () => undefined, signal);
const list = (filters = {}, all = false) => here.images.list({ all, filters, sharedSize: false, manifests: true });
async function push(reference: string, platform?: Platform): Promise<ImageProgress[]> {
  const told: ImageProgress[] = [];
  await here.images.push({ reference: parseReference(reference), auth: undefined, platform }, progress => told.push(progress), signal);
  return told;
}

beforeEach(async () => {
  registry = fakeRegistry();
  here = await openStore();
});
afterEach(() => here[Symbol.asyncDispose]());

describe('an image for several platforms', () => {
  test('is one image, whose index and attestation are kept', async () => {
    const { index, attestation } = publish();
    await pull();
    const [shown, ...more] = await list();
    expect(more).toEqual([]);
    expect([shown?.id, shown?.target?.digest]).toEqual([amdImage.id, sha256(index)]);
    expect(shown?.manifests?.map(({ kind, isAvailable, image }) => [kind, isAvailable, image?.platform.architecture])).toEqual([
      ['image', true, 'amd64'],
      ['image', false, undefined],
      ['attestation', true, undefined],
    ]);
    for (const blob of [index, attestation]) expect(here.content.blobs.has(sha256(blob))).toBe(true);
    await here.reopened().recover();
    expect(here.content.blobs.has(sha256(index))).toBe(true);
  });

  test('is found by the digest of its index too', async () => {
    const { index } = publish();
    await pull();
    for (const id of [sha256(index), sha256(index).replace('sha256:', '')]) expect(here.images.idOf(id)).toBe(amdImage.id);
    expect((await here.reopened().inspect(sha256(index))).repoTags).toEqual(['app:1']);
    await here.images.remove(sha256(index), { force: false, pruneParents: true });
    expect([here.images.idOf(sha256(index)), await list()]).toEqual([undefined, []]);
  });

  test('has each platform that was pulled, under one name', async () => {
    publish();
    await pull(amd);
    await pull(arm);
    expect((await list()).map(({ id }) => id)).toEqual([armImage.id]);
    expect(await list({ dangling: ['true'] })).toEqual([]);
    expect((await list({}, true)).length).toBe(2);
    const architecture = async (platform?: Platform): Promise<string> =>
      (await here.images.inspect('app:1', { platform })).config.architecture;
    expect([await architecture(), await architecture(amd), await architecture(arm)]).toEqual(['arm64', 'amd64', 'arm64']);
    expect((await here.images.inspect('app:1', { platform: amd })).repoTags).toEqual(['app:1']);
    expect((await here.images.resolve('app:1', 'linux/amd64')).id).toBe(amdImage.id);
    expect((await here.images.history('app:1', amd)).length).toBe(2);
    const other = here.images.inspect('app:1', { platform: { os: 'linux', architecture: 's390x' } });
    expect(messageOf(await other.catch((err: unknown) => err))).toContain(
      'does not provide the specified platform (linux/s390x): it is for',
    );
  });

  test('is not pruned while it has a name, and goes with the name', async () => {
    publish();
    await pull(amd);
    await pull(arm);
    expect((await here.images.prune({}, signal)).removed).toEqual([]);
    expect(here.images.count()).toBe(2);
    const removed = await here.images.remove('app:1', { force: false, pruneParents: true });
    expect(removed).toContainEqual({ deleted: amdImage.id });
    expect(removed).toContainEqual({ deleted: armImage.id });
    expect([here.images.count(), here.content.blobs.size]).toEqual([0, 0]);
  });

  test('goes with a prune of everything, except what a container uses', async () => {
    publish();
    await pull(amd);
    await pull(arm);
    here.used.add(amdImage.id);
    await here.images.prune({ dangling: ['false'] }, signal);
    expect((await list()).map(({ id, repoTags }) => [id, repoTags])).toEqual([[amdImage.id, []]]);
    here.used.clear();
    await here.images.prune({}, signal);
    expect(here.content.blobs.size).toBe(0);
  });

  test('can lose one platform', async () => {
    publish();
    await pull(amd);
    await pull(arm);
    await here.images.remove('app:1', { force: false, pruneParents: true, platforms: [arm] });
    expect((await list()).map(({ id, repoTags }) => [id, repoTags])).toEqual([[amdImage.id, ['app:1']]]);
    await here.images.remove('app:1', { force: false, pruneParents: true, platforms: [amd] });
    expect(here.content.blobs.size).toBe(0);
  });

  test('takes its index along to another name, until the last has gone', async () => {
    const { index } = publish();
    await pull();
    await here.images.tag('app:1', 'other', '2');
    await here.images.remove('app:1', { force: false, pruneParents: true });
    expect(here.content.blobs.has(sha256(index))).toBe(true);
    await here.images.remove('other:2', { force: false, pruneParents: true });
    expect(here.content.blobs.size).toBe(0);
  });

  test('leaves an index that its name has moved on from', async () => {
    const { index } = publish();
    await pull();
    registry.manifests.set(`${name}:1`, registry.add(`${name}:new`, makeImage(['new'], { compress: true })));
    await here.images.remove(`app@${sha256(index)}`, { force: false, pruneParents: true });
    await pull();
    expect(here.content.blobs.has(sha256(index))).toBe(false);
  });

  test('is pushed as a whole when all of it is here', async () => {
    const { index, attestation } = publish();
    await pull(amd);
    await pull(arm);
    await here.images.tag('app:1', 'quay.io/me/copy', '2');
    const told = await push('quay.io/me/copy:2');
    expect(registry.manifests.get('quay.io/me/copy:2')).toEqual(index);
    expect(registry.manifests.has(`quay.io/me/copy:${sha256(attestation)}`)).toBe(true);
    expect(told.at(-1)?.pushed?.digest).toBe(sha256(index));
    expect((await here.images.inspect('quay.io/me/copy:2')).repoDigests).toContain(`quay.io/me/copy@${sha256(index)}`);
  });

  test('is pushed as the one image that is here, and says so', async () => {
    const { index } = publish();
    await pull(amd);
    await here.images.tag('app:1', 'quay.io/me/copy', '2');
    const told = await push('quay.io/me/copy:2');
    const pushed = registry.manifests.get('quay.io/me/copy:2') as Uint8Array;
    expect(Buffer.from(pushed).toString()).toContain(amdImage.id);
    const note = told.find(({ insteadOfIndex }) => insteadOfIndex !== undefined)?.insteadOfIndex;
    expect([note?.originalIndex.digest, note?.selectedManifest.digest]).toEqual([sha256(index), sha256(pushed)]);
  });

  test('is not pushed with some of its platforms; one can be chosen', async () => {
    publish([{ mediaType: oci, digest: sha256('riscv'), size: 5, platform: { os: 'linux', architecture: 'riscv64' } }]);
    await pull(amd);
    await pull(arm);
    await here.images.tag('app:1', 'quay.io/me/copy', '2');
    const refused: unknown = await push('quay.io/me/copy:2').catch((err: unknown) => err);
    expect([kindOf(refused), messageOf(refused)]).toEqual(['NotFound', expect.stringContaining(`missing content: ${sha256('riscv')}`)]);
    await push('quay.io/me/copy:2', amd);
    expect(Buffer.from(registry.manifests.get('quay.io/me/copy:2') as Uint8Array).toString()).toContain(amdImage.id);
  });

  test('is saved and loaded as a whole, or one platform of it', async () => {
    const { index, attestation } = publish();
    await pull(amd);
    await pull(arm);
    const save = async (platforms: readonly Platform[]): Promise<Uint8Array> => {
      const parts: Uint8Array[] = [];
      for await (const part of await here.images.save(['app:1'], platforms, signal)) parts.push(part.slice());
      return Buffer.concat(parts);
    };
    const load = async (archive: Uint8Array, platform?: Platform): Promise<Store & { readonly told: string[] }> => {
      const there = await openStore();
      const told: string[] = [];
      const report = ({ text }: ImageProgress): void => void (text !== undefined && told.push(text));
      await there.images.load(
        inPieces(archive, 10_000),
        { platforms: platform === undefined ? [] : [platform], quiet: true },
        report,
        signal,
      );
      return { ...there, told, [Symbol.asyncDispose]: () => there[Symbol.asyncDispose]() };
    };
    await using whole = await load(await save([]));
    expect(whole.told).toEqual(['Loaded image: app:1\n']);
    expect([
      whole.images.count(),
      (await whole.images.list({ all: false, filters: {}, sharedSize: false, manifests: false })).length,
    ]).toEqual([2, 1]);
    expect((await whole.images.inspect('app:1', { platform: amd })).id).toBe(amdImage.id as Digest);
    expect((await whole.images.inspect('app:1')).target?.digest).toBe(sha256(index));
    expect(whole.content.blobs.has(sha256(attestation))).toBe(true);
    await whole.images.remove('app:1', { force: false, pruneParents: true });
    expect(whole.content.blobs.size).toBe(0);
    await using one = await load(await save([amd]));
    expect([one.images.count(), (await one.images.inspect('app:1')).id]).toEqual([1, amdImage.id as Digest]);
    await using chosen = await load(await save([]), amd);
    expect([chosen.images.count(), (await chosen.images.inspect('app:1')).id]).toEqual([1, amdImage.id as Digest]);
  });

  test('is loaded as a whole from a layout that another tool made', async () => {
    const { index } = publish();
    const files: Record<string, Uint8Array | string> = { 'oci-layout': '{"imageLayoutVersion":"1.0.0"}' };
    const add = (bytes: Uint8Array): void => void (files[`blobs/sha256/${sha256(bytes).slice(7)}`] = bytes);
    for (const bytes of [index, ...registry.manifests.values(), ...registry.blobs.values()]) add(bytes);
    const annotations = { 'io.containerd.image.name': 'docker.io/library/app:1' };
    const entry = { mediaType: 'application/vnd.oci.image.index.v1+json', digest: sha256(index), size: index.length, annotations };
    files['index.json'] = JSON.stringify({ schemaVersion: 2, manifests: [entry] });
    await here.images.load(inPieces(makeTar(files), 10_000), { platforms: [], quiet: true }, () => undefined, signal);
    expect([here.images.count(), (await here.images.inspect('app:1')).id]).toEqual([2, amdImage.id as Digest]);
    expect((await here.images.inspect('app:1', { platform: arm })).id).toBe(armImage.id as Digest);
  });
});
