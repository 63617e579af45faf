import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { sha256 } from '#oci/digest.ts';
import { type BerthRegistry, jsonOf, startBerthRegistry } from '#test/helpers/berth-registry.ts';
import { octets, pushBlob, pushImage, randomBytes } from '#test/helpers/registry-content.ts';
import { type S3Server, startS3Server } from '#test/helpers/s3-server.ts';
import { berthCommand } from '#test/helpers/paths.ts';
import { runOk } from '#test/helpers/run.ts';

describe('a registry on a bucket', () => {
  let server: S3Server;
  let registry: BerthRegistry;
  const settings = (folder: string, redirect = false): Record<string, unknown> => ({
    storage: {
      staging: join(folder, 'staging'),
      redirect: { disable: !redirect },
      s3: {
        bucket: server.bucket,
        region: 'us-east-1',
        regionendpoint: server.url,
        accesskey: server.accessKey,
        secretkey: server.secretKey,
        rootdirectory: 'registry',
        chunksize: '5MiB',
      },
    },
  });
  beforeAll(async () => {
    server = startS3Server();
    registry = await startBerthRegistry({ s3: true, config: settings });
  });
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  test('images are pushed, pulled, listed and deleted; large blobs go in parts', async () => {
    const layer = randomBytes(12_000_000);
    const image = await pushImage(registry, 'a/b', 'latest', { layers: [layer] });
    expect((await registry.call('GET', '/v2/a/b/manifests/latest')).headers.get('docker-content-digest')).toBe(image.digest);
    const blob = await registry.call('GET', `/v2/a/b/blobs/${sha256(layer)}`);
    expect(sha256(blob.bytes)).toBe(sha256(layer));
    expect((await registry.call('HEAD', `/v2/a/b/blobs/${sha256(layer)}`)).headers.get('content-length')).toBe('12000000');
    const part = await registry.call('GET', `/v2/a/b/blobs/${sha256(layer)}`, { headers: { Range: 'bytes=4999990-5000009' } });
    expect([part.status, Buffer.compare(part.bytes, layer.subarray(4_999_990, 5_000_010))]).toEqual([206, 0]);
    expect(jsonOf(await registry.call('GET', '/v2/_catalog'))).toEqual({ repositories: ['a/b'] });
    expect(jsonOf(await registry.call('GET', '/v2/a/b/tags/list'))).toEqual({ name: 'a/b', tags: ['latest'] });
    const mounted = await registry.call('POST', `/v2/c/blobs/uploads/?mount=${sha256(layer)}&from=a/b`);
    expect(mounted.status).toBe(201);
    expect((await registry.call('DELETE', `/v2/a/b/manifests/${image.digest}`)).status).toBe(202);
    expect((await registry.call('GET', '/v2/a/b/manifests/latest')).status).toBe(404);
  });

  test('another registry on the bucket sees it, and sends clients to the bucket when told to', async () => {
    const image = await pushImage(registry, 'shared', '1');
    await using second = await startBerthRegistry({ s3: true, config: folder => settings(folder, true) });
    expect((await second.call('GET', '/v2/shared/manifests/1')).headers.get('docker-content-digest')).toBe(image.digest);
    const data = randomBytes(100_000);
    await pushBlob(registry, 'shared', data);
    const redirect = await second.call('GET', `/v2/shared/blobs/${sha256(data)}`);
    expect(redirect.status).toBe(307);
    expect(sha256(await (await fetch(redirect.headers.get('location') ?? '')).bytes())).toBe(sha256(data));
    const moved = await pushImage(second, 'shared', '1');
    expect((await registry.call('GET', '/v2/shared/manifests/1')).headers.get('docker-content-digest')).toBe(moved.digest);
  });

  test('an upload goes on after a restart; what nothing needs is collected', async () => {
    const data = randomBytes(300_000);
    const location = (await registry.call('POST', '/v2/resume/blobs/uploads/')).headers.get('location') ?? '';
    await registry.call('PATCH', location, { body: data.slice(0, 100_000), headers: octets });
    await registry.kill();
    await registry.start();
    const rest = await registry.call('PUT', `${location}?digest=${sha256(data)}`, {
      body: data.slice(100_000),
      headers: { ...octets, 'Content-Range': '100000-299999' },
    });
    expect(rest.status).toBe(201);
    const said = await runOk([...berthCommand(), 'registry', 'gc', registry.configPath, '--grace', '0s']);
    expect(said).toMatch(/removed 0 manifests, [1-9]\d* links and [1-9]\d* blobs/);
    // Others on the bucket may have been told of it a moment ago.
    expect((await registry.call('GET', '/v2/shared/manifests/1')).status).toBe(200);
  });

  test('without the bucket it says that it is unavailable, and recovers', async () => {
    await server[Symbol.asyncDispose]();
    const answer = await registry.call('GET', `/v2/a/b/blobs/sha256:${'1'.repeat(64)}`);
    expect([answer.status, (jsonOf(answer) as { errors: { code: string }[] }).errors[0]?.code]).toEqual([503, 'UNAVAILABLE']);
  });
});
