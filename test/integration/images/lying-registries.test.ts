import { expect } from 'bun:test';
import { sha256 } from '#oci/digest.ts';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { expectTraces } from '#test/helpers/image-traces.ts';
import { makeImage } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { publishImage } from '#test/helpers/publish-image.ts';
import { failure, type SmallRegistry, startSmallRegistry } from '#test/helpers/small-registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

const image = makeImage(['base', Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString('hex')], { compress: true });
const layer = image.layers[1] as Uint8Array;
const layerPath = `/v2/lies/blobs/${sha256(layer)}`;
const manifestPath = '/v2/lies/manifests/1';
const ociManifest = 'application/vnd.oci.image.manifest.v1+json';

/** A body that breaks off after `length` bytes, whatever was promised. */
const cutOff = (bytes: Uint8Array, length: number): Response =>
  new Response(
    new ReadableStream<Uint8Array>({
      start(out) {
        out.enqueue(bytes.slice(0, length));
        out.close();
      },
    }),
  );

const manifest = (value: object | string, mediaType = ociManifest): Response =>
  new Response(typeof value === 'string' ? value : JSON.stringify(value), { headers: { 'Content-Type': mediaType } });

/** What a registry does with every request for a path, and what a pull says then. */
const lies: Readonly<
  Record<string, { readonly tell: (registry: SmallRegistry, path: string) => Response | undefined; readonly says: RegExp }>
> = {
  'sends a layer with another digest': {
    tell: (_registry, path) => (path === layerPath ? new Response(new Uint8Array(layer.length)) : undefined),
    says: new RegExp(`layer verification failed for digest ${sha256(layer)}: .*received sha256:`),
  },
  'promises a layer of another length': {
    tell: (_registry, path) => (path === layerPath ? new Response(layer.slice(1)) : undefined),
    says: new RegExp(`blob ${sha256(layer)}: the registry offers ${layer.length - 1} bytes, its manifest says ${layer.length}`),
  },
  'cuts every connection': {
    tell: (_registry, path) => (path === layerPath ? cutOff(layer, 1000) : undefined),
    says: new RegExp(`blob ${sha256(layer)} ended after 1000 of ${layer.length} bytes: unexpected EOF`),
  },
  'redirects without end': {
    tell: (_registry, path) => (path === layerPath ? new Response(null, { status: 307, headers: { Location: path } }) : undefined),
    says: /blobs\/sha256:[0-9a-f]+\\": stopped after 10 redirects/,
  },
  'redirects to a file': {
    tell: (_registry, path) =>
      path === layerPath ? new Response(null, { status: 307, headers: { Location: 'file:///etc/passwd' } }) : undefined,
    says: /a location of the unsupported kind file:/,
  },
  'sends a manifest of five megabytes': {
    tell: (_registry, path) => (path === manifestPath ? manifest(' '.repeat(5 << 20)) : undefined),
    says: /manifests\/1\\": the answer is longer than 4194304 bytes/,
  },
  'sends a manifest of another kind': {
    tell: (_registry, path) => (path === manifestPath ? manifest('<html>', 'text/html') : undefined),
    says: /text\/html|not JSON/,
  },
  'sends a manifest of a kind nobody makes any more': {
    tell: (_registry, path) =>
      path === manifestPath
        ? manifest({ schemaVersion: 1, name: 'lies', tag: '1' }, 'application/vnd.docker.distribution.manifest.v1+prettyjws')
        : undefined,
    says: /schema ?(version )?1|manifest\.v1\+prettyjws/i,
  },
  'sends something that is no image': {
    tell: (registry, path) => {
      if (path !== manifestPath) return undefined;
      const chart = { mediaType: 'application/vnd.cncf.helm.config.v1+json', digest: sha256('{}'), size: 2 };
      registry.blobs.set(chart.digest, new TextEncoder().encode('{}'));
      return manifest({ schemaVersion: 2, mediaType: ociManifest, config: chart, layers: [] });
    },
    says: /application\/vnd\.cncf\.helm\.config\.v1\+json/,
  },
  'names a layer of a kind that is no layer': {
    tell: (registry, path) => {
      if (path !== manifestPath) return undefined;
      const { bytes } = registry.manifests.get('lies:1') ?? { bytes: new Uint8Array() };
      return manifest(Buffer.from(bytes).toString().replaceAll('image.layer.v1.tar+gzip', 'something.else'));
    },
    says: /application\/vnd\.oci\.something\.else/,
  },
  'takes no token that its own server gives': {
    tell: (_registry, path) => (path === '/token' ? Response.json({ token: 'stale' }) : undefined),
    says: /unauthorized: authentication required/,
  },
  'has a token server that fails': {
    tell: (_registry, path) => (path === '/token' ? new Response('out of order', { status: 500 }) : undefined),
    says: /\/token\\": unexpected status 500 Internal Server Error: out of order/,
  },
  'has too many requests': {
    tell: (_registry, path) => (path === layerPath ? failure(429, 'TOOMANYREQUESTS', 'come back tomorrow') : undefined),
    says: /toomanyrequests: come back tomorrow/,
  },
  'is out of order': {
    tell: (_registry, path) => (path === layerPath ? new Response('down for maintenance', { status: 502 }) : undefined),
    says: /blobs\/sha256:[0-9a-f]+\\": unexpected status 502 Bad Gateway: down for maintenance/,
  },
};

describe('a pull from a registry that', () => {
  const daemon = sharedDaemon({ busybox: false, args: ['--max-download-attempts', '2', '--max-layer-size', '10m'] });

  const pull = async (registry: SmallRegistry): Promise<string> =>
    (await daemon().api.call('POST', `/images/create?fromImage=${registry.address}/lies&tag=1`)).text;
  const expectNothing = async (): Promise<void> => {
    expect(await daemon().api.expect<unknown[]>('GET', '/images/json?all=1')).toEqual([]);
    // What a registry that was only out of reach had sent is kept to go on with.
    await daemon().api.expect('POST', '/images/prune');
    await expectTraces(daemon(), []);
  };

  test.each(Object.keys(lies))('%s says what is wrong and leaves nothing', async title => {
    const lie = lies[title];
    await using registry = startSmallRegistry();
    publishImage(registry, 'lies', '1', image);
    if (title.includes('token')) registry.auth = { kind: 'bearer', tokens: new Set(), realm: `http://${registry.address}/token` };
    registry.intercept = (_request, path) => lie?.tell(registry, path);
    expect(await pull(registry)).toMatch(lie?.says ?? /./);
    await expectNothing();
  });

  test('sends a layer that unpacks to more than the operator allows says so and leaves nothing', async () => {
    await using registry = startSmallRegistry();
    const bomb = makeImage(['x'.repeat(11 << 20)], { compress: true });
    expect((bomb.layers[0] as Uint8Array).length).toBeLessThan(100_000);
    publishImage(registry, 'lies', '1', bomb);
    expect(await pull(registry)).toMatch(/larger than 10485760 bytes.*max-layer-size/);
    await expectNothing();
  });

  test('lets tokens expire in the middle is asked for new ones', async () => {
    await using registry = startSmallRegistry();
    publishImage(registry, 'lies', '1', image);
    const tokens = new Set<string>();
    let given = 0;
    registry.auth = { kind: 'bearer', tokens, realm: `http://${registry.address}/token` };
    const expired = new Set<string>();
    registry.intercept = (_request, path) => {
      if (path === '/token') {
        given += 1;
        tokens.add(`t${String(given)}`);
        return Response.json({ token: `t${String(given)}`, expires_in: 3600 });
      }
      // At the first request for each blob, all that were given are over.
      if (path.includes('/blobs/') && !expired.has(path)) tokens.clear();
      expired.add(path);
      return undefined;
    };
    expect(await pull(registry)).toContain('Downloaded newer image');
    expect(given).toBeGreaterThan(2);
    await daemon().api.expect('DELETE', `/images/${registry.address}/lies:1`);
    await expectNothing();
  });

  test('recovers after refusals is asked again until it answers', async () => {
    await using registry = startSmallRegistry();
    publishImage(registry, 'lies', '1', image);
    const refused = new Set<string>();
    registry.intercept = (_request, path) => {
      if (path === '/v2/' || refused.has(path)) return undefined;
      refused.add(path);
      return refused.size % 2 === 0
        ? new Response(null, { status: 503 })
        : new Response(null, { status: 429, headers: { 'Retry-After': '0' } });
    };
    expect(await pull(registry)).toContain('Downloaded newer image');
    await daemon().api.expect('DELETE', `/images/${registry.address}/lies:1`);
    await expectNothing();
  });
});
