import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '#oci/digest.ts';
import { type BerthRegistry, codesOf, jsonOf, startBerthRegistry } from '#test/helpers/berth-registry.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { makeManifest, ociManifestType, pushBlob, pushImage, randomBytes } from '#test/helpers/registry-content.ts';
import { failure, startSmallRegistry, type SmallRegistry } from '#test/helpers/small-registry.ts';

let upstream: SmallRegistry;
let cache: BerthRegistry;
const config = randomBytes(200);
const layer = randomBytes(2_000_000);
const image = makeManifest({ config, layers: [layer] });

beforeEach(async () => {
  upstream = startSmallRegistry();
  for (const data of [config, layer]) upstream.blobs.set(sha256(data), data);
  for (const key of [`team/app:1`, `team/app@${image.digest}`])
    upstream.manifests.set(key, { bytes: image.bytes, mediaType: image.mediaType });
  cache = await startBerthRegistry({
    config: { upstreams: [{ prefix: 'up', remoteurl: `http://${upstream.address}`, ttl: '1h' }], gc: { interval: 0 } },
  });
});
afterEach(async () => {
  await cache[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
});

const asked = (line: RegExp): number => upstream.requests.filter(request => line.test(request.line)).length;
const blob = (data: Uint8Array): string => `/v2/up/team/app/blobs/${sha256(data)}`;
const partOf = (registry: BerthRegistry): string | undefined =>
  readdirSync(join(registry.data, 'staging')).find(name => name.startsWith('fetch-'));

describe('a pull-through cache', () => {
  test('fetches once what is asked for', async () => {
    for (let round = 0; round < 2; round += 1) {
      const manifest = await cache.call('GET', '/v2/up/team/app/manifests/1');
      expect([manifest.status, manifest.headers.get('docker-content-digest'), manifest.headers.get('content-type')]).toEqual([
        200,
        image.digest,
        ociManifestType,
      ]);
      for (const data of [config, layer]) expect(sha256((await cache.call('GET', blob(data))).bytes)).toBe(sha256(data));
    }
    expect([asked(/^GET .*manifests/), asked(/^GET .*blobs/)]).toEqual([1, 2]);
    await eventually(
      'the blob is stored',
      async () => (await cache.call('HEAD', blob(layer))).headers.get('etag') !== null && partOf(cache) === undefined,
    );
    expect(jsonOf(await cache.call('GET', '/v2/up/team/app/tags/list'))).toEqual({ name: 'up/team/app', tags: ['1'] });
  });

  test('many clients at once cause one download, and a part can be asked for', async () => {
    await cache.call('GET', '/v2/up/team/app/manifests/1');
    const answers = await Promise.all([
      ...Array.from({ length: 10 }, () => cache.call('GET', blob(layer))),
      cache.call('GET', blob(layer), { headers: { Range: 'bytes=1000-1999' } }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([...Array.from({ length: 10 }, () => 200), 206]);
    for (const answer of answers.slice(0, 10)) expect(sha256(answer.bytes)).toBe(sha256(layer));
    expect(sha256(answers[10]?.bytes ?? '')).toBe(sha256(layer.subarray(1000, 2000)));
    expect(asked(/^GET .*blobs/)).toBe(1);
  });

  test('a tag that moves is followed; when upstream is away what is here is served', async () => {
    await cache.call('GET', '/v2/up/team/app/manifests/1');
    await cache.call('GET', blob(layer));
    const next = makeManifest({ config, layers: [] });
    for (const key of ['team/app:1', `team/app@${next.digest}`])
      upstream.manifests.set(key, { bytes: next.bytes, mediaType: next.mediaType });
    expect((await cache.call('GET', '/v2/up/team/app/manifests/1')).headers.get('docker-content-digest')).toBe(next.digest);
    upstream.intercept = () => failure(503, 'UNAVAILABLE', 'gone fishing');
    expect((await cache.call('GET', '/v2/up/team/app/manifests/1')).headers.get('docker-content-digest')).toBe(next.digest);
    expect((await cache.call('GET', `/v2/up/team/app/manifests/${image.digest}`)).status).toBe(200);
    expect((await cache.call('GET', blob(layer))).status).toBe(200);
    expect(codesOf(await cache.call('GET', '/v2/up/team/app/manifests/other'))).toEqual(['UNAVAILABLE']);
  }, 60_000);

  test('what is not there is unknown, and nothing can be pushed there', async () => {
    expect(codesOf(await cache.call('GET', '/v2/up/team/app/manifests/none'))).toEqual(['MANIFEST_UNKNOWN']);
    expect(codesOf(await cache.call('GET', `/v2/up/team/app/blobs/${sha256('none')}`))).toEqual(['BLOB_UNKNOWN']);
    const pushed = await cache.call('POST', '/v2/up/team/app/blobs/uploads/');
    expect([pushed.status, codesOf(pushed)]).toEqual([405, ['UNSUPPORTED']]);
    await pushImage(cache, 'own/app', 'latest');
    expect((await cache.call('GET', '/v2/own/app/manifests/latest')).status).toBe(200);
  });

  test('a connection that breaks upstream is taken up where it broke', async () => {
    let broken = 0;
    upstream.intercept = (request, path) => {
      if (request.method !== 'GET' || !path.endsWith(sha256(layer)) || broken > 0) return undefined;
      broken += 1;
      return cutAfter(layer, 600_000);
    };
    await cache.call('GET', '/v2/up/team/app/manifests/1');
    expect(sha256((await cache.call('GET', blob(layer))).bytes)).toBe(sha256(layer));
    const ranges = upstream.requests
      .filter(({ line }) => line.startsWith('GET') && line.endsWith(sha256(layer)))
      .map(({ headers }) => headers.get('range'));
    expect(ranges).toEqual([null, expect.stringMatching(/^bytes=[1-9]\d*-$/) as unknown as string]);
  }, 60_000);

  test('and so is one that broke because the cache was killed', async () => {
    const gate = Promise.withResolvers<void>();
    upstream.intercept = (request, path) => {
      if (request.method !== 'GET' || !path.endsWith(sha256(layer)) || request.headers.has('range')) return undefined;
      return stalled(layer, 600_000, gate.promise);
    };
    await cache.call('GET', '/v2/up/team/app/manifests/1');
    const first = cache.call('GET', blob(layer)).catch(() => undefined);
    await eventually('some of it is on disk', () => {
      const part = partOf(cache);
      return part !== undefined && statSync(join(cache.data, 'staging', part)).size >= 500_000;
    });
    await cache.kill();
    await first;
    gate.resolve();
    await cache.start();
    expect(sha256((await cache.call('GET', blob(layer))).bytes)).toBe(sha256(layer));
    const last = upstream.requests.findLast(({ line }) => line.startsWith('GET') && line.endsWith(sha256(layer)));
    expect(last?.headers.get('range')).toMatch(/^bytes=[5-6]\d{5}-$/);
    await eventually(
      'it is stored',
      () =>
        partOf(cache) === undefined &&
        existsSync(join(cache.data, 'docker/registry/v2/blobs/sha256', sha256(layer).slice(7, 9), sha256(layer).slice(7), 'data')),
    );
  }, 60_000);

  test('other bytes than were asked for never reach a client as a whole, and are not kept', async () => {
    const lie = layer.slice();
    lie[1_999_999] = (lie[1_999_999] ?? 0) ^ 1;
    await cache.call('GET', '/v2/up/team/app/manifests/1');
    upstream.blobs.set(sha256(layer), lie);
    const got = await cache.call('GET', blob(layer)).then(
      answer => answer.bytes.length,
      () => -1,
    );
    expect(got).toBeLessThan(layer.length);
    upstream.blobs.set(sha256(layer), layer);
    await eventually('the right bytes are fetched', async () => {
      const again = await cache.call('GET', blob(layer)).catch(() => undefined);
      return again?.status === 200 && sha256(again.bytes) === sha256(layer);
    });
  }, 60_000);

  test('what has not been asked for in its time is collected', async () => {
    await using brief = await startBerthRegistry({
      config: { proxy: { remoteurl: `http://${upstream.address}`, ttl: '1s' }, gc: { interval: '500ms', grace: '100ms' } },
    });
    expect((await brief.call('GET', '/v2/team/app/manifests/1')).status).toBe(200);
    await brief.call('GET', `/v2/team/app/blobs/${sha256(layer)}`);
    const stored = join(brief.data, 'docker/registry/v2/blobs/sha256', sha256(layer).slice(7, 9), sha256(layer).slice(7));
    await eventually('it is there', () => existsSync(stored));
    await eventually('it is gone', () => !existsSync(stored), { timeoutMs: 20_000 });
    expect((await brief.call('GET', '/v2/team/app/manifests/1')).status).toBe(200);
  }, 60_000);

  test('of a registry that wants a password', async () => {
    await using guarded = await startBerthRegistry({
      files: { users: `ann:${(await Bun.password.hash('secret', { algorithm: 'bcrypt', cost: 4 })).replace('$2b$', '$2y$')}\n` },
      config: folder => ({ auth: { htpasswd: { path: join(folder, 'users') } } }),
    });
    const headers = { Authorization: `Basic ${btoa('ann:secret')}` };
    const data = randomBytes(100);
    expect((await guarded.call('POST', `/v2/a/blobs/uploads/?digest=${sha256(data)}`, { headers, body: data })).status).toBe(201);
    const settings = (password: string): object => ({ proxy: { remoteurl: guarded.url, username: 'ann', password } });
    await using right = await startBerthRegistry({ config: settings('secret') as Record<string, unknown> });
    expect(sha256((await right.call('GET', `/v2/a/blobs/${sha256(data)}`)).bytes)).toBe(sha256(data));
    await using wrong = await startBerthRegistry({ config: settings('Secret') as Record<string, unknown> });
    expect(codesOf(await wrong.call('GET', `/v2/a/blobs/${sha256(data)}`))).toEqual(['DENIED']);
    expect(await right.log()).not.toContain('secret');
  }, 60_000);

  test('metrics tell hits from misses', async () => {
    await cache.call('GET', '/v2/up/team/app/manifests/1');
    await cache.call('GET', '/v2/up/team/app/manifests/1');
    const metrics = await cache.metrics();
    expect(metrics).toContain('registry_proxy_hits_total 1\n');
    expect(metrics).toContain('registry_proxy_misses_total 1\n');
  });

  test('what came with another repository is not fetched again, but only for a repository that has it', async () => {
    await cache.call('GET', blob(layer));
    await eventually('it is stored', () => partOf(cache) === undefined);
    for (const key of ['team/other:1', `team/other@${image.digest}`])
      upstream.manifests.set(key, { bytes: image.bytes, mediaType: image.mediaType });
    expect(sha256((await cache.call('GET', `/v2/up/team/other/blobs/${sha256(layer)}`)).bytes)).toBe(sha256(layer));
    expect([asked(/^GET .*team\/app\/blobs/), asked(/^GET .*team\/other\/blobs/), asked(/^HEAD .*team\/other\/blobs/)]).toEqual([1, 0, 1]);
    upstream.intercept = (_request, path) => (path.includes('team/private') ? failure(404, 'BLOB_UNKNOWN', 'no') : undefined);
    expect((await cache.call('GET', `/v2/up/team/private/blobs/${sha256(layer)}`)).status).toBe(404);
  });

  test('a local repository is no copy', async () => {
    await pushBlob(cache, 'up', randomBytes(10));
  });
});

/** The beginning of some bytes, then the connection breaks. */
function cutAfter(data: Uint8Array, length: number): Response {
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      controller.enqueue(data.slice(0, length));
      await Bun.sleep(50);
      controller.error(new Error('cut'));
    },
  });
  return new Response(body, { headers: { 'Content-Length': String(data.length) } });
}

function stalled(data: Uint8Array, length: number, until: Promise<void>): Response {
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(data.slice(0, length));
      await until;
      controller.close();
    },
  });
  return new Response(body, { headers: { 'Content-Length': String(data.length) } });
}
