import { expect } from 'bun:test';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { openFds } from '#test/helpers/machine.ts';
import { outputOf, runToEnd, sh } from '#test/helpers/containers.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

describe('the daemon itself', () => {
  const daemon = sharedDaemon();

  test('ping: unversioned and versioned, GET and HEAD, with the headers clients negotiate by', async () => {
    for (const path of ['/_ping', '/v1.24/_ping']) {
      const answer = await daemon().api.call('GET', path);
      expect(answer.status).toBe(200);
      expect(answer.text).toBe('OK');
      expect(answer.headers.get('api-version')).toMatch(/^1\.\d+$/);
      expect(answer.headers.get('ostype')).toBe('linux');
      expect(answer.headers.get('docker-experimental')).toBe('false');
      expect(answer.headers.get('cache-control')).toContain('no-cache');
    }
    const head = await daemon().api.call('HEAD', '/_ping');
    expect(head.status).toBe(200);
    expect(head.headers.get('builder-version')).toMatch(/^[12]$/);
    expect(head.headers.get('swarm')).toBe('inactive');
  });

  test('version and info', async () => {
    const version = await daemon().api.expect<Record<string, unknown>>('GET', '/version');
    expect(version).toMatchObject({ Os: 'linux', Arch: process.arch === 'arm64' ? 'arm64' : 'amd64' });
    expect(version.ApiVersion).toMatch(/^1\.\d+$/);
    expect(version.Components).toBeArray();
    const info = await daemon().api.expect<Record<string, unknown>>('GET', '/info');
    expect(info).toMatchObject({ OSType: 'linux', Driver: 'overlay2', NCPU: expect.any(Number), Containers: 0, Images: 1 });
    expect(info.MemTotal).toBeGreaterThan(1_000_000);
    expect(info.CgroupVersion).toMatch(/^[12]$/);
    expect(info.Runtimes).toBeObject();
  });

  test('versions out of range are refused with the words that clients look for', async () => {
    const tooNew = await daemon().api.get<{ message: string }>('/v1.99/info');
    expect(tooNew.status).toBe(400);
    expect(tooNew.json.message).toMatch(/^client version 1\.99 is too new\. Maximum supported API version is 1\.\d+$/);
    const tooOld = await daemon().api.get('/v1.10/info');
    expect(tooOld.status).toBe(400);
    expect(tooOld.text).toContain('client version 1.10 is too old. Minimum supported API version is 1.');
  });

  test('unknown paths and wrong methods are 404 page not found', async () => {
    for (const [method, path] of [
      ['GET', '/nonsense'],
      ['DELETE', '/info'],
      ['POST', '/containers/json'],
    ] as const) {
      const answer = await daemon().api.call<{ message: string }>(method, path);
      expect(answer.status).toBe(404);
      expect(answer.json.message).toBe('page not found');
      expect(answer.headers.get('content-type')).toBe('application/json');
    }
  });

  test('a route that does not exist yet says so', async () => {
    if (process.env.BERTH_TEST_HOST !== undefined) return;
    const answer = await daemon().api.post<{ message: string }>('/swarm/init', {});
    expect(answer.status).toBe(501);
    expect(answer.json.message.length).toBeGreaterThan(20);
  });

  test('malformed bodies are refused', async () => {
    const send = (body: string, type = 'application/json') =>
      daemon().api.call<{ message: string }>('POST', '/containers/create', { raw: body, headers: { 'Content-Type': type } });
    for (const body of ['{broken', '[]', '"text"', '{"Image":"busybox"} trailing']) expect((await send(body)).status).toBe(400);
    const wrongType = await send('{"Image":"busybox"}', 'text/plain');
    expect(wrongType.status).toBeOneOf([400, 415]);
    expect(wrongType.json.message).toContain('text/plain');
    const wrongField = await send('{"Image":7}');
    expect(wrongField.status).toBe(400);
    expect((await send('')).status).toBe(400);
  });

  test('running containers costs the daemon no descriptors', async () => {
    if (process.env.BERTH_TEST_HOST !== undefined) return;
    for (let i = 0; i < 3; i += 1) await runToEnd(daemon(), sh('echo warm'));
    const before = openFds(daemon().pid).length;
    for (let i = 0; i < 8; i += 1) await outputOf(daemon(), 'echo again');
    expect(openFds(daemon().pid).length).toBeLessThanOrEqual(before + 2);
  });

  test('SIGHUP reloads, SIGTERM ends with 0', async () => {
    if (process.env.BERTH_TEST_HOST !== undefined) return;
    process.kill(daemon().pid, 'SIGHUP');
    expect((await daemon().api.get('/_ping')).status).toBe(200);
    expect(await daemon().stop()).toBe(0);
    await daemon().start();
    expect((await daemon().api.get('/_ping')).status).toBe(200);
  });
});
