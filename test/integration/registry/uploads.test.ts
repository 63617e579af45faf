import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { sha256 } from '#oci/digest.ts';
import { type BerthRegistry, codesOf, startBerthRegistry } from '#test/helpers/berth-registry.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { makeManifest, octets, ociManifestType, pushBlob, pushImage, randomBytes } from '#test/helpers/registry-content.ts';

/** What is in the middle of being received. */
const staged = (registry: BerthRegistry): string[] => readdirSync(join(registry.data, 'staging'));

async function begin(registry: BerthRegistry, name: string): Promise<string> {
  return (await registry.call('POST', `/v2/${name}/blobs/uploads/`)).headers.get('location') ?? '';
}

const offsetOf = async (registry: BerthRegistry, location: string): Promise<string | null> =>
  (await registry.call('GET', location)).headers.get('range');

/** Sends the head of a request and some of its body, waits for `hasArrived`, then breaks the connection: it may take along what nobody has read yet. */
async function breakOff(
  registry: BerthRegistry,
  head: readonly string[],
  part: Uint8Array,
  hasArrived?: () => Promise<boolean>,
): Promise<void> {
  const socket = connect(registry.port, '127.0.0.1');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('connect', () => socket.write(`${head.join('\r\n')}\r\nHost: x\r\n\r\n`, () => socket.write(part, () => resolve())));
  });
  if (hasArrived !== undefined) await eventually('some of it has arrived', hasArrived);
  socket.destroy();
}

describe('uploads', () => {
  let registry: BerthRegistry;
  beforeAll(async () => {
    registry = await startBerthRegistry();
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
  });

  test('a connection that breaks in the middle: what arrived stays, and the client goes on there', async () => {
    const data = randomBytes(3_000_000);
    const location = await begin(registry, 'cut');
    await breakOff(
      registry,
      [`PATCH ${location} HTTP/1.1`, 'Content-Type: application/octet-stream', 'Content-Length: 3000000'],
      data.subarray(0, 1_000_000),
      async () => (await offsetOf(registry, location)) !== '0-0',
    );
    const offset = await eventually('nothing more comes', async () => {
      const [one, two] = [await offsetOf(registry, location), await offsetOf(registry, location)];
      return one === two ? Number(one?.slice(2)) + 1 : undefined;
    });
    expect(offset).toBeGreaterThan(1);
    const rest = await registry.call('PATCH', location, {
      body: data.slice(offset),
      headers: { ...octets, 'Content-Range': `${String(offset)}-${String(data.length - 1)}` },
    });
    expect(rest.status).toBe(202);
    expect((await registry.call('PUT', `${location}?digest=${sha256(data)}`)).status).toBe(201);
    expect(sha256((await registry.call('GET', `/v2/cut/blobs/${sha256(data)}`)).bytes)).toBe(sha256(data));
  });

  test('a connection that breaks in one POST leaves nothing behind', async () => {
    const before = staged(registry).length;
    const digest = sha256(randomBytes(10));
    await breakOff(registry, [`POST /v2/cut/blobs/uploads/?digest=${digest} HTTP/1.1`, 'Content-Length: 3000000'], randomBytes(500_000));
    await eventually('it is cleaned up', () => staged(registry).length === before);
    expect((await registry.call('GET', `/v2/cut/blobs/${digest}`)).status).toBe(404);
  });

  test('a chunked body that ends in the middle is no body', async () => {
    const location = await begin(registry, 'cut');
    await breakOff(
      registry,
      [`PUT ${location}?digest=${sha256('hello')} HTTP/1.1`, 'Transfer-Encoding: chunked'],
      new TextEncoder().encode('5\r\nhello\r\n'),
    );
    await eventually('the registry has noticed', async () => (await registry.call('GET', location)).status === 204);
    expect((await registry.call('GET', `/v2/cut/blobs/${sha256('hello')}`)).status).toBe(404);
  });

  test('two clients that push the same blob at the same moment both succeed', async () => {
    const data = randomBytes(2_000_000);
    await Promise.all(Array.from({ length: 8 }, (_, index) => pushBlob(registry, index % 2 === 0 ? 'same/a' : 'same/b', data)));
    for (const name of ['same/a', 'same/b'])
      expect(sha256((await registry.call('GET', `/v2/${name}/blobs/${sha256(data)}`)).bytes)).toBe(sha256(data));
    expect(staged(registry)).toEqual(staged(registry).filter(entry => entry.startsWith('upload-')));
  });

  test('two requests for one session take turns', async () => {
    const location = await begin(registry, 'turns');
    const chunk = randomBytes(400_000);
    const headers = { ...octets, 'Content-Range': '0-399999' };
    const answers = await Promise.all([
      registry.call('PATCH', location, { body: chunk, headers }),
      registry.call('PATCH', location, { body: chunk, headers }),
    ]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([202, 416]);
    expect((await registry.call('PUT', `${location}?digest=${sha256(chunk)}`)).status).toBe(201);
  });

  test('others are answered at once while large blobs arrive and are hashed', async () => {
    const data = randomBytes(30_000_000);
    const sha512 = `sha512:${createHash('sha512').update(data).digest('hex')}`;
    await pushImage(registry, 'quick', 'latest');
    let isOver = false;
    const uploads = Promise.all([pushBlob(registry, 'slow', data), pushBlob(registry, 'slow', data, sha512)]).finally(
      () => (isOver = true),
    );
    const times: number[] = [];
    while (!isOver) {
      const began = performance.now();
      await registry.call('GET', '/v2/quick/manifests/latest');
      times.push(performance.now() - began);
    }
    await uploads;
    const median = times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
    expect(times.length).toBeGreaterThan(3);
    expect(median).toBeLessThan(100);
  });
});

describe('after a restart', () => {
  test('an upload goes on where it was, with bytes of before and after in the digest', async () => {
    await using registry = await startBerthRegistry();
    const data = randomBytes(700_000);
    const location = await begin(registry, 'resume');
    await registry.call('PATCH', location, { body: data.slice(0, 300_000), headers: octets });
    await registry.kill();
    await registry.start();
    expect(await offsetOf(registry, location)).toBe('0-299999');
    const answer = await registry.call('PATCH', location, {
      body: data.slice(300_000),
      headers: { ...octets, 'Content-Range': '300000-699999' },
    });
    expect(answer.headers.get('range')).toBe('0-699999');
    expect((await registry.call('PUT', `${location}?digest=${sha256(data)}`)).status).toBe(201);
    expect(sha256((await registry.call('GET', `/v2/resume/blobs/${sha256(data)}`)).bytes)).toBe(sha256(data));
  });

  test('an upload that nobody goes on with is removed in time', async () => {
    await using registry = await startBerthRegistry({ config: { storage: { maintenance: { uploadpurging: { age: '1s' } } } } });
    const location = await begin(registry, 'stale');
    await eventually('it is gone', async () => (await registry.call('GET', location)).status === 404);
    expect(staged(registry)).toEqual([]);
  });

  test('a second registry on the same storage is refused', async () => {
    await using registry = await startBerthRegistry();
    const second = await startBerthRegistry({ data: registry.data }).then(
      async other => {
        await other[Symbol.asyncDispose]();
        return 'it started';
      },
      (err: unknown) => String(err),
    );
    expect(second).toContain('another registry works on');
  });
});

describe('killed at any step of a push', () => {
  test.each([
    'registry.upload.appended',
    'registry.upload.received',
    'registry.store.written@1',
    'registry.store.placed@1',
    'registry.store.written@2',
    'registry.store.placed@2',
    'registry.store.written@4',
    'registry.store.placed@4',
  ])('%s: the client does it again, nothing is torn and nothing is left', async point => {
    await using registry = await startBerthRegistry();
    const [config, layer] = [randomBytes(100), randomBytes(200_000)];
    const manifest = makeManifest({ config, layers: [layer] });
    const push = async (): Promise<void> => {
      const location = await begin(registry, 'torn');
      await registry.call('PATCH', location, { body: layer, headers: octets });
      await registry.call('PUT', `${location}?digest=${sha256(layer)}`);
      await pushBlob(registry, 'torn', config);
      const done = await registry.call('PUT', '/v2/torn/manifests/latest', {
        body: manifest.bytes,
        headers: { 'Content-Type': ociManifestType },
      });
      if (done.status !== 201) throw new Error(String(codesOf(done)));
    };
    await registry.kill();
    await registry.start({ BERTH_FAILPOINT: point });
    const outcome = await push().then(
      () => 'it went through',
      () => 'it broke',
    );
    expect(outcome).toBe('it broke');
    await registry.exited();
    await registry.start();
    // Whatever is visible now is whole.
    for (const data of [config, layer]) {
      const got = await registry.call('GET', `/v2/torn/blobs/${sha256(data)}`);
      if (got.status === 200) expect(sha256(got.bytes)).toBe(sha256(data));
    }
    await push();
    expect((await registry.call('GET', '/v2/torn/manifests/latest')).headers.get('docker-content-digest')).toBe(manifest.digest);
    expect(sha256((await registry.call('GET', `/v2/torn/blobs/${sha256(layer)}`)).bytes)).toBe(sha256(layer));
    expect(staged(registry).filter(entry => !entry.startsWith('upload-'))).toEqual([]);
  });
});
