import { afterAll, beforeAll, expect } from 'bun:test';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Buildx } from '#test/helpers/buildx.ts';
import { contextTar } from '#test/helpers/build.ts';
import { runToEnd, sharedDaemon } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { freePort } from '#test/helpers/registry.ts';
import { run, runOk } from '#test/helpers/run.ts';
import { type SmallRegistry, startSmallRegistry } from '#test/helpers/small-registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'buildx', 'git');

const lines = (...text: string[]): string => `${text.join('\n')}\n`;
const basic = (user: string): string => Buffer.from(`${user}:secret`).toString('base64');

describe('where docker buildx has things from, and whom it asks for them', () => {
  const daemon = sharedDaemon({ args: ['--insecure-registry', '127.0.0.0/8'] });
  let buildx: Buildx;
  beforeAll(() => {
    buildx = new Buildx(daemon().host);
  });
  afterAll(() => buildx?.[Symbol.dispose]());
  const outputOf = async (Image: string, ...Cmd: string[]): Promise<string> => (await runToEnd(daemon(), { Image, Cmd })).stdout;
  const logIn = async (registries: Readonly<Record<string, string>>): Promise<void> => {
    const auths = Object.fromEntries(Object.entries(registries).map(([address, user]) => [address, { auth: basic(user) }]));
    await Bun.write(join(buildx.environment.DOCKER_CONFIG ?? '', 'config.json'), JSON.stringify({ auths }));
  };
  const forget = async (...names: string[]): Promise<void> => {
    for (const name of names) await daemon().api.call('DELETE', `/images/${name}?force=1`);
  };

  /** Puts a base image into a registry, builds on it, pushes that, and brings it back. */
  async function buildThrough(registry: SmallRegistry): Promise<void> {
    const { auth } = registry;
    const [base, built] = ['base', 'built'].map(name => `${registry.address}/team/${name}:1`) as [string, string];
    registry.auth = undefined;
    await buildx.ok(['tag', 'busybox', base]);
    await buildx.ok(['push', '-q', base]);
    await forget(base);
    registry.auth = auth;
    const folder = buildx.directory({ Dockerfile: lines(`FROM ${base}`, 'RUN echo let in > /in') });
    await buildx.ok(['buildx', 'build', '--pull', '--push', '--provenance=false', '-t', built, folder]);
    await forget(base, built);
    await buildx.ok(['pull', '-q', built]);
    expect(await outputOf(built, 'cat', '/in')).toBe('let in\n');
  }

  test('a registry that wants a name and a password', async () => {
    await using registry = startSmallRegistry();
    registry.auth = { kind: 'basic', header: `Basic ${basic('user')}` };
    await logIn({ [registry.address]: 'user' });
    await buildThrough(registry);
    await logIn({});
    const folder = buildx.directory({ Dockerfile: lines(`FROM ${registry.address}/team/other:1`) });
    const refused = await buildx.run(['buildx', 'build', folder]);
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining('no basic auth credentials')]);
  });

  test('a registry that wants tokens: the client asks for them, and keeps its password', async () => {
    const asked: string[] = [];
    using tokens = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      async fetch(request) {
        const form = new URLSearchParams(await request.text());
        const isRight = form.get('username') === 'user' && form.get('password') === 'secret';
        asked.push(`${form.get('client_id') ?? request.method} ${form.get('scope') ?? ''}`);
        if (request.method === 'GET' && request.headers.get('authorization') !== `Basic ${basic('user')}`)
          return new Response('', { status: 401 });
        return request.method === 'GET' || isRight
          ? Response.json({ access_token: 'good', token: 'good', expires_in: 300 })
          : new Response('', { status: 401 });
      },
    });
    await using registry = startSmallRegistry();
    registry.auth = { kind: 'bearer', tokens: new Set(['good']), realm: `http://127.0.0.1:${String(tokens.port)}/token` };
    await logIn({ [registry.address]: 'user' });
    await buildThrough(registry);
    const byClient = asked.filter(line => line.startsWith('buildkit-client'));
    expect(byClient).toContain('buildkit-client repository:team/base:pull');
    expect(byClient.some(line => line.includes('repository:team/built:pull,push'))).toBe(true);
    // Only `docker pull` has the daemon ask.
    expect(asked.filter(line => !line.startsWith('buildkit-client')).every(line => line.startsWith('GET'))).toBe(true);
    await logIn({ [registry.address]: 'stranger' });
    const folder = buildx.directory({ Dockerfile: lines(`FROM ${registry.address}/team/base:2`) });
    expect((await buildx.run(['buildx', 'build', folder])).stderr).toContain('401');
  });

  test('contexts, Dockerfiles and bake files from Git and the web', async () => {
    const folder = buildx.directory({
      'repository/Dockerfile': lines('FROM busybox', 'COPY sub/f /f'),
      'repository/sub/f': 'tracked\n',
      'repository/docker-bake.hcl': lines('target "default" {', '  tags = ["baked-remote"]', '  args = { A = "1" }', '}'),
    });
    const repository = join(folder, 'repository');
    const git = (...args: string[]): Promise<string> =>
      runOk(['git', '-C', repository, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args]);
    await git('init', '-q', '-b', 'main', '.');
    await git('add', '.');
    await git('commit', '-q', '-m', 'one');
    const port = await freePort();
    const command = ['git', 'daemon', '--listen=127.0.0.1', `--port=${String(port)}`, `--base-path=${folder}`, '--export-all'];
    const server = Bun.spawn(command, { stdio: ['ignore', 'ignore', 'ignore'] });
    using _stop = { [Symbol.dispose]: () => server.kill() };
    const url = `git://127.0.0.1:${String(port)}/repository`;
    await eventually('the Git server answers', async () => (await run(['git', 'ls-remote', url])).exitCode === 0);
    await buildx.ok(['buildx', 'build', '-t', 'from-git', `${url}#main`]);
    expect(await outputOf('from-git', 'cat', '/f')).toBe('tracked\n');
    // The bake file, and the context with it, are read of the repository.
    await buildx.ok(['buildx', 'bake', `${url}#main`]);
    expect(await outputOf('baked-remote', 'cat', '/f')).toBe('tracked\n');
    const archive = Bun.gzipSync(
      new Uint8Array(
        await contextTar({
          Dockerfile: 'FROM busybox\nCOPY w /w\n',
          w: 'web',
        }),
      ),
    );
    using web = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: () => new Response(archive, { headers: { 'Content-Type': 'application/gzip' } }),
    });
    const remote = `http://127.0.0.1:${String(web.port)}/context.tar.gz`;
    await buildx.ok(['buildx', 'build', '-t', 'from-web', remote]);
    expect(await outputOf('from-web', 'cat', '/w')).toBe('web');
    // Of the web, bake takes a bake file alone: the client itself cannot do more with an archive.
    const definition = JSON.stringify({
      target: { default: { tags: ['baked-web'], 'dockerfile-inline': 'FROM busybox\nRUN echo web > /w' } },
    });
    using file = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response(definition) });
    await buildx.ok(['buildx', 'bake', `http://127.0.0.1:${String(file.port)}/docker-bake.json`]);
    expect(await outputOf('baked-web', 'cat', '/w')).toBe('web\n');
    const inside = join(folder, 'named');
    mkdirSync(inside);
    await Bun.write(join(inside, 'Dockerfile'), lines('FROM busybox', 'COPY --from=far /sub/f /g', 'COPY --from=web /w /w'));
    await buildx.ok(['buildx', 'build', '--build-context', `far=${url}`, '--build-context', `web=${remote}`, '-t', 'named-far', inside]);
    expect(await outputOf('named-far', 'cat', '/g', '/w')).toBe('tracked\nweb');
  });

  test('bake: matrix, inheritance, overrides, and what it would do', async () => {
    const folder = buildx.directory({
      'docker-bake.hcl': lines(
        'variable "WHO" { default = "nobody" }',
        'group "default" { targets = ["each"] }',
        'target "common" {',
        '  dockerfile-inline = "FROM busybox\\nARG WHO\\nARG N\\nRUN echo $WHO $N > /said"',
        '  args = { WHO = WHO }',
        '}',
        'target "each" {',
        '  name = "each-${n}"',
        '  matrix = { n = ["1", "2"] }',
        '  inherits = ["common"]',
        '  args = { N = n }',
        '  tags = ["each:${n}"]',
        '}',
      ),
    });
    const plan = JSON.parse((await buildx.ok(['buildx', 'bake', '--print'], { cwd: folder })).stdout) as { target: object };
    expect(Object.keys(plan.target)).toEqual(['each-1', 'each-2']);
    const metadata = join(folder, 'metadata.json');
    await buildx.ok(['buildx', 'bake', '--set', 'each-2.args.WHO=override', '--metadata-file', metadata], {
      cwd: folder,
      env: { WHO: 'somebody' },
    });
    expect([await outputOf('each:1', 'cat', '/said'), await outputOf('each:2', 'cat', '/said')]).toEqual(['somebody 1\n', 'override 2\n']);
    expect(Object.keys(JSON.parse(readFileSync(metadata, 'utf8')) as object)).toEqual(
      expect.arrayContaining(['each-1', 'each-2']) as never,
    );
  });

  test('steps that are to be done anew, and other frontends', async () => {
    const folder = buildx.directory({
      Dockerfile: lines(
        '# syntax=docker/dockerfile:1',
        'FROM busybox AS one',
        'RUN cat /proc/sys/kernel/random/uuid > /t',
        'FROM busybox',
        'RUN cat /proc/sys/kernel/random/uuid > /u',
        'COPY --from=one /t /t',
      ),
    });
    const times = async (...flags: string[]): Promise<string[]> => {
      await buildx.ok(['buildx', 'build', '-t', 'times', ...flags, folder]);
      return (await outputOf('times', 'cat', '/t', '/u')).trim().split('\n');
    };
    const first = await times('--build-arg', 'BUILDKIT_SYNTAX=docker/dockerfile:1.7');
    const second = await times('--no-cache-filter', 'one');
    expect([second[0] === first[0], second[1] === first[1]]).toEqual([false, true]);
    const other = buildx.directory({ Dockerfile: lines('# syntax=example.com/frontend:1', 'FROM busybox') });
    expect((await buildx.run(['buildx', 'build', other])).stderr).toContain('example.com/frontend:1');
  });

  test('the builder: listed, inspected, pruned by filters; progress for terminals and programs', async () => {
    expect((await buildx.ok(['buildx', 'ls'])).stdout).toMatch(/default\*?\s+docker/);
    expect((await buildx.ok(['buildx', 'inspect', '--bootstrap', 'default'])).stdout).toMatch(/Status:\s+running/);
    const folder = buildx.directory({ Dockerfile: lines('FROM busybox', 'RUN --mount=type=cache,target=/c echo kept > /c/f; echo said') });
    const raw = (await buildx.ok(['buildx', '--builder', 'default', 'build', '--progress', 'rawjson', folder])).stderr.trim().split('\n');
    const updates = raw.map(line => JSON.parse(line) as { logs?: { data: string }[] });
    expect(updates.flatMap(({ logs = [] }) => logs).map(({ data }) => Buffer.from(data, 'base64').toString())).toContain('said\n');
    const terminal = await run(
      ['script', '-qec', buildx.command('buildx', 'build', '--no-cache', '--progress', 'tty', folder).join(' '), '/dev/null'],
      {
        env: { ...buildx.environment, TERM: 'xterm' },
      },
    );
    expect([terminal.exitCode, terminal.stdout]).toEqual([0, expect.stringMatching(/\[\+\] Building .*FINISHED/)]);
    expect((await buildx.ok(['buildx', 'du', '--verbose', '--filter', 'type=exec.cachemount'])).stdout).toMatch(/Type:\s+exec\.cachemount/);
    await buildx.ok(['buildx', 'prune', '--force', '--filter', 'type=exec.cachemount']);
    expect((await buildx.ok(['buildx', 'du', '--verbose'])).stdout).not.toContain('exec.cachemount');
  });
});
