import { afterAll, beforeAll, expect } from 'bun:test';
import { create, remove, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { dockerCommand } from '#test/helpers/docker-cli.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { run, type RunResult } from '#test/helpers/run.ts';
import { linkedAsDocker } from './our-docker.ts';
import { splitWords } from './words.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'docker-cli-28');

describe('docker stats', () => {
  const daemon = sharedDaemon();
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  let ours: string[];
  let env: Record<string, string>;
  beforeAll(async () => {
    folder = await tempFolder();
    ours = await linkedAsDocker(folder.path);
    env = { DOCKER_HOST: daemon().host, DOCKER_CONFIG: folder.path, HOME: folder.path, DOCKER_API_VERSION: '1.50' };
    await start(daemon(), waiting({ HostConfig: { Memory: 64 * 1024 * 1024, NetworkMode: 'none' } }), 'c1');
    await create(daemon(), waiting(), 'c2');
  }, 60_000);
  afterAll(() => folder[Symbol.asyncDispose]());

  const rows: readonly string[] = [
    'stats --no-stream',
    'stats --no-stream c1',
    'stats --no-stream -a --format "{{.Container}} {{.ID}} {{.Name}}"',
    'stats --no-stream --no-trunc -a',
    'stats --no-stream c2',
    'stats --no-stream c1 c2 --format "table {{.Name}}\\t{{.MemUsage}}"',
    'stats --no-stream --format json c1',
    'stats --no-stream --format "{{json .}}" c2',
    'stats --no-stream --format "table {{.Container}} {{.CPUPerc}} {{.MemPerc}} {{.NetIO}} {{.BlockIO}} {{.PIDs}}" c2',
    'stats --no-stream nosuch',
    'stats --no-stream nosuch c1 nosuch2',
    'stats nosuch',
    'stats --no-stream --format "{{.Nope}}" c1',
    'stats --no-stream --format "{{" c1',
    'stats --nope',
    'container stats --no-stream c1',
  ];
  test.each(rows.map(row => [row]))(
    '%s',
    async row => {
      const words = splitWords(row);
      const [own, theirs] = await Promise.all([ours, dockerCommand()].map(command => run([...command, ...words], { env })));
      expect(shown(own as RunResult)).toEqual(shown(theirs as RunResult));
    },
    30_000,
  );

  test('the format of the settings is taken when none is given', async () => {
    const configured = { ...env, DOCKER_CONFIG: `${folder.path}/configured` };
    await Bun.write(`${folder.path}/configured/config.json`, JSON.stringify({ statsFormat: 'it is {{.Name}}' }));
    expect((await run([...ours, 'stats', '--no-stream', 'c1'], { env: configured })).stdout).toBe('it is c1\n');
  });

  test('containers come and go on the screen', async () => {
    const child = Bun.spawn([...ours, 'stats', '--format', '{{.Name}} {{.PIDs}}'], {
      stdout: 'pipe',
      stderr: 'inherit',
      env: { ...process.env, ...env },
    });
    let screen = '';
    const reading = (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of child.stdout) screen += decoder.decode(chunk, { stream: true });
    })();
    /** The lines of the newest frame, which begins at the top left. */
    const lines = (): string[] =>
      (screen.split('\x1b[H').at(-2) ?? '')
        .replaceAll(/\x1b\[[KJ]/g, '')
        .split('\n')
        .filter(Boolean);
    await eventually('the one that runs is there', () => /^c1 [1-9]/.test(lines().join('|')) && lines().length === 1);
    const id = await start(daemon(), waiting(), 'c3');
    await eventually('the new one is there', () => lines().some(line => /^c3 [1-9]/.test(line)));
    await daemon().api.expect('POST', `/containers/${id}/stop`, { status: 204 });
    await eventually('it is gone', () => lines().length === 1);
    await remove(daemon(), id);
    child.kill('SIGINT');
    await child.exited;
    await reading;
    expect(screen).toContain('\x1b[K\n');
    expect(screen.trimEnd()).toEndWith('\x1b[J');
  }, 30_000);

  test('it ends when the daemon does', async () => {
    const child = Bun.spawn([...ours, 'stats'], { stdout: 'pipe', stderr: 'pipe', env: { ...process.env, ...env } });
    const first = await child.stdout.getReader().read();
    expect(first.done).toBe(false);
    await daemon().stop();
    expect(await child.exited).toBe(0);
    await daemon().start();
  }, 30_000);
});

/** Numbers that change from one moment to the next are left out, and with them how wide their columns are. */
function shown({ exitCode, stdout, stderr }: RunResult): object {
  const steady = stdout
    .replaceAll(/\d+(\.\d+)?%/g, '<percent>')
    .replaceAll(/\b(\d+(\.\d+)?([KM]iB|B)) \//g, '<used> /')
    .replaceAll(/ {2,}/g, '  ');
  return { exitCode, stdout: steady, stderr };
}
