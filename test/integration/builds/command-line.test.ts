import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { berthCommand } from '#test/helpers/paths.ts';
import { run, type RunResult } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

describe('our command line builds with our daemon', () => {
  const daemon = sharedDaemon();
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  beforeAll(async () => {
    folder = await tempFolder();
    await mkdir(join(folder.path, 'context/needed'), { recursive: true });
    await Bun.write(join(folder.path, 'context/needed/a'), 'text of a');
    await Bun.write(join(folder.path, 'context/large'), new Uint8Array(5_000_000));
  });
  afterAll(async () => {
    await folder[Symbol.asyncDispose]();
  });

  const environment = (): Record<string, string> => ({ DOCKER_HOST: `unix://${daemon().socketPath}`, DOCKER_CONFIG: folder.path });
  const berth = async (args: readonly string[], stdin?: string): Promise<RunResult> =>
    await run([...berthCommand(), ...args], {
      env: environment(),
      cwd: join(folder.path, 'context'),
      ...(stdin !== undefined && { stdin }),
    });

  test('an image of the files that the Dockerfile names, and only those are sent', async () => {
    const dockerfile = 'FROM busybox\nCOPY needed /n\nRUN cat /n/a; echo " and more"\nCMD ["cat", "/n/a"]\n';
    const built = await berth(['build', '-t', 'cli:1', '--progress', 'plain', '-f', '-', '.'], dockerfile);
    expect(built).toMatchObject({ exitCode: 0, stdout: '' });
    expect(built.stderr).toMatch(/^#\d+ \d+\.\d+ text of a and more$/m);
    // 2 MB of the context are not needed.
    expect(built.stderr).toMatch(/transferring context: \d+B/);
    expect((await berth(['run', '--rm', '--network', 'none', 'cli:1'])).stdout).toBe('text of a');
    const again = await berth(['build', '--progress', 'plain', '-f', '-', '.'], dockerfile);
    expect(again.stderr.match(/^#\d+ CACHED$/gm)?.length).toBeGreaterThanOrEqual(2);
    const { json } = await daemon().api.get<{ Id: string }>('/images/cli:1/json');
    expect(await berth(['build', '-q', '-f', '-', '.'], dockerfile)).toMatchObject({ exitCode: 0, stdout: `${json.Id}\n`, stderr: '' });
    await daemon().api.expect('DELETE', '/images/cli:1', { status: 200 });
  }, 60_000);

  test('a mistake in the file shows before anything is sent', async () => {
    const { exitCode, stderr } = await berth(['build', '-f', '-', '.'], 'FROM busybox\nCOPY --form=x a b\n');
    expect(exitCode).toBe(1);
    expect(stderr).toBe(`Dockerfile:2:6
--------------------
   1 |     FROM busybox
   2 | >>> COPY --form=x a b
     |          ^^^^^^^^
   3 |     ${''}
--------------------
ERROR: failed to build: failed to solve: dockerfile parse error on line 2: unknown flag: --form (did you mean from?)
`);
  });

  test('a build that is interrupted leaves nothing behind', async () => {
    const steps = (): number => Number(Bun.spawnSync(['pgrep', '-c', '-f', '^sleep 98765$']).stdout.toString().trim());
    const child = Bun.spawn([...berthCommand(), 'build', '--progress', 'plain', '-f', '-', '.'], {
      env: { ...process.env, ...environment() },
      cwd: join(folder.path, 'context'),
      stdin: new TextEncoder().encode('FROM busybox\nRUN sleep 98765\n'),
      stdout: 'ignore',
      stderr: 'pipe',
    });
    await eventually('the step runs', () => steps() === 1, { timeoutMs: 20_000 });
    child.kill('SIGINT');
    expect(await child.exited).toBe(130);
    expect(await child.stderr.text()).toEndWith('ERROR: failed to build: canceled\n');
    await eventually('the step has ended', () => steps() === 0, { timeoutMs: 20_000 });
  }, 60_000);
});
