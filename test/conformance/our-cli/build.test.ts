import { afterAll, beforeAll, describe, expect, test as always } from 'bun:test';
import { chmod, link, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { readTar } from '#oci/tar/reader.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { dockerCommand } from '#test/helpers/docker-cli.ts';
import { type Dockerd, startDockerd } from '#test/helpers/dockerd.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { run, type RunResult } from '#test/helpers/run.ts';
import { linkedAsDocker } from './our-docker.ts';
import { splitWords } from './words.ts';

type Folder = Awaited<ReturnType<typeof tempFolder>>;

/** A context with everything that a context can have. */
async function makeContext(path: string): Promise<void> {
  await mkdir(join(path, 'dir/sub'), { recursive: true });
  await mkdir(join(path, 'empty'));
  // Every file is copied: ours sends only what is.
  await Bun.write(join(path, 'Dockerfile'), 'FROM scratch\nCOPY . /\n');
  await Bun.write(join(path, 'Other'), 'FROM scratch AS one\nADD . /\nFROM scratch\nCOPY . /\n');
  await Bun.write(join(path, '.dockerignore'), '# rules\n*.log\n!keep.log\ndir/sub\n!dir/sub/kept\n');
  for (const name of ['a', 'x.log', 'keep.log', 'dir/b', 'dir/sub/kept', 'dir/sub/not', 'é']) await Bun.write(join(path, name), name);
  await chmod(join(path, 'a'), 0o750);
  await symlink('a', join(path, 'soft'));
  await link(join(path, 'a'), join(path, 'hard'));
}

const commandLines = [
  ...['build .', 'build -t x -t y/z:1 .', 'build -f Other .', 'build -f Other --target one .', 'build -q .', 'image build .'],
  'build --build-arg A=1 --build-arg HOME --build-arg NOT_SET_ANYWHERE --label a=b --label c .',
  'build --no-cache --pull --rm=false --force-rm --network host --add-host a:10.0.0.1 --ulimit nofile=1:2 --shm-size 1m .',
  'build -m 10m --memory-swap 20m -c 5 --cpu-period 1000 --cpu-quota 2000 --cpuset-cpus 0 --cpuset-mems 0 --cgroup-parent /x .',
  'build --cache-from one,two --security-opt a=b --platform linux/arm64 .',
];

describe('what `build` sends is what the stock command line sends', () => {
  let folder: Folder;
  let server: Bun.Server<undefined>;
  let ours: string[];
  let asked: { readonly request: string; readonly members: readonly string[] } | undefined;

  beforeAll(async () => {
    folder = await tempFolder();
    ours = await linkedAsDocker(folder.path);
    await makeContext(join(folder.path, 'context'));
    const headers = { 'Api-Version': '1.47', Ostype: 'linux', 'Builder-Version': '1' };
    server = Bun.serve({
      unix: join(folder.path, 'd.sock'),
      async fetch(request) {
        const url = new URL(request.url);
        if (url.pathname.endsWith('/_ping')) return new Response('OK', { headers });
        url.searchParams.sort();
        const auth = request.headers.get('x-registry-config');
        const members: string[] = [];
        const source = request.body ?? new Blob([]).stream();
        for await (const { entry } of readTar(source)) {
          const { name, type, mode, uid, gid, sizeBytes, linkName, mtime } = entry;
          members.push(
            `${name} ${type} ${mode.toString(8)} ${uid}:${gid} ${type === 'file' ? sizeBytes : ''} ${linkName} ${mtime.seconds}`,
          );
        }
        asked = { request: `${request.method} ${url.pathname} ${sortedParameters(url)} ${auth ?? ''}`, members };
        return new Response(`${JSON.stringify({ aux: { ID: `sha256:${'a'.repeat(64)}` } })}\n`, { headers });
      },
    });
  });
  afterAll(async () => {
    await server.stop(true);
    await folder[Symbol.asyncDispose]();
  });

  async function sentBy(command: readonly string[], line: string, stdin?: string): Promise<object | undefined> {
    asked = undefined;
    const env = { DOCKER_HOST: `unix://${folder.path}/d.sock`, DOCKER_CONFIG: folder.path, HOME: folder.path, DOCKER_BUILDKIT: '0' };
    await run([...command, ...splitWords(line)], { env, cwd: join(folder.path, 'context'), ...(stdin !== undefined && { stdin }) });
    return asked;
  }

  always.each(commandLines.map(line => [line]))('docker %s', async line => {
    const theirs = await sentBy(dockerCommand(), line);
    expect(theirs).toBeDefined();
    expect(await sentBy(ours, line)).toEqual(theirs);
  });

  always('docker build - with a Dockerfile on stdin', async () => {
    const names = (sent: object | undefined): unknown => (sent as { members: string[] }).members.map(member => member.split(' ')[0]);
    const theirs = await sentBy(dockerCommand(), 'build -', 'FROM scratch\n');
    expect(names(await sentBy(ours, 'build -', 'FROM scratch\n'))).toEqual(names(theirs));
  });
});

/** JSON among the parameters with its fields in order. */
function sortedParameters(url: URL): string {
  return [...url.searchParams]
    .map(([name, value]) => {
      if (!value.startsWith('{')) return `${name}=${value}`;
      const fields = Object.entries(JSON.parse(value) as Record<string, unknown>).toSorted(([a], [b]) => (a < b ? -1 : 1));
      return `${name}=${JSON.stringify(fields)}`;
    })
    .join(' ')
    .replace(/\{"Name":"nofile","(Hard|Soft)":(\d),"(Hard|Soft)":(\d)\}/g, (_all, a: string, x: string, b: string, y: string) =>
      [`${a}=${x}`, `${b}=${y}`].toSorted().join(' '),
    );
}

describe('both command lines build with dockerd', () => {
  const { test } = needs('root', 'dockerd');
  let folder: Folder;
  let dockerd: Dockerd;
  let ours: string[];

  beforeAll(async () => {
    [folder, dockerd] = await Promise.all([tempFolder(), startDockerd()]);
    ours = await linkedAsDocker(folder.path);
    await makeContext(join(folder.path, 'context'));
  }, 60_000);
  afterAll(async () => {
    await dockerd[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  }, 60_000);

  const docker = async (
    command: readonly string[],
    words: readonly string[],
    env: Record<string, string> = {},
    stdin?: string,
  ): Promise<RunResult> =>
    await run([...command, ...words], {
      env: { DOCKER_HOST: dockerd.host, DOCKER_CONFIG: folder.path, HOME: folder.path, ...env },
      cwd: join(folder.path, 'context'),
      ...(stdin !== undefined && { stdin }),
    });
  const classic = { DOCKER_BUILDKIT: '0' };
  const file = 'FROM busybox\nARG X=1\nENV a=b\nCOPY . /ctx\nRUN echo $X > /x; echo said\nWORKDIR /w\nCMD ["sh"]\n';

  test('the same image comes of the same context, whoever sent it', async () => {
    await Bun.write(join(folder.path, 'context/Same'), file);
    const theirs = await docker(dockerCommand(), ['build', '-q', '-f', 'Same', '.'], classic);
    const mine = await docker(ours, ['build', '-q', '-f', 'Same', '.'], classic);
    const new_ = await docker(ours, ['build', '-q', '-f', 'Same', '.']);
    expect(theirs).toMatchObject({ exitCode: 0 });
    expect({ ...mine, stderr: '' }).toEqual({ ...theirs, stderr: '' });
    expect(new_).toMatchObject({ exitCode: 0, stdout: theirs.stdout, stderr: '' });
  });

  test('the classic words, to the letter', async () => {
    const steady = (text: string): string => text.replaceAll('\r', '').replace(/(Sending build context to Docker daemon) .*/, '$1');
    await Bun.write(join(folder.path, 'context/Words'), 'FROM busybox\nENV a=b\nLABEL c=d\nCMD ["x"]\n');
    await docker(dockerCommand(), ['build', '-f', 'Words', '.'], classic);
    const [theirs, mine] = [
      await docker(dockerCommand(), ['build', '-t', 'words', '-f', 'Words', '.'], classic),
      await docker(ours, ['build', '-t', 'words', '-f', 'Words', '.'], classic),
    ];
    expect(mine.exitCode).toBe(0);
    expect(steady(mine.stdout)).toBe(steady(theirs.stdout));
  });

  test('a command that fails gives its exit code to the classic words', async () => {
    const failing = 'FROM busybox\nRUN exit 7\n';
    const [theirs, mine, new_] = [
      await docker(dockerCommand(), ['build', '-f', '-', '.'], classic, failing),
      await docker(ours, ['build', '-f', '-', '.'], classic, failing),
      await docker(ours, ['build', '-f', '-', '.'], {}, failing),
    ];
    expect([theirs.exitCode, mine.exitCode, new_.exitCode]).toEqual([7, 7, 1]);
    expect(theirs.stderr).toEndWith(mine.stderr);
    expect(new_.stderr).toContain('>>> RUN exit 7\n');
    expect(new_.stderr).toEndWith('process "/bin/sh -c exit 7" did not complete successfully: exit code: 7\n');
  });

  test('what is known at the end is written where it was asked for', async () => {
    const [id, metadata] = [join(folder.path, 'id'), join(folder.path, 'metadata')];
    const built = await docker(ours, ['build', '-t', 'named:1', '--iidfile', id, '--metadata-file', metadata, '-f', '-', '.'], {}, file);
    expect(built.exitCode).toBe(0);
    const image = (await docker(dockerCommand(), ['image', 'inspect', '-f', '{{.Id}}', 'named:1'])).stdout.trim();
    expect(await Bun.file(id).text()).toBe(image);
    expect(await Bun.file(metadata).json()).toMatchObject({ 'containerimage.config.digest': image, 'image.name': 'named:1' });
  });

  test('the files of a result, as they are and in an archive', async () => {
    const made = 'FROM scratch\nCOPY dir/b keep.log /out/\n';
    const images = async (): Promise<string[]> => (await docker(dockerCommand(), ['images', '-aq'])).stdout.split('\n').toSorted();
    const before = await images();
    const directory = join(folder.path, 'result');
    expect(await docker(ours, ['build', '-o', directory, '-f', '-', '.'], {}, made)).toMatchObject({ exitCode: 0 });
    expect(await Bun.file(join(directory, 'out/b')).text()).toBe('dir/b');
    const archive = await docker(ours, ['build', '-q', '-o', `type=tar,dest=${directory}.tar`, '-f', '-', '.'], {}, made);
    expect(archive.exitCode).toBe(0);
    const names: string[] = [];
    for await (const { entry } of readTar(Bun.file(`${directory}.tar`).stream())) names.push(entry.name);
    expect(names).toContain('out/keep.log');
    expect(await images()).toEqual(before);
  });

  test('a build that is interrupted is over, at the daemon too', async () => {
    const child = Bun.spawn([...ours, 'build', '--progress', 'plain', '-f', '-', '.'], {
      env: { ...process.env, DOCKER_HOST: dockerd.host, DOCKER_CONFIG: folder.path },
      cwd: join(folder.path, 'context'),
      stdin: new TextEncoder().encode('FROM busybox\nRUN sleep 1000\n'),
      stdout: 'ignore',
      stderr: 'pipe',
    });
    const running = async (): Promise<string> => (await docker(dockerCommand(), ['ps', '-q'])).stdout;
    await eventually('the step runs', async () => (await running()) !== '');
    child.kill('SIGINT');
    expect(await child.exited).toBe(130);
    expect(await child.stderr.text()).toEndWith('ERROR: failed to build: canceled\n');
    await eventually('the step has ended', async () => (await running()) === '');
  });

  const buildKit = { DOCKER_BUILDKIT: '1', HOSTNAME: 'test' };

  test('BuildKit gets a secret, and nothing keeps it', async () => {
    const value = `only-for-the-step-${String(process.pid)}`;
    const secret = 'FROM busybox\nRUN --mount=type=secret,id=s sh -c "wc -c < /run/secrets/s"\nRUN ls -A /run\n';
    const built = await docker(
      ours,
      ['build', '-t', 'secret:1', '--progress', 'plain', '--secret', 'id=s,env=VALUE', '-f', '-', '.'],
      { VALUE: value },
      secret,
    );
    expect(built).toMatchObject({ exitCode: 0 });
    expect(built.stderr).toMatch(new RegExp(`^#\\d+ \\d+\\.\\d+ ${String(value.length)}$`, 'm'));
    const history = await docker(dockerCommand(), ['history', '--no-trunc', 'secret:1']);
    expect(built.stderr + history.stdout).not.toContain(value);
    const without = await docker(
      ours,
      ['build', '--no-cache', '--secret', 'id=other,env=VALUE', '-f', '-', '.'],
      { VALUE: value },
      secret.replace('id=s ', 'id=s,required '),
    );
    expect(without.exitCode).toBe(1);
  });

  test('BuildKit is sent only what it needs, and then only what has changed', async () => {
    const large = join(folder.path, 'large');
    await mkdir(join(large, 'needed'), { recursive: true });
    await Bun.write(join(large, 'other'), new Uint8Array(30_000_000));
    for (let i = 0; i < 20; i += 1) await Bun.write(join(large, `needed/${String(i)}`), new Uint8Array(100_000).fill(i));
    const build = async (): Promise<number> => {
      const dockerfile = 'FROM scratch\nCOPY needed /\n';
      const { exitCode, stderr } = await docker(ours, ['build', '--progress', 'rawjson', '-f', '-', large], buildKit, dockerfile);
      expect(exitCode).toBe(0);
      const lines = stderr
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as { statuses?: { name: string; current: number }[] });
      return Math.max(...lines.flatMap(line => line.statuses ?? []).map(({ current }) => current));
    };
    const first = await build();
    expect(first).toBeGreaterThan(2_000_000);
    expect(first).toBeLessThan(3_000_000);
    await Bun.write(join(large, 'needed/3'), new Uint8Array(100_000).fill(99));
    expect(await build()).toBeLessThan(200_000);
  });

  test('BuildKit: a step that fails', async () => {
    const failed = await docker(ours, ['build', '-f', '-', '.'], buildKit, 'FROM busybox\nRUN echo said; exit 7\n');
    expect(failed.exitCode).toBe(1);
    expect(failed.stderr).toContain('said\n------\nDockerfile:2\n');
    expect(failed.stderr).toMatch(/ERROR: failed to build: failed to solve: .*exit code: 7\n$/);
  });
});
