import { afterAll, beforeAll, expect } from 'bun:test';
import { join } from 'node:path';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { getXattr, setXattr } from '#host/sys/fs.ts';
import { Buildx } from '#test/helpers/buildx.ts';
import { runToEnd, sharedDaemon } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { mountsBelow, processesNaming } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';
import { run, runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'buildx');

const lines = (...text: string[]): string => `${text.join('\n')}\n`;

/** Makes the file that a step waits for. */
function goOn(path: string): void {
  const [pid = ''] = processesNaming(`test -e ${path}`).at(-1)?.split(' ') ?? [];
  writeFileSync(`/proc/${pid}/root${path}`, '');
}

describe('docker buildx with the docker driver', () => {
  const daemon = sharedDaemon();
  let buildx: Buildx;
  beforeAll(() => {
    buildx = new Buildx(daemon().host);
  });
  afterAll(() => buildx[Symbol.dispose]());
  const outputOf = async (Image: string, ...Cmd: string[]): Promise<string> => (await runToEnd(daemon(), { Image, Cmd })).stdout;

  test('builds what the Dockerfile says, under its names, with arguments and labels', async () => {
    const context = buildx.directory({
      Dockerfile: lines(
        'FROM busybox AS base',
        'ARG WHO',
        'RUN echo "hello $WHO" > /hello',
        'FROM base',
        'COPY a.txt dir/ /files/',
        'CMD ["cat", "/hello"]',
      ),
      'a.txt': 'a',
      'dir/b.txt': 'b',
      'unneeded.bin': 'x'.repeat(2_000_000),
    });
    const metadata = join(context, 'metadata.json');
    const args = [
      '--build-arg',
      'WHO=Berth',
      '--label',
      'one=1',
      '-t',
      'first:1',
      '-t',
      'second',
      '--metadata-file',
      metadata,
      '--iidfile',
      join(context, 'iid'),
    ];
    const { stderr } = await buildx.ok(['buildx', 'build', ...args, context]);
    expect(stderr).toContain('[base 1/2] FROM docker.io/library/busybox:latest');
    expect(stderr).toMatch(/transferring context: \d+B(?: [\d.]+s)? done/);
    const image = await daemon().api.expect<{ Id: string; Config: { Labels: object } }>('GET', '/images/first:1/json');
    expect(image.Config.Labels).toEqual({ one: '1' });
    expect(readFileSync(join(context, 'iid'), 'utf8')).toBe(image.Id);
    expect(JSON.parse(readFileSync(metadata, 'utf8'))).toMatchObject({
      'containerimage.config.digest': image.Id,
      'image.name': 'docker.io/library/first:1,docker.io/library/second:latest',
    });
    expect(await outputOf('second')).toBe('hello Berth\n');
    expect(await outputOf('second', 'ls', '/files')).toBe('a.txt\nb.txt\n');
    expect((await buildx.ok(['buildx', 'build', '--build-arg', 'WHO=Berth', context])).stderr).toContain('CACHED');
  });

  test('shows where a build failed, and what the step said', async () => {
    const context = buildx.directory({ Dockerfile: lines('FROM busybox', 'RUN echo said; exit 3') });
    const { exitCode, stderr } = await buildx.run(['buildx', 'build', context]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('Dockerfile:2\n');
    expect(stderr).toContain('>>> RUN echo said; exit 3');
    expect(stderr).toContain(
      'ERROR: failed to build: failed to solve: process "/bin/sh -c echo said; exit 3" did not complete successfully: exit code: 3',
    );
    const wrong = buildx.directory({ Dockerfile: lines('FROM busybox', 'COPPY a b') });
    expect((await buildx.run(['buildx', 'build', wrong])).stderr).toContain('unknown instruction: COPPY (did you mean COPY?)');
  });

  test('gives secrets of files and variables to steps', async () => {
    const context = buildx.directory({
      Dockerfile: lines(
        'FROM busybox',
        'RUN --mount=type=secret,id=one test "$(cat /run/secrets/one)" = first-secret && ! echo x > /run/secrets/one',
        'RUN --mount=type=secret,id=two,env=TWO test "$TWO" = second-secret',
      ),
      one: 'first-secret',
    });
    const secrets = ['--secret', `id=one,src=${join(context, 'one')}`, '--secret', 'id=two,env=SECOND'];
    await buildx.ok(['buildx', 'build', ...secrets, context], { env: { SECOND: 'second-secret' } });
    const required = buildx.directory({ Dockerfile: lines('FROM busybox', 'RUN --mount=type=secret,id=three,required true') });
    expect((await buildx.run(['buildx', 'build', required])).stderr).toContain('secret three: not found');
  });

  test('no secret is ever in what the daemon keeps, while a step has it and after', async () => {
    const value = `secret-${crypto.randomUUID()}`;
    const context = buildx.directory({
      Dockerfile: lines(
        'FROM busybox',
        'RUN --mount=type=secret,id=one --mount=type=secret,id=two,env=TWO while ! test -e /var/searched; do sleep 0.1; done',
        'RUN --mount=type=secret,id=one cat /run/secrets/one | md5sum > /sum',
      ),
      one: value,
    });
    const search = async (): Promise<string> => (await run(['grep', '-rl', value, daemon().dataRoot])).stdout;
    const secrets = ['--secret', `id=one,src=${join(context, 'one')}`, '--secret', `id=two,env=SECOND`];
    const building = buildx.ok(['buildx', 'build', ...secrets, '-t', 'with-secrets', context], { env: { SECOND: value } });
    await eventually('the step runs', () => processesNaming('test -e /var/searched').length > 0);
    expect(await search()).toBe('');
    goOn('/var/searched');
    await building;
    expect(await search()).toBe('');
  });

  test('lends an SSH agent of the client to a step', async () => {
    const place = buildx.directory({});
    const socket = join(place, 'agent');
    const agent = Bun.spawn(['ssh-agent', '-D', '-a', socket], { stdout: 'ignore', stderr: 'ignore' });
    try {
      await eventually('the agent listens', () => existsSync(socket));
      await runOk(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'lent key', '-f', join(place, 'key')]);
      await runOk(['ssh-add', '-q', join(place, 'key')], { env: { SSH_AUTH_SOCK: socket } });
      const context = buildx.directory({
        Dockerfile: lines(
          'FROM busybox',
          'RUN --mount=type=ssh test -S "$SSH_AUTH_SOCK" && while ! test -e /var/asked; do sleep 0.1; done',
        ),
      });
      const building = buildx.ok(['buildx', 'build', '--ssh', `default=${socket}`, context]);
      const lent = join(daemon().execRoot, 'build-secrets');
      await eventually('the step runs', () => processesNaming('test -e /var/asked').length > 0);
      const [name = ''] = readdirSync(lent);
      expect(await runOk(['ssh-add', '-l'], { env: { SSH_AUTH_SOCK: join(lent, name, 's') } })).toContain('lent key');
      goOn('/var/asked');
      await building;
      expect(readdirSync(lent)).toEqual([]);
    } finally {
      agent.kill();
      await agent.exited;
    }
    const required = buildx.directory({ Dockerfile: lines('FROM busybox', 'RUN --mount=type=ssh,id=other,required true') });
    expect((await buildx.run(['buildx', 'build', required])).stderr).toContain('unset ssh forward key other');
  });

  test('sends what has changed, and with it attributes that an image can have', async () => {
    const context = buildx.directory({ Dockerfile: lines('FROM busybox', 'COPY f g /'), f: 'x'.repeat(100_000), g: 'g' });
    setXattr(join(context, 'g'), 'user.berth', new TextEncoder().encode('kept'));
    const sent = async (): Promise<string | undefined> =>
      /transferring context: ([\d.]+\w?B)/.exec((await buildx.ok(['buildx', 'build', '-t', 'attributes:1', context])).stderr)?.[1];
    expect([await sent(), await sent()]).toEqual(['100.00kB', undefined]);
    writeFileSync(join(context, 'g'), 'again');
    expect(await sent()).toBe('5B');
    const image = await daemon().api.expect<{ GraphDriver: { Data: { UpperDir: string } } }>('GET', '/images/attributes:1/json');
    const file = join(image.GraphDriver.Data.UpperDir, 'g');
    expect(new TextDecoder().decode(getXattr(file, 'user.berth'))).toBe('kept');
  });

  test('takes the Dockerfile from standard input, the context as an archive, and other contexts by name', async () => {
    const other = buildx.directory({ 'file.txt': 'from the other' });
    const context = buildx.directory({
      Dockerfile: lines('FROM base', 'COPY --from=other file.txt /file.txt', 'COPY own.txt /own.txt'),
      'own.txt': 'own',
    });
    const named = ['--build-context', `other=${other}`, '--build-context', 'base=docker-image://busybox'];
    await buildx.ok(['buildx', 'build', ...named, '-t', 'named', context]);
    expect(await outputOf('named', 'cat', '/file.txt', '/own.txt')).toBe('from the otherown');
    const archive = await run(['tar', '-C', context, '-cz', '.']).then(() =>
      Bun.spawn(['tar', '-C', context, '-cz', '.'], { stdout: 'pipe' }).stdout.bytes(),
    );
    const piped = await run(buildx.command('buildx', 'build', ...named, '-t', 'piped', '-'), { env: buildx.environment, stdin: archive });
    expect([piped.exitCode, piped.exitCode === 0 ? '' : piped.stderr]).toEqual([0, '']);
    expect(await outputOf('piped', 'cat', '/own.txt')).toBe('own');
    const stdin = lines('FROM busybox', 'COPY own.txt /there');
    const file = await run(buildx.command('buildx', 'build', '-f', '-', '-t', 'file', context), { env: buildx.environment, stdin });
    expect([file.exitCode, file.exitCode === 0 ? '' : file.stderr]).toEqual([0, '']);
    expect(await outputOf('file', 'cat', '/there')).toBe('own');
  });

  test('checks, outlines and lists targets without building', async () => {
    const context = buildx.directory({
      Dockerfile: lines('FROM busybox AS one', 'ARG A=1', 'RUN --mount=type=secret,id=tok,required=true true', 'from one AS two'),
    });
    const check = await buildx.run(['buildx', 'build', '--check', context]);
    expect([check.exitCode, check.stdout]).toEqual([1, expect.stringContaining('ConsistentInstructionCasing')]);
    const targets = JSON.parse((await buildx.ok(['buildx', 'build', '--call', 'targets,format=json', context])).stdout) as {
      targets: object[];
    };
    expect(targets.targets).toMatchObject([
      { name: 'one', base: 'busybox' },
      { name: 'two', default: true },
    ]);
    const outline = JSON.parse(
      (await buildx.ok(['buildx', 'build', '--call', 'outline,format=json', '--target', 'one', context])).stdout,
    ) as object;
    expect(outline).toMatchObject({ name: 'one', args: [{ name: 'A', value: '1' }], secrets: [{ name: 'tok', required: true }] });
  });

  test('lists and prunes what builds have kept', async () => {
    expect((await buildx.ok(['buildx', 'du', '--verbose'])).stdout).toMatch(/Type:\s+regular/);
    await buildx.ok(['buildx', 'prune', '--all', '--force']);
    expect((await buildx.ok(['buildx', 'du'])).stdout).not.toContain('true');
  });

  test('ends the steps of a build that is given up', async () => {
    const context = buildx.directory({ Dockerfile: lines('FROM busybox', 'RUN sleep 71717') });
    const child = Bun.spawn(buildx.command('buildx', 'build', context), { env: buildx.environment, stdout: 'ignore', stderr: 'ignore' });
    await eventually('the step runs', () => processesNaming('sleep 71717').length > 0);
    child.kill('SIGINT');
    await child.exited;
    await eventually('the step has ended', () => processesNaming('sleep 71717').length === 0);
  });

  test('ends the steps of a client that has died, which says nothing of it', async () => {
    const context = buildx.directory({ Dockerfile: lines('FROM busybox', 'RUN --mount=type=cache,target=/c sleep 71718') });
    const child = Bun.spawn(buildx.plugin('build', context), { env: buildx.environment, stdout: 'ignore', stderr: 'ignore' });
    await eventually('the step runs', () => processesNaming('sleep 71718').length > 0);
    child.kill('SIGKILL');
    await child.exited;
    await eventually('the step has ended', () => processesNaming('sleep 71718').length === 0);
    await eventually('nothing is left of it', () => readdirSync(join(daemon().dataRoot, 'build/work')).length === 0);
    expect(mountsBelow(join(daemon().dataRoot, 'build'))).toEqual([]);
  });

  test('builds several targets of a bake file', async () => {
    const folder = buildx.directory({
      'docker-bake.hcl': lines(
        'group "default" { targets = ["a", "b"] }',
        'target "a" {',
        '  dockerfile-inline = "FROM busybox\\nRUN echo a > /name"',
        '  tags = ["bake-a"]',
        '}',
        'target "b" {',
        '  dockerfile-inline = "FROM base\\nRUN echo b >> /name"',
        '  contexts = { base = "target:a" }',
        '  tags = ["bake-b"]',
        '}',
      ),
    });
    await buildx.ok(['buildx', 'bake'], { cwd: folder });
    expect([await outputOf('bake-a', 'cat', '/name'), await outputOf('bake-b', 'cat', '/name')]).toEqual(['a\n', 'a\nb\n']);
  });

  test('docker compose 2 builds and runs a project', async () => {
    const folder = buildx.directory({
      'compose.yaml': lines('services:', '  web:', '    build: .', '    image: composed', '    command: cat /a'),
      Dockerfile: lines('FROM busybox', 'COPY a /a'),
      a: 'composed\n',
    });
    await buildx.ok(['compose', 'build'], { cwd: folder });
    expect(await outputOf('composed', 'cat', '/a')).toBe('composed\n');
  });

  test('docker compose 2 builds services of other services, with secrets, arguments and contexts of their own', async () => {
    const folder = buildx.directory({
      'compose.yaml': lines(
        'services:',
        '  below:',
        '    image: composed-below',
        '    build:',
        '      context: .',
        '      target: two',
        '      args: { WHO: somebody }',
        '      additional_contexts: { extra: ./extra }',
        '      secrets: [token]',
        '      tags: [composed-below:other]',
        '      labels: { built: "1" }',
        '  above:',
        '    image: composed-above',
        '    build:',
        '      context: .',
        '      dockerfile_inline: |',
        '        FROM below',
        '        RUN cat /who > /again',
        '      additional_contexts: { below: "service:below" }',
        'secrets:',
        '  token: { file: ./token }',
      ),
      Dockerfile: lines(
        'FROM busybox AS one',
        'ARG WHO',
        'RUN --mount=type=secret,id=token test "$(cat /run/secrets/token)" = hidden && echo "$WHO" > /who',
        'FROM one AS two',
        'COPY --from=extra file /file',
      ),
      'extra/file': 'of another context\n',
      token: 'hidden',
    });
    await buildx.ok(['compose', 'build'], { cwd: folder });
    expect(await outputOf('composed-above', 'cat', '/again', '/file')).toBe('somebody\nof another context\n');
    const other = await daemon().api.expect<{ Config: { Labels: Record<string, string> } }>('GET', '/images/composed-below:other/json');
    expect(other.Config.Labels.built).toBe('1');
  });
});
