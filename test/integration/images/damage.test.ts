import { describe as bunDescribe, expect } from 'bun:test';
import { gzipSync } from 'node:zlib';
import { sha256 } from '#oci/digest.ts';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { expectTraces, imageTraces } from '#test/helpers/image-traces.ts';
import { type MadeImage, makeImage, makeTar, ociArchive, oldArchive } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { startSmallRegistry, type SmallRegistry } from '#test/helpers/small-registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft');
type Bytes = Uint8Array<ArrayBuffer>;
const bytesOf = (data: Uint8Array): Bytes => new Uint8Array(data);
const noise = (length: number): Uint8Array => {
  const data = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(data.subarray(at, at + 65_536));
  return data;
};

/** An image with one layer, which is this archive, whatever it is. */
function imageOf(layer: Uint8Array, stored = layer): MadeImage {
  const made = makeImage(['x']);
  const config = JSON.parse(Buffer.from(made.config).toString()) as { rootfs: { diff_ids: string[] } };
  config.rootfs.diff_ids = [sha256(layer)];
  const bytes = new TextEncoder().encode(JSON.stringify(config));
  return { id: sha256(bytes), config: bytes, layers: [stored], diffIds: [sha256(layer)] };
}

const hostile: Readonly<Record<string, Uint8Array>> = {
  'a name with ..': makeTar({ 'a/../../evil': 'x' }),
  'a file through a symlink that leads out': makeTar({ out: '→/etc', 'out/evil': 'x' }),
  'a file through a symlink that climbs': makeTar({ out: '→../../../..', 'out/evil': 'x' }),
  'a whiteout that climbs': makeTar({ 'a/b': 'x', 'a/.wh...': '' }),
};

describe('what is damaged or hostile is refused, and leaves nothing', () => {
  const daemon = sharedDaemon({ busybox: false, args: ['--insecure-registry', '127.0.0.0/8'] });

  const load = async (archive: Uint8Array): Promise<string> => {
    const answer = await daemon().api.call('POST', '/images/load', {
      raw: bytesOf(archive),
      headers: { 'Content-Type': 'application/x-tar' },
    });
    return answer.text;
  };
  const isClean = async (): Promise<void> => {
    expect(await daemon().api.expect<unknown[]>('GET', '/images/json?all=1')).toEqual([]);
    await expectTraces(daemon(), []);
  };
  const refuses = async (answer: Promise<string>, reason: RegExp): Promise<void> => {
    const text = await answer;
    expect(text).toMatch(/"errorDetail"|"message"/);
    expect(text).toMatch(reason);
    await isClean();
  };

  bunDescribe('docker load', () => {
    const big = imageOf(makeTar({ 'usr/data': noise(700_000), 'etc/x': 'y' }));
    const whole = oldArchive([{ image: big, tags: ['big:1'] }]);

    test.each([0.001, 0.1, 0.5, 0.9, 0.99])('cut off at %d', async part => {
      await refuses(load(whole.slice(0, Math.floor(whole.length * part))), /truncated|damaged|invalid|unexpected/i);
    });
    test('gzip cut off or altered', async () => {
      const packed = new Uint8Array(gzipSync(whole));
      await refuses(load(packed.slice(0, packed.length - 9_000)), /damaged|truncated|unexpected/i);
      packed[300_000] = (packed[300_000] ?? 0) ^ 0xff;
      await refuses(load(packed), /damaged|diffID/i);
    });
    test('an altered layer', async () => {
      const altered = whole.slice();
      const at = Math.floor(altered.length / 2);
      altered[at] = (altered[at] ?? 0) ^ 1;
      await refuses(load(altered), /invalid diffID for layer 0: expected \\?"sha256:/);
    });
    test('a blob that is not what its name says', async () => {
      const { tar } = ociArchive([{ image: big }]);
      const at = Buffer.from(tar).indexOf('etc/x');
      tar[at + 700] = (tar[at + 700] ?? 0) ^ 1;
      await refuses(load(tar), /damaged|diffID/);
    });
    test('garbage, nothing, an empty archive, a foreign one', async () => {
      await refuses(load(noise(100_000)), /damaged tar|invalid archive/);
      await refuses(load(new Uint8Array(0)), /invalid archive: does not contain a manifest.json/);
      await refuses(load(makeTar({})), /invalid archive: does not contain a manifest.json/);
      await refuses(load(makeTar({ 'etc/passwd': 'root' })), /invalid archive: does not contain a manifest.json/);
    });
    test('descriptions that lie', async () => {
      const list = (value: unknown): Uint8Array =>
        makeTar({ 'layer.tar': big.layers[0] as Uint8Array, 'manifest.json': JSON.stringify(value) });
      await refuses(load(list([{ Config: 'no.json', RepoTags: ['a:1'], Layers: ['layer.tar'] }])), /no\.json is missing/);
      await refuses(load(list({ Config: 7 })), /manifest\.json/);
      await refuses(
        load(makeTar({ 'manifest.json': '[{"Config":"c.json","Layers":["no.tar"]}]', 'c.json': big.config })),
        /no\.tar is missing/,
      );
      await refuses(load(makeTar({ 'manifest.json': '[{"Config":"c.json","Layers":[]}]', 'c.json': big.config })), /lists 1 layers/);
      await refuses(
        load(makeTar({ 'manifest.json': '[{"Config":"c.json","Layers":[]}]', 'c.json': '{"rootfs":7}' })),
        /invalid image config/,
      );
    });
    test('a second image that is damaged takes the first along', async () => {
      const good = makeImage(['fine']);
      const bad = imageOf(makeTar({ a: 'b' }), makeTar({ a: 'c' }));
      await refuses(
        load(
          oldArchive([
            { image: good, tags: ['good:1'] },
            { image: bad, tags: ['bad:1'] },
          ]),
        ),
        /invalid diffID/,
      );
    });
    test.each(Object.keys(hostile))('%s', async name => {
      const layer = hostile[name] as Uint8Array;
      await refuses(load(oldArchive([{ image: imageOf(layer), tags: ['evil:1'] }])), /refused to unpack the layer/);
      await refuses(load(ociArchive([{ image: imageOf(layer, gzipSync(layer)) }]).tar), /refused to unpack the layer/);
    });
    test('members of the archive itself that lead out are only names', async () => {
      const good = makeImage(['fine']);
      const outer = makeTar({ '../../escape.json': '{}', link: '→/etc/passwd' });
      const archive = Buffer.concat([outer.subarray(0, outer.length - 1024), oldArchive([{ image: good, tags: ['good:1'] }])]);
      expect(await load(archive)).toContain('Loaded image: good:1');
      await daemon().api.expect('DELETE', '/images/good:1');
      await isClean();
    });
    test('a client that leaves in the middle', async () => {
      const stop = new AbortController();
      const left = Promise.withResolvers<void>();
      // The rest never comes.
      const body = new ReadableStream<Uint8Array>({
        start: out => out.enqueue(whole.slice(0, 300_000)),
        pull: () => left.promise,
        cancel: () => left.resolve(),
      });
      const answer = daemon()
        .api.open('POST', '/images/load', { raw: body as never, signal: stop.signal })
        .catch(() => undefined);
      await eventually('the layer arrives', () => imageTraces(daemon()).length > 0);
      stop.abort();
      left.resolve();
      await answer;
      await isClean();
    });
  });

  bunDescribe('docker import', () => {
    const importing = async (archive: Uint8Array): Promise<string> =>
      (
        await daemon().api.call('POST', '/images/create?fromSrc=-&repo=made&tag=1', {
          raw: bytesOf(archive),
          headers: { 'Content-Type': 'application/x-tar' },
        })
      ).text;
    test.each(Object.keys(hostile))('%s', name => refuses(importing(hostile[name] as Uint8Array), /refused to unpack the layer/));
    test('cut off, garbage', async () => {
      const tar = makeTar({ a: noise(300_000) });
      await refuses(importing(tar.slice(0, 200_000)), /truncated|damaged/);
      await refuses(importing(gzipSync(tar).subarray(0, 200_000)), /truncated|damaged/);
      await refuses(importing(noise(100_000)), /damaged/);
    });
  });

  bunDescribe('docker pull from a registry that lies', () => {
    const layer = makeTar({ 'usr/data': noise(600_000) });
    const oci = 'application/vnd.oci.image.manifest.v1+json';
    interface Published {
      readonly registry: SmallRegistry;
      readonly layerDigest: string;
      readonly configDigest: string;
      readonly name: string;
    }
    const published = (image: MadeImage): Published & AsyncDisposable => {
      const registry = startSmallRegistry();
      const describe = (data: Uint8Array, mediaType: string): object => {
        registry.blobs.set(sha256(data), data);
        return { mediaType, digest: sha256(data), size: data.length };
      };
      const bytes = new TextEncoder().encode(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: oci,
          config: describe(image.config, 'application/vnd.oci.image.config.v1+json'),
          layers: image.layers.map(one => describe(one, 'application/vnd.oci.image.layer.v1.tar+gzip')),
        }),
      );
      registry.manifests.set('lies:1', { bytes, mediaType: oci });
      registry.manifests.set(`lies@${sha256(bytes)}`, { bytes, mediaType: oci });
      return {
        registry,
        name: `${registry.address}/lies`,
        layerDigest: sha256(image.layers[0] as Uint8Array),
        configDigest: sha256(image.config),
        [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
      };
    };
    const pull = async (name: string): Promise<string> => (await daemon().api.call('POST', `/images/create?fromImage=${name}&tag=1`)).text;
    const lies: Readonly<Record<string, { readonly tell: (place: Published) => void; readonly reason: RegExp }>> = {
      'about a layer': {
        tell: ({ registry, layerDigest }) => {
          const data = (registry.blobs.get(layerDigest) as Uint8Array).slice();
          data[1000] = (data[1000] ?? 0) ^ 1;
          registry.blobs.set(layerDigest, data);
        },
        reason: /filesystem layer verification failed|damaged/,
      },
      'about a config': {
        tell: ({ registry, configDigest }) => {
          const text = Buffer.from(registry.blobs.get(configDigest) as Uint8Array).toString();
          registry.blobs.set(configDigest, Buffer.from(text.replace('/bin/sh', '/bin/su')));
        },
        reason: /image config verification failed/,
      },
      'with a longer layer': {
        tell: ({ registry, layerDigest }) => {
          const data = registry.blobs.get(layerDigest) as Uint8Array;
          registry.intercept = (_request, path) => (path.endsWith(layerDigest) ? new Response(Buffer.concat([data, data])) : undefined);
        },
        reason: /longer|offers|verification failed/,
      },
      'with a missing layer': {
        tell: ({ registry, layerDigest }) => void registry.blobs.delete(layerDigest),
        reason: /blob unknown|not found/i,
      },
      'about a manifest asked for by digest': {
        tell: ({ registry }) => {
          const [key, manifest] = [...registry.manifests].find(([one]) => one.includes('@')) ?? ['', undefined];
          if (manifest !== undefined)
            registry.manifests.set(key, { ...manifest, bytes: Buffer.concat([manifest.bytes, Buffer.from(' ')]) });
        },
        reason: /digest/,
      },
    };
    test.each(Object.keys(lies))('%s', async title => {
      const image = imageOf(layer, gzipSync(layer));
      await using place = published(image);
      lies[title]?.tell(place);
      const byDigest = [...place.registry.manifests.keys()].find(key => key.includes('@'))?.split('@')[1] ?? '';
      const answer = title.includes('digest')
        ? daemon()
            .api.call('POST', `/images/create?fromImage=${place.name}&tag=${byDigest}`)
            .then(({ text }) => text)
        : pull(place.name);
      await refuses(answer, lies[title]?.reason ?? /./);
    });
    test('about what a layer unpacks to', async () => {
      await using place = published(imageOf(layer, gzipSync(makeTar({ other: 'x' }))));
      await refuses(pull(place.name), /invalid diffID for layer 0/);
    });
    test.each(Object.keys(hostile))('%s', async name => {
      await using place = published(imageOf(hostile[name] as Uint8Array, gzipSync(hostile[name] as Uint8Array)));
      await refuses(pull(place.name), /refused to unpack the layer/);
    });
    test('and an image that is fine after all that', async () => {
      await using place = published(imageOf(layer, gzipSync(layer)));
      expect(await pull(place.name)).toContain('Downloaded newer image');
      await daemon().api.expect('DELETE', `/images/${place.name}:1`);
      await isClean();
    });
  });
});
