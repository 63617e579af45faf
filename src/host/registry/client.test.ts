import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EngineError, kindOf } from '#base/errors.ts';
import { createLogger, silentLogger } from '#base/log.ts';
import type { RegistryAuth, RegistryRepository } from '#core/registry.ts';
import { sha256 } from '#oci/digest.ts';
import { mediaTypes } from '#oci/manifest.ts';
import { parseReference } from '#oci/reference.ts';
import { blobAnswer, failure, slowly, type SmallRegistry, startSmallRegistry } from '#test/helpers/small-registry.ts';
import { createRegistryClient } from './client.ts';

let registry: SmallRegistry;
const signal = new AbortController().signal;
const bytes = crypto.getRandomValues(new Uint8Array(300_000));
const blob = { mediaType: '', digest: sha256(bytes), size: bytes.length };

beforeEach(() => {
  registry = startSmallRegistry();
  registry.blobs.set(blob.digest, bytes);
  registry.manifests.set('app:1', { bytes: new TextEncoder().encode('{}'), mediaType: mediaTypes.ociManifest });
});
afterEach(async () => await registry[Symbol.asyncDispose]());

const client = (options: { mirrors?: string[]; log?: typeof silentLogger; hostDirs?: string[] } = {}) =>
  createRegistryClient({
    mirrors: options.mirrors ?? [],
    ...(options.hostDirs !== undefined && { hostDirs: options.hostDirs }),
    insecureRegistries: [],
    userAgent: 'berth/test',
    log: options.log ?? silentLogger,
    retry: { attempts: 5, firstPauseMs: 1, longestPauseMs: 2_000 },
    ranges: { sampleMs: 20, patienceMs: 20, connections: 3, partBytes: 50_000 },
    answerTimeoutMs: 500,
    stallTimeoutMs: 500,
  });
const open = (auth?: RegistryAuth, actions: 'pull' | 'push' = 'pull'): RegistryRepository =>
  client().repository(parseReference(`${registry.address}/app`), { actions, auth });

async function read(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of source) parts.push(chunk.slice());
  return Buffer.concat(parts);
}

async function failing(attempt: Promise<unknown>): Promise<EngineError> {
  const err = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(err instanceof EngineError)) throw new Error(`expected an EngineError, got ${String(err)}`);
  return err;
}

test('speaks plain HTTP to loopback when TLS is not spoken there', async () => {
  expect(new TextDecoder().decode((await open().manifest('1', signal)).bytes)).toBe('{}');
});

test('asks for every kind of manifest', async () => {
  await open().manifest('1', signal);
  expect(registry.requests[0]?.headers.get('accept')?.split(', ').sort()).toEqual(
    [mediaTypes.dockerIndex, mediaTypes.dockerManifest, mediaTypes.ociIndex, mediaTypes.ociManifest].sort(),
  );
});

describe('blob()', () => {
  test('streams the bytes', async () => {
    expect(Buffer.compare(await read(open().blob(blob, signal)), bytes)).toBe(0);
  });

  test('goes on where a broken connection broke', async () => {
    const ranges: string[] = [];
    // Every answer breaks off after 100,000 bytes.
    const server = createServer(socket => {
      socket.on('error', () => undefined);
      socket.once('data', request => {
        const from = Number(/bytes=(\d+)-/.exec(request.toString())?.[1] ?? 0);
        ranges.push(String(from));
        const status = from === 0 ? '200 OK' : `206 Partial Content\r\nContent-Range: bytes ${from}-${bytes.length - 1}/${bytes.length}`;
        socket.write(`HTTP/1.1 ${status}\r\nContent-Length: ${bytes.length - from}\r\n\r\n`);
        socket.write(bytes.slice(from, from + 100_000), () => setTimeout(() => socket.destroy(), 20));
      });
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      // A mirror, because plain HTTP is spoken there without trying TLS first.
      const repository = client({ mirrors: [`http://127.0.0.1:${port}`] }).repository(parseReference('app'), { actions: 'pull' });
      expect(Buffer.compare(await read(repository.blob(blob, signal)), bytes)).toBe(0);
    } finally {
      server.close();
    }
    expect(ranges.length).toBeGreaterThanOrEqual(3);
    expect(ranges[1]).not.toBe('0');
  });

  test('copes with a registry that ignores ranges', async () => {
    let first = true;
    registry.intercept = () => {
      if (!first) return new Response(bytes);
      first = false;
      return new Response(
        new ReadableStream<Uint8Array>({
          start(controller) {
            controller.enqueue(bytes.slice(0, 1000));
            controller.close();
          },
        }),
      );
    };
    expect(Buffer.compare(await read(open().blob(blob, signal)), bytes)).toBe(0);
  });

  test('does not take another size than the manifest says', async () => {
    registry.intercept = () => new Response(bytes.slice(1));
    const err = await failing(read(open().blob(blob, signal)));
    expect(kindOf(err)).toBe('DataLoss');
    expect(err.message).toBe(`blob ${blob.digest}: the registry offers ${bytes.length - 1} bytes, its manifest says ${bytes.length}`);
  });

  test('gives up after five attempts without a byte', async () => {
    registry.intercept = () => new Response('try later', { status: 503 });
    const err = await failing(read(open().blob(blob, signal)));
    expect(kindOf(err)).toBe('Unavailable');
    expect(registry.requests.length).toBe(5);
  });

  test('waits as long as a registry with too many requests asks for', async () => {
    let refusals = 0;
    registry.intercept = () => {
      refusals += 1;
      return refusals > 1 ? undefined : new Response(null, { status: 429, headers: { 'Retry-After': '1' } });
    };
    const begun = performance.now();
    expect(Buffer.compare(await read(open().blob(blob, signal)), bytes)).toBe(0);
    expect(performance.now() - begun).toBeGreaterThan(950);
  });

  test('does not wait for an hour', async () => {
    registry.intercept = () => new Response(null, { status: 429, headers: { 'Retry-After': '3600' } });
    const err = await failing(read(open().blob(blob, signal)));
    expect([kindOf(err), err.message, registry.requests.length]).toEqual(['ResourceExhausted', 'toomanyrequests: too many requests', 1]);
  });

  describe('over a slow connection', () => {
    const ranges = (): string[] => registry.requests.map(({ headers }) => headers.get('range') ?? 'all');

    test('takes the rest over several connections', async () => {
      registry.intercept = request => blobAnswer(request, bytes, part => slowly(part, 5_000, 5));
      expect(Buffer.compare(await read(open().blob(blob, signal)), bytes)).toBe(0);
      expect(ranges().length).toBeGreaterThan(4);
      expect(ranges().slice(1)).not.toContain('all');
    });

    test('reads on when one part breaks off', async () => {
      registry.intercept = request =>
        blobAnswer(request, bytes, part => slowly(registry.requests.length === 3 ? part.slice(0, 5_000) : part, 5_000, 5));
      expect(Buffer.compare(await read(open().blob(blob, signal)), bytes)).toBe(0);
    });

    test('stays with one connection where ranges are promised but not served', async () => {
      registry.intercept = () => {
        const body = slowly(bytes, 10_000, 5);
        return new Response(body, { headers: { 'Accept-Ranges': 'bytes', 'Content-Length': String(bytes.length) } });
      };
      expect(Buffer.compare(await read(open().blob(blob, signal)), bytes)).toBe(0);
    });
  });

  test('does not forward credentials to another host', async () => {
    await using store = startSmallRegistry();
    store.blobs.set(blob.digest, bytes);
    registry.auth = { kind: 'basic', header: `Basic ${btoa('me:secret')}` };
    registry.intercept = (request, path) =>
      path.includes('/blobs/') && request.headers.has('authorization')
        ? Response.redirect(`http://${store.address}/v2/app/blobs/${blob.digest}?signature=x`, 307)
        : undefined;
    const repository = client().repository(parseReference(`${registry.address}/app`), {
      actions: 'pull',
      auth: { username: 'me', password: 'secret' },
      headers: { 'x-meta-ticket': 'ours' },
    });
    expect(Buffer.compare(await read(repository.blob(blob, signal)), bytes)).toBe(0);
    expect(registry.requests[0]?.headers.get('x-meta-ticket')).toBe('ours');
    for (const name of ['authorization', 'x-meta-ticket']) expect(store.requests[0]?.headers.has(name)).toBe(false);
  });

  test('says nothing of passwords in addresses that a registry sends on to', async () => {
    registry.intercept = () => new Response(null, { status: 307, headers: { Location: `http://me:secret@127.0.0.1:1/blob?sig=secret` } });
    const { message } = await failing(read(open().blob(blob, signal)));
    expect(message).toContain('http://127.0.0.1:1/blob');
    expect(message).not.toContain('secret');
  });

  test('stops following redirects that never end', async () => {
    registry.intercept = () => new Response(null, { status: 307, headers: { Location: '/again' } });
    expect((await failing(read(open().blob(blob, signal)))).message).toContain('stopped after 10 redirects');
  });

  test('stops when nothing arrives any more', async () => {
    registry.intercept = () =>
      new Response(new ReadableStream<Uint8Array>({ start: controller => controller.enqueue(bytes.slice(0, 10)) }));
    const gone = new AbortController();
    const reading = failing(read(open().blob(blob, AbortSignal.any([gone.signal]))));
    expect((await reading).message).toContain('no data for 0.5 seconds');
  });
});

describe('manifest()', () => {
  test('notices bytes that do not have the digest', async () => {
    registry.intercept = () => new Response('{}', { headers: { 'Docker-Content-Digest': sha256('other') } });
    const err = await failing(open().manifest('1', signal));
    expect(err.message).toContain(`manifest verification failed for digest ${sha256('other')}`);
    expect(kindOf(err)).toBe('DataLoss');
  });

  for (const [status, body, kind, message] of [
    [404, failure(404, 'MANIFEST_UNKNOWN', 'manifest unknown'), 'NotFound', 'manifest unknown: manifest unknown'],
    [403, failure(403, 'DENIED', ''), 'PermissionDenied', 'denied: requested access to the resource is denied'],
    [429, failure(429, 'TOOMANYREQUESTS', 'slow down'), 'ResourceExhausted', 'toomanyrequests: slow down'],
    [404, new Response('<html>no</html>', { status: 404 }), 'NotFound', 'an HTML page instead of a registry answer'],
    [500, new Response('oops', { status: 500 }), 'Unavailable', 'unexpected status 500'],
  ] as const) {
    test(`explains status ${status}: ${message}`, async () => {
      registry.intercept = () => body.clone() as Response;
      const err = await failing(open().manifest('1', signal));
      expect(kindOf(err)).toBe(kind);
      expect(err.message).toContain(message);
    });
  }

  test('says why nobody answers', async () => {
    const { address } = registry;
    await registry[Symbol.asyncDispose]();
    const err = await failing(
      client()
        .repository(parseReference(`${address}/app`), { actions: 'pull' })
        .manifest('1', signal),
    );
    expect(err.message).toBe(`Get "http://${address}/v2/app/manifests/1": dial tcp ${address}: connect: connection refused`);
    expect(kindOf(err)).toBe('Unavailable');
  });
});

describe('authorization', () => {
  let tokenRequests: string[];
  let tokenServer: ReturnType<typeof Bun.serve>;
  beforeEach(() => {
    tokenRequests = [];
    tokenServer = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      async fetch(request) {
        const body = request.method === 'POST' ? await request.text() : '';
        tokenRequests.push(
          `${request.method} ${new URL(request.url).search}${body} ${request.headers.get('authorization') ?? 'anonymous'}`,
        );
        const isWrong = request.headers.get('authorization') === `Basic ${btoa('me:wrong')}`;
        if (isWrong) return Response.json({ details: 'incorrect username or password' }, { status: 401 });
        return Response.json({ token: 'good', expires_in: 300, refresh_token: 'for-later' });
      },
    });
    registry.auth = { kind: 'bearer', tokens: new Set(['good']), realm: `http://127.0.0.1:${tokenServer.port}/token` };
  });
  afterEach(async () => await tokenServer.stop(true));

  test('gets one token for many requests, for the scope it needs', async () => {
    const repository = open(undefined, 'push');
    await repository.manifest('1', signal);
    await repository.hasBlob(blob.digest, signal);
    expect(tokenRequests).toEqual(['GET ?service=test&scope=repository%3Aapp%3Apull%2Cpush&client_id=docker anonymous']);
  });

  test('sends name and password only to the token server', async () => {
    await open({ username: 'me', password: 'secret' }).manifest('1', signal);
    expect(tokenRequests[0]).toContain(`account=me&client_id=docker Basic ${btoa('me:secret')}`);
    expect(registry.requests.map(({ headers }) => headers.get('authorization'))).toEqual([null, 'Bearer good']);
  });

  test('trades an identity token', async () => {
    await open({ username: '<token>', identityToken: 'refresh-me' }).manifest('1', signal);
    expect(tokenRequests).toEqual([
      'POST grant_type=refresh_token&refresh_token=refresh-me&client_id=docker&service=test&scope=repository%3Aapp%3Apull anonymous',
    ]);
  });

  test('asks for another token when one is over before it was used, but not for ever', async () => {
    const tokens = new Set<string>();
    let usable = 3;
    let given = 0;
    registry.auth = { kind: 'bearer', tokens, realm: `http://${registry.address}/token` };
    registry.intercept = (_request, path) => {
      if (path !== '/token') return undefined;
      given += 1;
      if (given >= usable) tokens.add(`t${String(given)}`);
      return Response.json({ token: `t${String(given)}`, expires_in: 300 });
    };
    await open().manifest('1', signal);
    expect(given).toBe(3);
    usable = Number.POSITIVE_INFINITY;
    tokens.clear();
    expect((await failing(open().manifest('1', signal))).message).toContain('authentication required');
    expect(given).toBeLessThan(10);
  });

  test('sends a registry token as it is', async () => {
    await open({ registryToken: 'good' }).manifest('1', signal);
    expect(tokenRequests).toEqual([]);
  });

  test('says that the password is wrong, and not what it is', async () => {
    const lines: string[] = [];
    const log = createLogger({ level: 'debug', format: 'text', write: line => lines.push(line) });
    const repository = client({ log }).repository(parseReference(`${registry.address}/app`), {
      actions: 'pull',
      auth: { username: 'me', password: 'wrong' },
    });
    const err = await failing(repository.manifest('1', signal));
    expect(kindOf(err)).toBe('Unauthenticated');
    expect(err.message).toContain('unauthorized: incorrect username or password');
    expect(JSON.stringify([err.message, String(err.cause), lines])).not.toContain(btoa('me:wrong'));
  });

  test('says that basic credentials are missing', async () => {
    registry.auth = { kind: 'basic', header: 'Basic x' };
    const err = await failing(open().manifest('1', signal));
    expect(err.message).toBe(`Get "http://${registry.address}/v2/app/manifests/1": no basic auth credentials`);
  });

  test('login() returns the refresh token, or refuses', async () => {
    const login = client().login({ username: 'me', password: 'secret', serverAddress: registry.address }, signal);
    expect(await login).toEqual({ identityToken: 'for-later' });
    const wrong = client().login({ username: 'me', password: 'wrong', serverAddress: registry.address }, signal);
    expect(kindOf(await failing(wrong))).toBe('Unauthenticated');
  });
});

describe('push', () => {
  const data = crypto.getRandomValues(new Uint8Array(200_000));
  const upload = {
    open: async function* () {
      yield await Promise.resolve(data.slice(0, 70_000));
      yield data.slice(70_000);
    },
    digest: () => sha256(data),
  };

  test('goes where each Location points, as it is', async () => {
    await open(undefined, 'push').putBlob(upload, signal);
    expect(Buffer.compare(registry.blobs.get(sha256(data)) ?? new Uint8Array(0), data)).toBe(0);
  });

  test('starts an upload again when the connection breaks', async () => {
    let breaks = 2;
    registry.intercept = request => (request.method === 'PATCH' && breaks-- > 0 ? new Response('', { status: 502 }) : undefined);
    await open(undefined, 'push').putBlob(upload, signal);
    expect(registry.blobs.has(sha256(data))).toBe(true);
  });

  test('mounts what a neighbour has, and gives back an upload it did not want', async () => {
    const repository = open(undefined, 'push');
    expect(await repository.mountBlob(blob.digest, 'other', signal)).toBe(true);
    expect(await repository.mountBlob(sha256('nope'), 'other', signal)).toBe(false);
    expect(registry.requests.at(-1)?.line).toStartWith('DELETE /v2/app/blobs/uploads/');
  });
});

test('a mirror of Docker Hub is asked first, without our credentials', async () => {
  registry.manifests.set('library/app:1', { bytes: new TextEncoder().encode('{"a":1}'), mediaType: mediaTypes.ociManifest });
  const repository = client({ mirrors: [`http://${registry.address}/`] }).repository(parseReference('app'), {
    actions: 'pull',
    auth: { username: 'me', password: 'secret' },
  });
  expect((await repository.manifest('1', signal)).bytes.length).toBe(7);
  expect(registry.requests[0]?.headers.has('authorization')).toBe(false);
});

test('a mirror gets the credentials that hosts.toml has for it, and sends them nowhere', async () => {
  await using store = startSmallRegistry();
  store.blobs.set(blob.digest, bytes);
  const header = `Basic ${btoa('mirror:secret')}`;
  registry.auth = { kind: 'basic', header };
  registry.intercept = (request, path) =>
    path.includes('/blobs/') && request.headers.get('authorization') === header
      ? Response.redirect(`http://${store.address}/v2/app/blobs/${blob.digest}`, 307)
      : undefined;
  const dir = await mkdtemp(join(tmpdir(), 'berth-hosts-'));
  await Bun.write(
    join(dir, 'far.test/hosts.toml'),
    `[host."http://${registry.address}"]\ncapabilities = ["pull", "resolve"]\n[host."http://${registry.address}".header]\nauthorization = "${header}"\n`,
  );
  const repository = client({ hostDirs: [dir] }).repository(parseReference('far.test/app'), { actions: 'pull' });
  expect((await repository.manifest('1', signal)).bytes.length).toBe(2);
  expect(Buffer.compare(await read(repository.blob(blob, signal)), bytes)).toBe(0);
  expect(registry.requests.every(({ headers }) => headers.get('authorization') === header)).toBe(true);
  expect(store.requests.map(({ headers }) => headers.get('authorization'))).toEqual([null]);
  await rm(dir, { recursive: true });
});

test('a mirror that is no URL is refused', () => {
  expect(() => client({ mirrors: ['nonsense'] })).toThrow('invalid mirror "nonsense"');
});
