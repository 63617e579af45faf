import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '#oci/digest.ts';
import { type BerthRegistry, codesOf, jsonOf, startBerthRegistry, textOf } from '#test/helpers/berth-registry.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { berthCommand } from '#test/helpers/paths.ts';
import {
  bytesOf,
  makeManifest,
  octets,
  ociManifestType,
  pushBlob,
  pushImage,
  pushManifest,
  randomBytes,
} from '#test/helpers/registry-content.ts';
import { run, runOk } from '#test/helpers/run.ts';

const blobFile = (registry: BerthRegistry, digest: string): string =>
  join(registry.data, 'docker/registry/v2/blobs/sha256', digest.slice(7, 9), digest.slice(7), 'data');

describe('collection', () => {
  test('berth registry gc asks the registry that runs, and does the work itself when none does', async () => {
    await using registry = await startBerthRegistry();
    await pushImage(registry, 'a', 'latest');
    const lost = randomBytes(2_000_000);
    await pushBlob(registry, 'a', lost);
    const gc = (...args: string[]): Promise<string> => runOk([...berthCommand(), 'registry', 'gc', '--data', registry.data, ...args]);
    expect(await gc()).toContain('removed 0 manifests, 0 links and 0 blobs');
    expect(await gc('--grace', '0s', '--dry-run')).toContain('would remove 0 manifests, 1 links and 1 blobs (2.0 MB)');
    expect(existsSync(blobFile(registry, sha256(lost)))).toBe(true);
    expect(await gc('--grace', '0s')).toContain('removed 0 manifests, 1 links and 1 blobs (2.0 MB)');
    expect(existsSync(blobFile(registry, sha256(lost)))).toBe(false);
    expect((await registry.call('GET', `/v2/a/blobs/${sha256(lost)}`)).status).toBe(404);
    expect((await registry.call('GET', '/v2/a/manifests/latest')).status).toBe(200);
    const { digest } = await pushImage(registry, 'a', 'latest');
    await registry.stop();
    expect(await gc('--grace', '0s', '--untagged')).toContain('removed 1 manifests');
    await registry.start();
    expect((await registry.call('GET', '/v2/a/manifests/latest')).headers.get('docker-content-digest')).toBe(digest);
  });

  test.each(['registry.collect.repository', 'registry.collect.blob'])('killed at %s: nothing that is needed is lost', async point => {
    await using registry = await startBerthRegistry();
    const kept = await pushImage(registry, 'a', 'latest');
    const lost = [randomBytes(10), randomBytes(10)];
    for (const data of lost) await pushBlob(registry, 'a', data);
    await registry.stop();
    const gc = [...berthCommand(), 'registry', 'gc', '--data', registry.data, '--grace', '0s'];
    const killed = Bun.spawn(gc, { stdio: ['ignore', 'ignore', 'ignore'], env: { ...process.env, BERTH_FAILPOINT: point } });
    await killed.exited;
    expect(killed.signalCode).toBe('SIGKILL');
    expect((await run(gc)).exitCode).toBe(0);
    for (const data of lost) expect(existsSync(blobFile(registry, sha256(data)))).toBe(false);
    await registry.start();
    for (const data of [kept.config, ...kept.layers]) expect((await registry.call('GET', `/v2/a/blobs/${sha256(data)}`)).status).toBe(200);
  });
});

describe('hooks', () => {
  interface Event {
    readonly action: string;
    readonly target: Readonly<Record<string, unknown>>;
    readonly request: Readonly<Record<string, string>>;
    readonly actor: object;
    readonly source: Readonly<Record<string, string>>;
    readonly id: string;
  }

  test('are told in order, again and again until they listen, and not of what they do not want', async () => {
    const events: Event[] = [];
    const seen: Headers[] = [];
    let refusals = 2;
    const hook = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      async fetch(request) {
        if (refusals > 0) {
          refusals -= 1;
          return new Response('no', { status: 500 });
        }
        seen.push(request.headers);
        events.push(...((await request.json()) as { events: Event[] }).events);
        return new Response();
      },
    });
    await using registry = await startBerthRegistry({
      config: {
        notifications: {
          events: { includereferences: true },
          endpoints: [
            {
              name: 'here',
              url: `http://127.0.0.1:${String(hook.port)}/`,
              headers: { Authorization: ['Bearer x'] },
              threshold: 1,
              backoff: '100ms',
              ignore: { mediatypes: ['application/octet-stream'] },
            },
            { name: 'away', url: 'http://127.0.0.1:1/' },
          ],
        },
      },
    });
    const image = await pushImage(registry, 'a/b', 'v1');
    await registry.call('GET', '/v2/a/b/manifests/v1');
    await registry.call('HEAD', '/v2/a/b/manifests/v1');
    await registry.call('DELETE', '/v2/a/b/manifests/v1');
    await registry.call('DELETE', `/v2/a/b/manifests/${image.digest}`);
    await eventually('all have arrived', () => events.length >= 4);
    expect(events.map(({ action, target }) => [action, target.repository, target.tag, target.digest])).toEqual([
      ['push', 'a/b', 'v1', image.digest],
      ['pull', 'a/b', 'v1', image.digest],
      ['delete', 'a/b', 'v1', undefined],
      ['delete', 'a/b', undefined, image.digest],
    ]);
    const [push] = events;
    expect(push?.target).toMatchObject({
      mediaType: ociManifestType,
      size: image.bytes.length,
      length: image.bytes.length,
      url: `${registry.url}/v2/a/b/manifests/${image.digest}`,
    });
    expect(push?.target.references).toHaveLength(2);
    expect(push?.request).toMatchObject({ method: 'PUT', host: registry.address });
    expect(push?.request.addr).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(push?.source.instanceID).toMatch(/^[0-9a-f]{12}$/);
    expect(new Set(events.map(({ id }) => id)).size).toBe(4);
    expect(seen[0]?.get('content-type')).toBe('application/vnd.docker.distribution.events.v2+json');
    expect(seen[0]?.get('authorization')).toBe('Bearer x');
    expect(await registry.metrics()).toMatch(/registry_notifications_pending [1-9]/);
    await hook.stop(true);
  });
});

describe('what an operator sees', () => {
  let registry: BerthRegistry;
  beforeAll(async () => {
    registry = await startBerthRegistry({
      config: folder => ({ audit: { path: join(folder, 'audit.log') }, http: { headers: { 'X-Here': 'yes' } } }),
    });
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
  });
  const entries = (name = 'audit.log'): Record<string, unknown>[] =>
    readFileSync(join(registry.folder, name), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as Record<string, unknown>);

  test('the audit log has a line for everything that was asked', async () => {
    const image = await pushImage(registry, 'a', 'latest');
    await registry.call('GET', '/v2/a/manifests/latest', { headers: { 'User-Agent': 'tester' } });
    await registry.call('GET', '/v2/a/manifests/none');
    await eventually('the lines are there', () => entries().length >= 7);
    const [pull, miss] = entries().slice(-2);
    expect(pull).toMatchObject({
      method: 'GET',
      path: '/v2/a/manifests/latest',
      status: 200,
      action: 'pull',
      repository: 'a',
      reference: 'latest',
      digest: image.digest,
      userAgent: 'tester',
    });
    expect(miss).toMatchObject({ status: 404, error: 'MANIFEST_UNKNOWN: manifest unknown' });
    expect(entries().some(({ action, bytes }) => action === 'push' && bytes === 1000)).toBe(true);
  });

  test('it is opened anew after it was moved away', async () => {
    await rename(join(registry.folder, 'audit.log'), join(registry.folder, 'audit.1'));
    registry.signal('SIGHUP');
    await eventually('there is a new one', () => existsSync(join(registry.folder, 'audit.log')));
    await registry.call('GET', '/v2/');
    await eventually('it is written', () => entries().length === 1);
  });

  test('metrics and health', async () => {
    await registry.call('GET', '/v2/a/manifests/latest');
    const metrics = await registry.metrics();
    expect(metrics).toMatch(/registry_http_requests_total\{handler="manifest",method="GET",code="200"\} \d+/);
    expect(metrics).toMatch(/registry_http_request_duration_seconds_bucket\{handler="manifest",method="GET",le="\+Inf"\} \d+/);
    expect(metrics).toMatch(/registry_http_pushed_bytes_total \d{4,}/);
    for (const url of [`${registry.url}/debug/health`, `http://127.0.0.1:${String(registry.debugPort)}/debug/health`]) {
      const answer = await registry.call('GET', url);
      expect([answer.status, jsonOf(answer)]).toEqual([200, {}]);
    }
    expect((await registry.call('GET', '/v2/')).headers.get('x-here')).toBe('yes');
    expect((await registry.call('GET', `${registry.url}/metrics`)).status).toBe(404);
  });

  test('search, by name, with what the image says of itself', async () => {
    const config = bytesOf('{}');
    await pushBlob(registry, 'tools/sieve', config);
    const described = makeManifest({
      config,
      layers: [],
      extra: { annotations: { 'org.opencontainers.image.description': 'Finds things' } },
    });
    await pushManifest(registry, 'tools/sieve', 'latest', described);
    await pushImage(registry, 'sieve', '1');
    expect(textOf(await registry.call('GET', '/v1/_ping'))).toBe('true');
    const found = jsonOf(await registry.call('GET', '/v1/search?q=sieve&n=5')) as {
      results: { name: string; description: string }[];
      num_results: number;
      query: string;
    };
    expect([found.num_results, found.query]).toEqual([2, 'sieve']);
    expect(found.results.map(({ name, description }) => [name, description])).toEqual([
      ['sieve', ''],
      ['tools/sieve', 'Finds things'],
    ]);
    await registry.call('DELETE', `/v2/tools/sieve/manifests/${described.digest}`);
    expect((jsonOf(await registry.call('GET', '/v1/search?q=tools')) as { num_results: number }).num_results).toBe(0);
  });
});

describe('behind a proxy', () => {
  test('locations begin with the address that clients use', async () => {
    await using registry = await startBerthRegistry({ args: ['--external-url', 'https://registry.example.com'] });
    const begun = await registry.call('POST', '/v2/a/blobs/uploads/');
    expect(begun.headers.get('location')).toStartWith('https://registry.example.com/v2/a/blobs/uploads/');
  });
});

describe('garbage', () => {
  test.each([
    ['a path that is not encoded', 'GET /v2/%zz/tags/list HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a path beyond all bounds', `GET /v2/${'a/'.repeat(20_000)}tags/list HTTP/1.1\r\nHost: x\r\n\r\n`],
    ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['a length that is none', 'PUT /v2/a/manifests/b HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n'],
    ['two lengths', 'PUT /v2/a/manifests/b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello'],
    ['another host', 'GET http://elsewhere/v2/ HTTP/1.1\r\nHost: x\r\n\r\n'],
  ])('%s does no harm', async (_what, bytes) => {
    await using registry = await startBerthRegistry();
    const answered = Promise.withResolvers<string>();
    let text = '';
    const socket = await Bun.connect({
      hostname: '127.0.0.1',
      port: registry.port,
      socket: {
        data: (_socket, chunk) => {
          text += chunk.toString('latin1');
          answered.resolve(text);
        },
        close: () => answered.resolve(text),
        error: () => answered.resolve(text),
      },
    });
    socket.write(bytes);
    socket.end();
    expect(await answered.promise).toMatch(/^$|^HTTP\/1\.1 (200|400|404|413|414|431)/);
    expect((await registry.call('GET', '/v2/')).status).toBe(200);
  });
});

describe('limits', () => {
  test('quotas: what does not fit is DENIED and said why, what was there before a restart counts', async () => {
    await using registry = await startBerthRegistry({
      config: { quota: { total: '1MiB', repositories: [{ repositories: ['small/**'], limit: '100kB' }] }, gc: { interval: 0 } },
    });
    await pushBlob(registry, 'small/a', randomBytes(60_000));
    const second = randomBytes(60_000);
    const put = async (name: string, data: Uint8Array): Promise<unknown[]> => {
      const location = (await registry.call('POST', `/v2/${name}/blobs/uploads/`)).headers.get('location') ?? '';
      const answer = await registry.call('PUT', `${location}?digest=${sha256(data)}`, { body: data, headers: octets });
      return [answer.status, ...(answer.status < 400 ? [] : codesOf(answer)), answer.status < 400 ? '' : textOf(answer)];
    };
    expect(await put('small/a', second)).toEqual([
      403,
      'DENIED',
      expect.stringContaining('the quota of repository small/a is used up: 60 kB of 102 kB are in use'),
    ]);
    expect((await put('small/b', second))[0]).toBe(201);
    expect((await put('large', randomBytes(800_000)))[0]).toBe(201);
    await registry.stop();
    await registry.start();
    expect(await put('large', randomBytes(300_000))).toEqual([403, 'DENIED', expect.stringContaining("the registry's quota is used up")]);
    // Said before it is sent.
    const location = (await registry.call('POST', '/v2/small/c/blobs/uploads/')).headers.get('location') ?? '';
    expect((await registry.call('PATCH', location, { body: randomBytes(200_000), headers: octets })).status).toBe(403);
    expect(await registry.metrics()).toMatch(/registry_stored_bytes 9\d{5}\n/);
  });

  test('read-only, and without deleting', async () => {
    await using folder = await tempFolder();
    const data = join(folder.path, 'data');
    const first = await startBerthRegistry({ data });
    const { digest } = await pushImage(first, 'a', 'latest');
    await first.stop();
    await using frozen = await startBerthRegistry({ data, args: ['--read-only'] });
    expect((await frozen.call('GET', '/v2/a/manifests/latest')).status).toBe(200);
    for (const [method, path] of [
      ['POST', '/v2/a/blobs/uploads/'],
      ['PUT', '/v2/a/manifests/x'],
      ['DELETE', `/v2/a/manifests/${digest}`],
    ] as const) {
      const answer = await frozen.call(method, path);
      expect([method, answer.status, codesOf(answer)]).toEqual([method, 405, ['UNSUPPORTED']]);
    }
    await frozen.stop();
    await using kept = await startBerthRegistry({ data, config: { storage: { delete: { enabled: false } } } });
    expect((await kept.call('DELETE', '/v2/a/manifests/latest')).status).toBe(405);
    await pushImage(kept, 'a', 'more');
    await first[Symbol.asyncDispose]();
  });
});

describe('its end', () => {
  test('SIGTERM lets a request in progress end, and takes no new ones', async () => {
    await using registry = await startBerthRegistry();
    const data = randomBytes(400_000);
    const location = (await registry.call('POST', '/v2/a/blobs/uploads/')).headers.get('location') ?? '';
    const half = Promise.withResolvers<void>();
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(data.slice(0, 200_000));
        await half.promise;
        controller.enqueue(data.slice(200_000));
        controller.close();
      },
    });
    const answer = registry.call('PUT', `${location}?digest=${sha256(data)}`, { body, headers: octets });
    await eventually('it is on its way', async () => (await registry.call('GET', location)).headers.get('range') !== '0-0');
    registry.signal('SIGTERM');
    await eventually(
      'nobody else is let in',
      async () =>
        await registry.call('GET', '/v2/').then(
          () => false,
          () => true,
        ),
    );
    half.resolve();
    expect((await answer).status).toBe(201);
    expect(await registry.exited()).toBe(0);
    await registry.start();
    expect((await registry.call('GET', `/v2/a/blobs/${sha256(data)}`)).status).toBe(200);
  });
});

const { describe: withOpenssl } = needs('openssl');
withOpenssl('TLS', () => {
  const make = async (folder: string, name: string, ...args: string[]): Promise<void> => {
    const files = ['-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.crt`)];
    await runOk([
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      ...files,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-addext',
      'subjectAltName=IP:127.0.0.1',
      ...args,
    ]);
  };
  const subject = async (registry: BerthRegistry): Promise<string> =>
    await runOk(['sh', '-c', `echo | openssl s_client -connect ${registry.address} 2>/dev/null | openssl x509 -noout -subject`]);

  test('new certificates are taken on SIGHUP, connections go on', async () => {
    await using folder = await tempFolder();
    await make(folder.path, 'first');
    await make(folder.path, 'second');
    const [cert, key] = [join(folder.path, 'tls.crt'), join(folder.path, 'tls.key')];
    const use = async (name: string): Promise<void> => {
      await copyFile(join(folder.path, `${name}.crt`), cert);
      await copyFile(join(folder.path, `${name}.key`), key);
    };
    await use('first');
    await using registry = await startBerthRegistry({ tls: true, args: ['--tls-cert', cert, '--tls-key', key] });
    expect(await subject(registry)).toContain('first');
    await pushImage(registry, 'a', 'latest');
    await use('second');
    registry.signal('SIGHUP');
    await eventually('the new one is shown', async () => (await subject(registry)).includes('second'));
    expect((await registry.call('GET', '/v2/a/manifests/latest')).status).toBe(200);
    await Bun.write(cert, 'nonsense');
    registry.signal('SIGHUP');
    await eventually('it says so', async () => (await registry.log()).includes('not read again'));
    expect((await registry.call('GET', '/v2/a/manifests/latest')).status).toBe(200);
    expect(await registry.stop()).toBe(0);
  });

  test('clients have to show a certificate where that is wanted', async () => {
    await using folder = await tempFolder();
    await make(folder.path, 'server');
    await make(folder.path, 'client');
    const file = (name: string): string => join(folder.path, name);
    await using registry = await startBerthRegistry({
      tls: true,
      args: ['--tls-cert', file('server.crt'), '--tls-key', file('server.key'), '--tls-client-ca', file('client.crt')],
    });
    const curl = (...args: string[]) => run(['curl', '-sk', '-o', '/dev/null', '-w', '%{http_code}', ...args, `${registry.url}/v2/`]);
    expect((await curl()).stdout).toBe('000');
    expect((await curl('--cert', file('client.crt'), '--key', file('client.key'))).stdout).toBe('200');
  });
});

describe('the command line', () => {
  test.each([
    [['serve', '--nope'], 125, 'unknown flag: --nope'],
    [['serve', '/no/such/config.yml'], 1, 'cannot be read'],
    [['serve', 'a', 'b'], 125, 'takes one argument at most'],
    [['serve', '--addr', 'x'], 1, 'http.addr is "x"'],
    [['serve', '--htpasswd', '/no/such/file'], 1, 'the password file /no/such/file cannot be read'],
    [['nonsense'], 1, 'unknown command: berth registry nonsense'],
  ])('%p', async (args, exitCode, message) => {
    await using folder = await tempFolder();
    const env = { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path };
    const result = await run([...berthCommand(), 'registry', ...args], { env });
    expect([result.exitCode, result.stderr]).toEqual([exitCode, expect.stringContaining(message) as unknown as string]);
  });

  test('a port that somebody has, with and without TLS', async () => {
    await using registry = await startBerthRegistry();
    await using folder = await tempFolder();
    const result = await run([...berthCommand(), 'registry', 'serve', '--data', folder.path, '--addr', registry.address]);
    expect([result.exitCode, result.stderr]).toEqual([
      1,
      expect.stringContaining(`cannot listen on ${registry.address}`) as unknown as string,
    ]);
  });

  test('help, and a check of the configuration', async () => {
    expect(await runOk([...berthCommand(), 'registry', 'serve', '--help'])).toContain('--htpasswd string');
    expect(await runOk([...berthCommand(), 'registry', 'gc', '--help'])).toContain('--dry-run');
    expect(await runOk([...berthCommand(), 'registry', '--help'])).toContain('Run a registry');
    expect(await runOk([...berthCommand(), 'registry', 'serve', '--validate'])).toBe('configuration OK\n');
  });
});
