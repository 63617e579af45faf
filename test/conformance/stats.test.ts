import { afterAll, beforeAll, expect } from 'bun:test';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { type Dockerd, startDockerd } from '#test/helpers/dockerd.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'dockerd');

describe('GET /containers/{id}/stats', () => {
  let ours: TestDaemon;
  let docker: Dockerd;
  beforeAll(async () => {
    // dockerd and its namespaces come and go beside it.
    [ours, docker] = await Promise.all([startDaemon({ comparesMachine: false }), startDockerd()]);
    const containers = [
      ['run', '-d', '--name', 'plain', 'busybox', 'sleep', '1000'],
      ['run', '-d', '--name', 'bounded', '-m', '64m', '--pids-limit', '20', '--cpus', '0.5', 'busybox', 'sleep', '1000'],
      ['run', '-d', '--name', 'lonely', '--network', 'none', 'busybox', 'sleep', '1000'],
      ['run', '-d', '--name', 'sharing', '--network', 'container:plain', 'busybox', 'sleep', '1000'],
      ['run', '-d', '--name', 'on-host', '--network', 'host', 'busybox', 'sleep', '1000'],
      ['create', '--name', 'stopped', 'busybox', 'true'],
    ];
    for (const args of containers)
      for (const daemon of [ours, docker]) expect(await daemon.docker(args)).toMatchObject({ exitCode: 0, stderr: '' });
  }, 90_000);
  afterAll(async () => {
    await Promise.all([ours?.[Symbol.asyncDispose](), docker?.[Symbol.asyncDispose]()]);
  }, 90_000);

  const queries = ['stream=0', 'stream=0&one-shot=1'];
  const names = ['plain', 'bounded', 'lonely', 'sharing', 'on-host', 'stopped'];
  test.each(names.flatMap(name => queries.map(query => [name, query])))('%s?%s', async (name, query) => {
    const path = `/v1.41/containers/${name}/stats?${query}`;
    const [own, theirs] = await Promise.all([ours.api.get(path), docker.api.get(path)]);
    expect(own.status).toBe(theirs.status);
    expect(own.headers.get('content-type')).toBe(theirs.headers.get('content-type'));
    expect(outline(own.json)).toEqual(outline(theirs.json));
  });

  test('a stream', async () => {
    const [own, theirs] = await Promise.all([ours, docker].map(daemon => firstReports(daemon.api, 'plain', 2)));
    expect(own?.map(each => outline(each))).toEqual(theirs?.map(each => outline(each)));
  });

  test('what is refused is refused in the same words', async () => {
    for (const path of ['/containers/nosuch/stats', '/containers/plain/stats?stream=1&one-shot=1']) {
      const [own, theirs] = await Promise.all([ours.api.get(`/v1.41${path}`), docker.api.get(`/v1.41${path}`)]);
      expect([own.status, own.json]).toEqual([theirs.status, theirs.json]);
    }
  });
});

async function firstReports(api: TestDaemon['api'], name: string, count: number): Promise<unknown[]> {
  const leaving = new AbortController();
  const response = await api.open('GET', `/v1.41/containers/${name}/stats`, { signal: leaving.signal });
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.split('\n').length > count) break;
  }
  leaving.abort();
  return text
    .split('\n')
    .slice(0, count)
    .map(line => JSON.parse(line) as unknown);
}

/** What an answer consists of, and those of its values that are the same everywhere. */
function outline(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [outline(value[0])];
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, outline(each, name)]));
  if (key === 'limit' || key === 'name' || key === 'online_cpus' || key.startsWith('hierarchical_')) return value;
  if (key === 'read' || key === 'preread') return value === '0001-01-01T00:00:00Z' ? value : 'a moment';
  return typeof value;
}
