import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { startDaemon, tempFolder, type TestDaemon } from '#test/helpers/daemon.ts';
import { dockerCommand } from '#test/helpers/docker-cli.ts';
import { type BerthRegistry, startBerthRegistry } from '#test/helpers/berth-registry.ts';
import { type Dockerd, startDockerd } from '#test/helpers/dockerd.ts';
import { ApiClient } from '#test/helpers/http.ts';
import { needs } from '#test/helpers/needs.ts';
import { projectRoot } from '#test/helpers/paths.ts';
import { run } from '#test/helpers/run.ts';
import { changedSince, type Difference, differences } from './differences.ts';
import { imageStories } from './image-stories.ts';
import { type Request, requests } from './requests.ts';
import { steadyLines, steadyValue } from './steady.ts';
import { stories as others } from './stories.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'dockerd');
const stories: Readonly<Record<string, readonly string[]>> = { ...others, ...imageStories };
/** What both speak. */
const apiVersion = '1.41';

/** One of the two daemons and what was made with it. */
interface Side {
  readonly host: string;
  readonly api: ApiClient;
  /** The address of a registry of its own. */
  readonly registry: string;
}

describe('the stock command line, and raw requests, before dockerd and before Berth', () => {
  let dockerd: Dockerd;
  let daemon: TestDaemon;
  let registries: readonly BerthRegistry[] = [];
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  let theirs: Side;
  let ours: Side;

  beforeAll(async () => {
    [dockerd, daemon] = await Promise.all([startDockerd(), startDaemon({ comparesMachine: false })]);
    folder = await tempFolder();
    registries = [await startBerthRegistry({ beside: dockerd.pid }), await startBerthRegistry()];
    const side = ({ host, socketPath }: Dockerd | TestDaemon, { address }: BerthRegistry): Side => ({
      ...{ host, api: new ApiClient(socketPath, `v${apiVersion}`), registry: address },
    });
    [theirs, ours] = [side(dockerd, registries[0] as BerthRegistry), side(daemon, registries[1] as BerthRegistry)];
  }, 120_000);
  afterAll(async () => {
    await folder?.[Symbol.asyncDispose]();
    for (const registry of registries) await registry[Symbol.asyncDispose]();
    await daemon?.[Symbol.asyncDispose]();
    await dockerd?.[Symbol.asyncDispose]();
  }, 120_000);

  test.each(Object.keys(stories).map(name => [name] as const))(
    'story: %s',
    async name => {
      const index = Object.keys(stories).indexOf(name);
      const [told, own] = [await tell(theirs, name, index, folder.path), await tell(ours, name, index, folder.path)];
      expect(unintended(told, own)).toEqual([]);
    },
    120_000,
  );

  test('requests', async () => {
    const [told, own] = [await askAll(theirs), await askAll(ours)];
    expect(unintended(told, own)).toEqual([]);
  }, 120_000);
});

const all: readonly Difference[] = [...Object.values(differences).flat(), ...changedSince];
const seen = new Set<Difference>();

test('every difference that Berth means is in docs/compatibility.md', () => {
  const page = readFileSync(join(projectRoot, 'docs/compatibility.md'), 'utf8');
  const rows = page.split('\n').map(line => (line.split(' | ')[0] ?? '').replace(/^\| /, ''));
  for (const row of Object.keys(differences)) expect(rows).toContain(row);
});

test('no difference is listed that is none', () => {
  expect(
    all
      .filter(difference => seen.size > 0 && difference.byChance !== true && !seen.has(difference))
      .map(({ where, theirs, ours }) => [where, theirs, ours].map(String)),
  ).toEqual([]);
});

/** Line by line, by what was asked: what one has and the other has not, but for what is meant. */
function unintended(told: ReadonlyMap<string, readonly string[]>, own: ReadonlyMap<string, readonly string[]>): string[] {
  return [...told].flatMap(([asked, lines]) => {
    const ownLines = own.get(asked) ?? [];
    const missing = without(lines, ownLines).filter(line => !isMeant(asked, line, 'theirs'));
    const added = without(ownLines, lines).filter(line => !isMeant(asked, line, 'ours'));
    // The same lines in another order are a difference as well.
    const moved =
      missing.length === 0 && added.length === 0 && !isInOrder(asked, lines, ownLines)
        ? [`${asked}\n  Docker: ${lines.join(' / ')}\n  Berth:  ${ownLines.join(' / ')}`]
        : [];
    return [...missing.map(line => `${asked}\n  Docker: ${line}`), ...added.map(line => `${asked}\n  Berth:  ${line}`), ...moved];
  });
}

function isMeant(asked: string, line: string, side: 'theirs' | 'ours'): boolean {
  const meant = all.find(difference => difference[side]?.test(line) === true && (difference.where?.test(asked) ?? true));
  if (meant !== undefined) seen.add(meant);
  return meant !== undefined;
}

function without(lines: readonly string[], others: readonly string[]): string[] {
  const left = [...others];
  return lines.filter(line => {
    const at = left.indexOf(line);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

function isInOrder(asked: string, lines: readonly string[], ownLines: readonly string[]): boolean {
  if (without(lines, without(lines, ownLines)).join('\n') === without(ownLines, without(ownLines, lines)).join('\n')) return true;
  const meant = all.find(({ where, theirs, ours }) => theirs === undefined && ours === undefined && where?.test(asked) === true);
  if (meant !== undefined) seen.add(meant);
  return meant !== undefined;
}

/** Runs a story; returns the lines of what each command line printed, its exit code, and the events of all. */
async function tell(side: Side, story: string, index: number, folder: string): Promise<Map<string, string[]>> {
  const name = `story${String(index)}`;
  const place = join(folder, `${name}-${side.host.includes('berth-d-') ? 'a' : 'b'}`);
  await Bun.$`mkdir -p ${place}`.quiet();
  writeFileSync(join(place, 'env'), 'FROM_FILE=yes\n');
  const env = { DOCKER_HOST: side.host, DOCKER_CONFIG: place, DOCKER_API_VERSION: apiVersion };
  const since = Date.now();
  const told = new Map<string, string[]>();
  for (const [step, line] of (stories[story] ?? []).entries()) {
    const [text = '', input] = line.split(' <');
    const docker = dockerCommand().join(' ');
    const filled = text.replaceAll('%n', name).replaceAll('%f', place).replaceAll('%g', side.registry).replaceAll('%d', docker);
    const command = filled.startsWith('!') ? filled.slice(1) : `${docker} ${filled}`;
    const { exitCode, stdout, stderr } = await run(['sh', '-c', command], { env, ...(input === undefined ? {} : { stdin: `${input}\n` }) });
    const isTable = line.startsWith('top');
    const steady = (output: string): string[] =>
      steadyLines(output.replaceAll(place, '%f').replaceAll(side.registry, '%g')).map(each => (isTable ? withoutPids(each) : each));
    told.set(`${String(step)} ${line}`, [`exit ${String(exitCode)}`, ...steady(stdout), ...steady(stderr).map(each => `stderr: ${each}`)]);
  }
  const query = `since=${String(since / 1000)}&until=${String(Date.now() / 1000)}&filters=${encodeURIComponent(JSON.stringify({ type: [story in imageStories ? 'image' : 'container'] }))}`;
  const events = (await side.api.get(`/events?${query}`)).text.trim().split('\n').filter(Boolean);
  told.set(
    `events of ${story}`,
    events
      .map(line => JSON.parse(line.replaceAll(side.registry, '%g')) as { Action: string; Actor: { Attributes: Record<string, string> } })
      .map(formatEvent),
  );
  return told;
}

function formatEvent({ Action, Actor: { Attributes } }: { Action: string; Actor: { Attributes: Record<string, string> } }): string {
  const attributes = Object.entries(Attributes)
    .filter(([key]) => !['execDuration'].includes(key))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return steadyLines(`${Action} ${attributes.map(([key, value]) => `${key}=${value}`).join(' ')}`)[0] ?? '';
}

const withoutPids = (line: string): string => line.replaceAll(/\b\d+\b(?!\])/g, '<number>');

/** Where things are on the host is each daemon's own affair. */
const isComparable = (line: string): boolean => !/\.(?:GraphDriver\.Data\..*|LogPath|SandboxKey|SandboxID|Source): /.test(line);

/** Prepares three containers and an exec, and asks everything. */
async function askAll({ api }: Side): Promise<Map<string, string[]>> {
  const create = async (name: string, body: object): Promise<string> =>
    (await api.expect<{ Id: string }>('POST', `/containers/create?name=${name}`, { body: { Image: 'busybox', ...body } })).Id;
  const running = {
    Cmd: ['sh', '-c', 'mkdir /made; echo x > /made/file; rm /bin/vi; echo ready; exec sleep 1000'],
    Env: ['A=b'],
    Labels: { a: 'b' },
    ExposedPorts: { '80/tcp': {} },
    Volumes: { '/volume': {} },
    HostConfig: { Memory: 64 * 1024 * 1024, CapAdd: ['NET_ADMIN'], RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 } },
  };
  await create('asked-running', running);
  await create('asked-stopped', { Cmd: ['sh', '-c', 'mkdir /made; echo x > /made/file; echo out; echo err >&2; exit 3'] });
  await create('asked-created', { Cmd: ['true'], Tty: true, OpenStdin: true });
  for (const name of ['asked-running', 'asked-stopped']) await api.expect('POST', `/containers/${name}/start`);
  await api.expect('POST', '/containers/asked-stopped/wait');
  const { Id: exec } = await api.expect<{ Id: string }>('POST', '/containers/asked-running/exec', {
    body: { Cmd: ['sh', '-c', 'until [ -e /made/file ]; do sleep 0.02; done; exit 4'], AttachStdout: true },
  });
  using connection = await api.hijack(`/exec/${exec}/start`, {});
  await connection.closed;
  const names: Readonly<Record<string, string>> = { r: 'asked-running', s: 'asked-stopped', c: 'asked-created', e: exec };
  const answers = new Map<string, string[]>();
  for (const request of requests) answers.set(`${request.method} ${request.path}`, await ask(api, request, names));
  for (const name of ['asked-running', 'asked-stopped', 'asked-created']) await api.expect('DELETE', `/containers/${name}?force=1&v=1`);
  return answers;
}

async function ask(api: ApiClient, { method, path, body }: Request, names: Readonly<Record<string, string>>): Promise<string[]> {
  const filled = path.replace(/%([rsce])\b/g, (_all, key: string) => names[key] ?? '');
  const answer = await api.call(method, encodeURI(filled), body === undefined ? {} : { body });
  const type = answer.headers.get('content-type');
  const stat = answer.headers.get('x-docker-container-path-stat');
  return [
    `status ${String(answer.status)}`,
    ...(type === null ? [] : [`type ${type}`]),
    ...(stat === null ? [] : steadyValue(JSON.parse(Buffer.from(stat, 'base64').toString()), 'stat')),
    ...(answer.json === undefined
      ? []
      : steadyValue(answer.json, '')
          .filter(isComparable)
          .map(each => (path.includes('/top') ? withoutPids(each) : each))),
  ];
}
