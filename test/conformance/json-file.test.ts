import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect } from 'bun:test';
import { gunzipSync } from 'node:zlib';
import { type ContainerBody, sh } from '#test/helpers/containers.ts';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { type Dockerd, startDockerd } from '#test/helpers/dockerd.ts';
import { eventually } from '#test/helpers/eventually.ts';
import type { ApiClient } from '#test/helpers/http.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'dockerd');

const options = (config: Readonly<Record<string, string>>, more: ContainerBody = {}): Omit<ContainerBody, 'Cmd'> => ({
  ...more,
  HostConfig: { LogConfig: { Type: 'json-file', Config: config }, NetworkMode: 'none' },
});

/** Programs that write to one stream at a time: what comes first of two streams is chance. */
const cases: Readonly<Record<string, ContainerBody>> = {
  lines: sh('echo one; echo; echo "  three  "; printf "four\\n\\nsix\\n"', options({})),
  'standard error': sh('echo problem >&2', options({})),
  'no end': sh('printf "a\\nno end"', options({})),
  'an end that comes late': sh('printf "first "; sleep 0.2; printf "second "; sleep 0.2; echo third', options({})),
  'markup and quotes': sh(`printf '<a href="x">&amp;\\\\ %%s\\n'`, options({})),
  'control characters': sh(`printf 'tab\\there\\rback\\bbell\\aesc\\033[1m\\f\\v\\177\\n\\001\\002\\n'`, options({})),
  'text of other languages': sh(
    `printf 'h\\303\\251llo \\342\\202\\254 \\360\\237\\220\\263 \\342\\200\\250 \\342\\200\\251\\n'`,
    options({}),
  ),
  'bytes that are no text': sh(`printf '\\377\\376 \\303( \\342\\202 \\355\\240\\200 \\360\\237 end\\n'`, options({})),
  'null bytes': sh(`printf 'a\\000b\\n'`, options({})),
  'a line of 16 KiB': sh(`head -c 16384 /dev/zero | tr '\\0' x; echo`, options({})),
  'a line of 16 KiB and a byte': sh(`head -c 16385 /dev/zero | tr '\\0' x; echo`, options({})),
  'a line of 16 KiB without an end': sh(`head -c 16384 /dev/zero | tr '\\0' x`, options({})),
  'a very long line, and one after it': sh(`head -c 50000 /dev/zero | tr '\\0' x; echo; echo after`, options({})),
  'a terminal': sh('echo one; echo two >&2; printf three', options({}, { Tty: true })),
  attributes: sh(
    'echo x',
    options(
      { labels: 'b,a,none', env: 'COLOR', tag: '{{.ImageName}} <{{.DaemonName}}>' },
      { Labels: { a: '1', b: '"2"', c: '3' }, Env: ['COLOR=é', 'SHAPE=x'] },
    ),
  ),
  'attributes by patterns': sh(
    'echo x',
    options({ 'labels-regex': '^(a|c)', 'env-regex': 'A$' }, { Labels: { a: '1', b: '2', c: '3' }, Env: ['AA=1', 'AB=2'] }),
  ),
};

describe('json-file beside dockerd', () => {
  let daemon: TestDaemon;
  let dockerd: Dockerd;

  beforeAll(async () => {
    daemon = await startDaemon({ comparesMachine: false });
    dockerd = await startDockerd();
  }, 120_000);
  afterAll(async () => {
    await daemon?.[Symbol.asyncDispose]();
    await dockerd?.[Symbol.asyncDispose]();
  }, 120_000);

  const both = async <T>(look: (api: ApiClient, dataRoot: string) => Promise<T>): Promise<[T, T]> => [
    await look(daemon.api, daemon.dataRoot),
    await look(dockerd.api, `${dockerd.folder}/data`),
  ];

  test.each(Object.entries(cases))('the same bytes, times aside: %s', async (_name, body) => {
    const [ours, theirs] = await both(async (api, dataRoot) => {
      const id = await runToEnd(api, body);
      const { LogPath } = await api.expect<{ LogPath: string }>('GET', `/containers/${id}/json`);
      expect(LogPath).toBe(`${dataRoot}/containers/${id}/${id}-json.log`);
      const text = readFileSync(LogPath, 'latin1');
      await api.expect('DELETE', `/containers/${id}`);
      return text.replace(/"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z"/g, '"time":"…"');
    });
    expect(ours).toBe(theirs);
    expect(ours).toContain('"time":"…"');
  });

  test('the same files after many lines, with the same lines in them but for those at their ends', async () => {
    const body = sh(
      'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "line $i"; done',
      options({ 'max-size': '50k', 'max-file': '3', compress: 'true' }),
    );
    const [ours, theirs] = await both(async (api, dataRoot) => {
      const id = await runToEnd(api, body);
      const folder = `${dataRoot}/containers/${id}`;
      const names = await eventually('full files are compressed', () => {
        const found = readdirSync(folder).filter(name => name.includes('-json.log'));
        return found.filter(name => name.endsWith('.gz')).length === 2 && found.length === 3 ? found.toSorted() : undefined;
      });
      const files = names.map(name => {
        const bytes = readFileSync(`${folder}/${name}`);
        return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
      });
      await api.expect('DELETE', `/containers/${id}`);
      const lines = files
        .toReversed()
        .join('')
        .split('\n')
        .slice(0, -1)
        .map(line => (JSON.parse(line) as { log: string }).log);
      return { names: names.map(name => name.replace(id, '<id>')), sizes: files.map(({ length }) => length), lines };
    });
    expect(ours.names).toEqual(theirs.names);
    for (const { sizes, lines } of [ours, theirs]) {
      for (const size of sizes.slice(1)) {
        expect(size).toBeGreaterThanOrEqual(50_000);
        expect(size).toBeLessThan(50_100);
      }
      expect(lines.at(-1)).toBe('line 3000\n');
      const first = Number(lines[0]?.split(' ')[1]);
      expect(lines).toEqual(Array.from({ length: 3000 - first + 1 }, (_, at) => `line ${String(first + at)}\n`));
    }
  });

  test('refusals of options', async () => {
    const refused: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
      ['json-file', { nope: '1' }],
      ['local', { nope: '1' }],
      ['syslog', { nope: '1' }],
      ['syslog', { 'syslog-address': 'unix:///no/such/socket' }],
      ['syslog', { 'syslog-facility': 'x' }],
      ['syslog', { 'syslog-format': 'x' }],
      ['fluentd', { nope: '1' }],
      ['fluentd', { 'fluentd-async': 'x' }],
      ['gelf', {}],
      ['gelf', { 'gelf-address': 'udp://x:1', nope: '1' }],
      ['gelf', { 'gelf-address': 'udp://x:1', 'gelf-compression-type': 'x' }],
      ['gelf', { 'gelf-address': 'tcp://x:1', 'gelf-compression-level': '1' }],
      ['journald', { nope: '1' }],
      ['json-file', { mode: 'x' }],
      ['json-file', { 'max-buffer-size': '1m' }],
    ];
    const [ours, theirs] = await both(async api => {
      const answers: unknown[] = [];
      for (const [Type, Config] of refused) {
        const body = { Image: 'busybox', HostConfig: { LogConfig: { Type, Config } } };
        const { status, json } = await api.post<{ message: string }>('/containers/create', body);
        answers.push({ Type, Config, status, message: json.message });
      }
      return answers;
    });
    expect(ours).toEqual(theirs);
  });
});

async function runToEnd(api: ApiClient, body: ContainerBody): Promise<string> {
  const { Id } = await api.expect<{ Id: string }>('POST', '/containers/create', { body: { Image: 'busybox', ...body }, status: 201 });
  await api.expect('POST', `/containers/${Id}/start`, { status: 204 });
  await api.expect('POST', `/containers/${Id}/wait`);
  return Id;
}
