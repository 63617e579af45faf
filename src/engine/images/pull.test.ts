import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { kindOf, messageOf } from '#base/errors.ts';
import { silentLogger } from '#base/log.ts';
import { type Digest, sha256 } from '#oci/digest.ts';
import { hostPlatform } from '#oci/platform.ts';
import { parseReference } from '#oci/reference.ts';
import { fakeRegistry, type FakeRegistry } from '#test/helpers/fake-registry.ts';
import { fakeContent, fakeEvents, fakeRecords, fakeSnapshots } from '#test/helpers/image-fakes.ts';
import { makeImage } from '#test/helpers/make-image.ts';
import type { ImageProgress } from './model.ts';
import { createImageService, type ImageService } from './service.ts';

let content: Awaited<ReturnType<typeof fakeContent>>;
let snapshots: ReturnType<typeof fakeSnapshots>;
let events: ReturnType<typeof fakeEvents>;
let registry: FakeRegistry;
let images: ImageService;
let records: ReturnType<typeof fakeRecords>;
const signal = new AbortController().signal;

/** A service as a start of the daemon makes it: what is recorded is there, what was read is not. */
const createImages = (): ImageService =>
  createImageService({
    content,
    snapshots,
    events,
    registry,
    records,
    users: { usedBy: () => [] },
    applyChanges: config => config,
    platform: hostPlatform('x64'),
    decompress: source => source,
    compress: source => source,
    openUrl: () => Promise.reject(new Error('no address is opened here')),
    log: silentLogger,
  });

beforeEach(async () => {
  content = await fakeContent();
  snapshots = fakeSnapshots();
  events = fakeEvents();
  registry = fakeRegistry();
  records = fakeRecords();
  images = createImages();
});
afterEach(async () => {
  expect(snapshots.pending.size).toBe(0);
  await content[Symbol.asyncDispose]();
});

async function pull(name: string, options: { stop?: AbortSignal; platform?: string; allTags?: boolean } = {}): Promise<ImageProgress[]> {
  const told: ImageProgress[] = [];
  const platform = options.platform === undefined ? undefined : hostPlatform(options.platform);
  await images.pull(
    { reference: parseReference(name), allTags: options.allTags ?? false, platform, auth: undefined },
    progress => told.push(progress),
    options.stop ?? signal,
  );
  return told;
}

const words = (told: readonly ImageProgress[]): string[] =>
  told.map(({ id, status }) => (id === undefined ? `${status}` : `${id}: ${status}`));
const short = (data: Uint8Array): string => sha256(data).slice(7, 19);

describe('pull', () => {
  test('tells each step in the words that clients know', async () => {
    const image = makeImage(['base'], { compress: true });
    const manifest = registry.add('docker.io/library/app:1', image);
    const id = short(image.layers[0] as Uint8Array);
    expect(words(await pull('app:1'))).toEqual([
      '1: Pulling from library/app',
      `${id}: Pulling fs layer`,
      `${id}: Downloading`,
      `${id}: Verifying Checksum`,
      `${id}: Download complete`,
      `${id}: Extracting`,
      `${id}: Pull complete`,
      `Digest: ${sha256(manifest)}`,
      'Status: Downloaded newer image for app:1',
    ]);
    const details = await images.inspect('app:1');
    expect(details.repoDigests).toEqual([`app@${sha256(manifest)}`]);
    expect(events.published).toEqual([{ type: 'image', action: 'pull', actorId: 'app:1', attributes: { name: 'app' } }]);
    expect(words(await pull('app:1')).at(-1)).toBe('Status: Image is up to date for app:1');
  });

  test('fetches only the layers that are not here', async () => {
    const [one, two] = [makeImage(['base', 'one'], { compress: true }), makeImage(['base', 'two'], { compress: true })];
    registry.add('docker.io/library/one:latest', one);
    registry.add('docker.io/library/two:latest', two);
    await pull('one');
    registry.reads.length = 0;
    expect(words(await pull('two'))).toContain(`${short(two.layers[0] as Uint8Array)}: Already exists`);
    expect(registry.reads).toEqual([sha256(two.config), sha256(two.layers[1] as Uint8Array)]);
  });

  test('brings back the blob of a layer that only containers have kept', async () => {
    const image = makeImage(['base', 'top'], { compress: true });
    registry.add('docker.io/library/app:latest', image);
    await pull('app');
    for (const chain of snapshots.layers.keys()) snapshots.pins.add(chain);
    await images.remove('app', { force: true, pruneParents: true });
    expect(content.blobs.size).toBe(0);
    expect(snapshots.layers.size).toBe(2);
    registry.gate = () => Bun.sleep(20);
    await pull('app');
    for (const layer of image.layers) expect(content.blobs.has(sha256(layer))).toBe(true);
  });

  test('two pulls at the same time share the work, also when the first gives up', async () => {
    const image = makeImage(['base', 'top'], { compress: true });
    registry.add('docker.io/library/app:latest', image);
    const open = Promise.withResolvers<void>();
    const waiting = Promise.withResolvers<void>();
    registry.gate = digest => {
      if (digest === sha256(image.config)) return Promise.resolve();
      waiting.resolve();
      return open.promise;
    };
    const impatient = new AbortController();
    const first = pull('app', { stop: impatient.signal }).catch((err: unknown) => err);
    await waiting.promise;
    const joined = Promise.withResolvers<void>();
    const second = images.pull(
      { reference: parseReference('app'), allTags: false, platform: undefined, auth: undefined },
      progress => progress.status === 'Pulling fs layer' && joined.resolve(),
      signal,
    );
    await joined.promise;
    impatient.abort(new Error('gone'));
    expect(messageOf(await first)).toBe('gone');
    open.resolve();
    await second;
    expect(snapshots.unpacks).toBe(2);
    expect((await images.inspect('app')).id).toBe(image.id as Digest);
  });

  test('takes the best entry of an index and remembers the digest of the index', async () => {
    const image = makeImage(['amd'], { compress: true });
    const manifest = registry.add('docker.io/library/app:platform', image);
    const entry = (architecture: string, digest: string, size: number): object => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest,
      size,
      platform: { os: 'linux', architecture },
    });
    const index = new TextEncoder().encode(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.index.v1+json',
        manifests: [entry('arm64', sha256('x'), 1), entry('amd64', sha256(manifest), manifest.length)],
      }),
    );
    registry.manifests.set('docker.io/library/app:1', index);
    expect(words(await pull('app:1'))).toContain(`Digest: ${sha256(index)}`);
    expect((await images.inspect('app:1')).repoDigests).toEqual([`app@${sha256(index)}`]);
    expect(await pull('app:1', { platform: 'riscv64' }).catch(messageOf)).toBe(
      'no matching manifest for linux/riscv64 in the manifest list entries',
    );
  });

  test('all tags', async () => {
    registry.add('docker.io/library/app:1', makeImage(['one'], { compress: true }));
    registry.add('docker.io/library/app:2', makeImage(['two'], { compress: true }));
    await pull('app', { allTags: true });
    expect(images.count()).toBe(2);
  });

  describe('interrupted', () => {
    const image = makeImage(['base', 'a long text '.repeat(2000)], { compress: false });
    const top = image.layers[1] as Uint8Array;
    const interrupt = async (): Promise<void> => {
      registry.add('docker.io/library/app:latest', image);
      const leaving = new AbortController();
      registry.pace = (digest, offset) => {
        if (digest === sha256(top) && offset >= 3000) leaving.abort(new Error('gone'));
      };
      expect(await pull('app', { stop: leaving.signal }).catch(messageOf)).toBe('gone');
      registry.pace = undefined;
      registry.reads.length = 0;
    };

    test('goes on where it was, also after a restart', async () => {
      await interrupt();
      expect(content.blobs.size).toBe(0);
      images = createImages();
      await images.recover();
      await pull('app');
      expect(registry.starts.get(sha256(top))).toBeGreaterThanOrEqual(3000);
      expect(content.blobs.has(sha256(top))).toBe(true);
      expect(content.partial.size).toBe(0);
    });

    test('begins anew when what was left is damaged', async () => {
      await interrupt();
      content.partial.set(sha256(top), [new Uint8Array(3000).fill(1)]);
      await pull('app');
      expect(registry.starts.get(sha256(top))).toBe(0);
      expect(content.blobs.has(sha256(top))).toBe(true);
    });

    test('is forgotten by a prune', async () => {
      await interrupt();
      const left = content.partial.get(sha256(top))?.reduce((bytes, part) => bytes + part.length, 0) ?? 0;
      expect(left).toBeGreaterThanOrEqual(3000);
      expect((await images.prune({}, signal)).reclaimedBytes).toBeGreaterThanOrEqual(left);
      expect(content.partial.size).toBe(0);
    });
  });

  describe('leaves nothing behind', () => {
    const image = makeImage(['base', 'top'], { compress: true });
    const [base, top] = image.layers as [Uint8Array, Uint8Array];
    const expectNothing = (): void => {
      expect(content.blobs.size).toBe(0);
      expect(snapshots.layers.size).toBe(0);
      expect(images.count()).toBe(0);
      expect(content.partial.size).toBe(0);
    };

    test('when a layer is not what its digest says', async () => {
      registry.add('docker.io/library/app:latest', image);
      registry.blobs.set(sha256(top), base);
      const err = await pull('app').catch((reason: unknown) => reason);
      expect(messageOf(err)).toStartWith(`filesystem layer verification failed for digest ${sha256(top)}: `);
      expect(kindOf(err)).toBe('DataLoss');
      expectNothing();
    });

    test('when a layer unpacks to something else than the config says', async () => {
      registry.add('docker.io/library/app:latest', { ...image, layers: [top, base] });
      expect(await pull('app').catch(messageOf)).toStartWith('invalid diffID for layer 0: expected');
      expectNothing();
    });

    test('when the config is altered', async () => {
      registry.add('docker.io/library/app:latest', image);
      registry.blobs.set(sha256(image.config), new TextEncoder().encode('{}'));
      expect(await pull('app').catch(messageOf)).toContain('image config verification failed');
      expectNothing();
    });

    test('when the client goes', async () => {
      registry.add('docker.io/library/app:latest', image);
      const leaving = new AbortController();
      registry.gate = async (digest, stop) => {
        if (digest === sha256(image.config)) return;
        leaving.abort(new Error('gone'));
        await new Promise((_resolve, reject) => stop.addEventListener('abort', () => reject(stop.reason as Error)));
      };
      expect(await pull('app', { stop: leaving.signal }).catch(messageOf)).toBe('gone');
      expectNothing();
    });

    test('when the client goes after the last byte, before the image is recorded', async () => {
      registry.add('docker.io/library/app:latest', image);
      const leaving = new AbortController();
      let placed = 0;
      const attempt = images.pull(
        { reference: parseReference('app'), allTags: false, platform: undefined, auth: undefined },
        ({ status }) => {
          placed += Number(status === 'Pull complete');
          if (placed === image.layers.length) leaving.abort(new Error('gone'));
        },
        leaving.signal,
      );
      expect(await attempt.then(() => 'pulled', messageOf)).toBe('gone');
      expectNothing();
    });

    test('when there is no such image', async () => {
      const err = await pull('nope:1').catch((reason: unknown) => reason);
      expect(messageOf(err)).toBe('manifest for nope:1 not found: manifest unknown: manifest unknown');
      expect(kindOf(err)).toBe('NotFound');
      expectNothing();
    });
  });
});

describe('the same image in two compressions', () => {
  const texts = ['base', 'top'];
  const [plain, packed] = [makeImage(texts), makeImage(texts, { compress: true })];
  const id = packed.id as Digest;
  /** Holds the first reading of the config; whoever reads it later does not wait. */
  const holdFirstRead = (): { readonly begun: Promise<void>; readonly go: () => void } => {
    const [begun, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { read } = content;
    let reads = 0;
    content.read = async digest => {
      reads += Number(digest === id);
      if (digest === id && reads === 1) {
        begun.resolve();
        await go.promise;
      }
      return await read(digest);
    };
    return { begun: begun.promise, go: go.resolve };
  };
  const expectWhole = (image: typeof plain): void => {
    for (const layer of image.layers) expect(content.blobs.has(sha256(layer))).toBe(true);
  };
  const expectNothingWithout = async (name: string): Promise<void> => {
    await images.remove(name, { force: true, pruneParents: true });
    expect([content.blobs.size, snapshots.layers.size, images.count()]).toEqual([0, 0, 0]);
  };

  beforeEach(() => {
    registry.add('docker.io/library/app:plain', plain);
    registry.add('docker.io/library/app:packed', packed);
  });

  test('pulled at the same time: each has its own blobs, also when the first gives up', async () => {
    const open = Promise.withResolvers<void>();
    const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const gates = new Map([
      [sha256(plain.layers[0] as Uint8Array), first],
      [sha256(packed.layers[0] as Uint8Array), second],
    ]);
    registry.gate = digest => {
      if (digest === id) return Promise.resolve();
      gates.get(digest)?.resolve();
      return open.promise;
    };
    const impatient = new AbortController();
    const abandoned = pull('app:plain', { stop: impatient.signal }).catch(messageOf);
    await first.promise;
    const wanted = pull('app:packed');
    await second.promise;
    impatient.abort(new Error('gone'));
    open.resolve();
    expect(await abandoned).toBe('gone');
    await wanted;
    expectWhole(packed);
    await expectNothingWithout('app:packed');
  });

  test('removed while it is being removed and added anew: nothing of it stays', async () => {
    await pull('app:plain');
    images = createImages();
    const { begun, go } = holdFirstRead();
    const slow = images.remove(id, { force: true, pruneParents: true });
    await begun;
    await images.remove(id, { force: true, pruneParents: true });
    await pull('app:packed');
    go();
    await slow;
    expect([content.blobs.size, snapshots.layers.size, images.count()]).toEqual([0, 0, 0]);
  });

  test('named by a pull while it is being removed and added anew: it keeps the blobs that are here', async () => {
    await pull('app:plain');
    images = createImages();
    const { begun, go } = holdFirstRead();
    const slow = pull('app:plain');
    await begun;
    await images.remove(id, { force: true, pruneParents: true });
    await pull('app:packed');
    go();
    await slow;
    expectWhole(packed);
    await images.remove('app:plain', { force: true, pruneParents: true });
    await expectNothingWithout('app:packed');
  });
});

describe('push', () => {
  test('gives back the manifest that a pull brought, byte for byte', async () => {
    const image = makeImage(['base', 'top'], { compress: true });
    const manifest = registry.add('docker.io/library/app:1', image);
    await pull('app:1');
    await images.tag('app:1', 'quay.io/me/copy', '2');
    const told: ImageProgress[] = [];
    await images.push({ reference: parseReference('quay.io/me/copy:2'), auth: undefined }, progress => told.push(progress), signal);
    expect(Buffer.compare(registry.manifests.get('quay.io/me/copy:2') as Uint8Array, manifest)).toBe(0);
    expect(told.at(-1)).toEqual({ pushed: { tag: '2', digest: sha256(manifest), sizeBytes: manifest.length } });
    expect(words(told)).toContain(`2: digest: ${sha256(manifest)} size: ${manifest.length}`);
    expect((await images.inspect('app:1')).repoDigests).toContain(`quay.io/me/copy@${sha256(manifest)}`);
  });

  test('of a name that is not here is refused', async () => {
    const attempt = images.push({ reference: parseReference('nope:1'), auth: undefined }, () => undefined, signal);
    expect(await attempt.catch(messageOf)).toBe('An image does not exist locally with the tag: nope');
  });
});
