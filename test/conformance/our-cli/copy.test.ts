import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'bun:test';
import { getXattr, setXattr } from '#host/sys/fs.ts';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { dockerCommand } from '#test/helpers/docker-cli.ts';
import { type Dockerd, startDockerd } from '#test/helpers/dockerd.ts';
import { needs } from '#test/helpers/needs.ts';
import { run, runOk } from '#test/helpers/run.ts';
import { copyCases, deliberateCopyDifferences } from './copy-cases.ts';
import { linkedAsDocker } from './our-docker.ts';
import { splitWords } from './words.ts';

const someTime = 1_600_000_000;

/** See copy-cases.ts. */
function makeTree(folder: string): void {
  mkdirSync(join(folder, 'dir/sub'), { recursive: true });
  for (const [name, mode] of [
    ['file', 0o640],
    ['dir/a', 0o600],
    ['dir/sub/b', 0o4755],
  ] as const) {
    writeFileSync(join(folder, name), `here ${name}\n`);
    chmodSync(join(folder, name), mode);
    utimesSync(join(folder, name), someTime, someTime);
  }
  symlinkSync('file', join(folder, 'to-file'));
  symlinkSync('dir', join(folder, 'to-dir'));
  symlinkSync('not/there', join(folder, 'nowhere'));
  Bun.spawnSync(['mkfifo', join(folder, 'fifo')]);
  for (const name of ['dir/sub', 'dir']) utimesSync(join(folder, name), someTime, someTime);
}

const inContainer = `rm -rf /box /vol/*; mkdir -p /box/dir/sub; cd /box; echo there file > file; echo there a > dir/a; echo there b > dir/sub/b
chmod 640 file; chmod 4755 dir/sub/b; ln -s file to-file; ln -s dir to-dir; ln -s not/there nowhere; mkfifo fifo; mknod dev c 1 3; echo in > /vol/inside
touch -d @${String(someTime)} file dir/a dir/sub/b dir/sub dir /vol/inside`;
const listContainer = `find /box /vol | sort | while read f; do stat -c '%n %A %u %g' "$f"; if [ -L "$f" ]; then readlink "$f"; elif [ -f "$f" ]; then stat -c %Y "$f"; cat "$f"; fi; done`;

/** Every file with its kind, mode, time and content. */
function listTree(folder: string, name = ''): string[] {
  const path = join(folder, name);
  const stats = lstatSync(path);
  const mode = (stats.mode & 0o7777).toString(8);
  if (stats.isSymbolicLink()) return [`${name} -> ${readlinkSync(path)}`];
  if (stats.isFile()) return [`${name} ${mode} ${String(Math.floor(stats.mtimeMs / 1000))} ${readFileSync(path, 'utf8').trim()}`];
  if (!stats.isDirectory()) return [`${name} ${mode} special`];
  return [
    `${name}/ ${mode}`,
    ...readdirSync(path)
      .toSorted()
      .flatMap(child => listTree(folder, join(name, child))),
  ];
}

function compareBefore(host: () => string, apiVersion: string): void {
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  let ours: string[];
  let count = 0;
  const env = (): Record<string, string> => ({
    DOCKER_HOST: host(),
    DOCKER_CONFIG: folder.path,
    HOME: folder.path,
    DOCKER_API_VERSION: apiVersion,
  });

  /** Each command line has a place of its own, which is as new for every case. */
  const outcome = async (command: readonly string[], line: string, box: string): Promise<object> => {
    count += 1;
    const place = join(folder.path, `p${String(count)}`);
    makeTree(place);
    const inside = async (script: string): Promise<string> =>
      await runOk([...dockerCommand(), 'exec', box, 'sh', '-c', script], { env: env() });
    await inside(inContainer);
    const words = splitWords(line.replaceAll('%f', place).replaceAll('%c', box));
    const { exitCode, stdout, stderr } = await run([...command, 'cp', ...words], { env: env(), cwd: place });
    const steady = (text: string): string =>
      text
        // What the stock one's writer says when its reader has gone depends on who is first.
        .replaceAll(/^time=.*\n/gm, '')
        .replaceAll(place, '%f')
        .replaceAll(box, '%c')
        .replaceAll(`p${String(count)}`, 'place')
        .replaceAll(/[0-9a-f]{64}/g, '<id>');
    return { exitCode, stdout: steady(stdout), stderr: steady(stderr), here: listTree(place), there: await inside(listContainer) };
  };

  beforeAll(async () => {
    folder = await tempFolder();
    ours = await linkedAsDocker(folder.path);
    for (const box of ['box-of-one', 'box-of-two']) {
      await runOk([...dockerCommand(), 'run', '-d', '--name', box, '--network', 'none', '-v', '/vol', 'busybox', 'sleep', '100000'], {
        env: env(),
      });
    }
  }, 30_000);
  afterAll(async () => {
    await folder[Symbol.asyncDispose]();
  });

  const { test } = needs('root');
  test.each(copyCases.filter(line => !deliberateCopyDifferences.has(line)).map(line => [line]))(
    'docker cp %s',
    async line => {
      const theirs = await outcome(dockerCommand(), line, 'box-of-one');
      expect(await outcome(ours, line, 'box-of-two')).toEqual(theirs);
    },
    30_000,
  );

  test('what a program may do goes into a container with it, and comes back', async () => {
    // struct vfs_cap_data: version 2, cap_net_bind_service, effective (capabilities(7)).
    const capabilities = new Uint8Array(new Uint32Array([0x02000001, 1 << 10, 0, 0, 0]).buffer);
    const program = join(folder.path, 'program');
    writeFileSync(program, 'program\n');
    setXattr(program, 'security.capability', capabilities);
    for (const [command, box] of [
      [dockerCommand(), 'box-of-one'],
      [ours, 'box-of-two'],
    ] as const) {
      const back = join(folder.path, `back-of-${box}`);
      for (const ends of [
        [program, `${box}:/program`],
        [`${box}:/program`, back],
      ]) {
        await runOk([...command, 'cp', ...ends], { env: env() });
      }
      expect([box, getXattr(back, 'security.capability')]).toEqual([box, capabilities]);
    }
  });
}

describe('both command lines copy alike before dockerd', () => {
  let dockerd: Dockerd | undefined;
  const { describe: describeHere } = needs('root', 'dockerd');
  describeHere('the reference', () => {
    beforeAll(async () => {
      dockerd = await startDockerd();
    }, 60_000);
    afterAll(async () => {
      await dockerd?.[Symbol.asyncDispose]();
    }, 60_000);
    compareBefore(() => dockerd?.host ?? '', '1.41');
  });
});

describe('both command lines copy alike before our daemon', () => {
  const { describe: describeHere } = needs('root', 'conmon', 'nft');
  describeHere('Berth', () => {
    const daemon = sharedDaemon();
    compareBefore(() => daemon().host, '1.50');
  });
});
