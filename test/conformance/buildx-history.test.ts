import { afterAll, beforeAll, expect } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Buildx } from '#test/helpers/buildx.ts';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { processesNaming } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';
import { runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'buildx');

const lines = (...text: string[]): string => `${text.join('\n')}\n`;

interface Listed {
  readonly ref: string;
  readonly name: string;
  readonly status: string;
  readonly total_steps: number;
  readonly cached_steps: number;
}

describe('what docker buildx shows of builds that have ended', () => {
  let daemon: TestDaemon;
  let buildx: Buildx;
  let folder = '';
  beforeAll(async () => {
    daemon = await startDaemon();
    buildx = new Buildx(daemon.host);
    folder = buildx.directory({
      Dockerfile: lines('FROM busybox AS one', 'ARG WHO', 'RUN echo "said by $WHO"', 'FROM one AS bad', 'RUN echo before; exit 3'),
    });
  });
  afterAll(async () => {
    buildx?.[Symbol.dispose]();
    await daemon?.[Symbol.asyncDispose]();
  });

  const history = async (...args: string[]): Promise<string> => (await buildx.ok(['buildx', 'history', ...args])).stdout;
  const list = async (...args: string[]): Promise<Listed[]> =>
    (await history('ls', '--format', 'json', ...args))
      .trim()
      .split('\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line) as Listed)
      // Builder and node go before what the daemon knows.
      .map(each => ({ ...each, ref: each.ref.replace(/^.*\//, '') }));
  const documents = (): string[] => readdirSync(join(daemon.dataRoot, 'build/history'));

  test('lists, inspects and repeats builds, those that failed included, also after the daemon has been killed', async () => {
    const metadata = join(folder, 'metadata.json');
    await buildx.ok(['buildx', 'build', '--target', 'one', '--build-arg', 'WHO=somebody', '--metadata-file', metadata, folder]);
    expect((await buildx.run(['buildx', 'build', folder])).exitCode).toBe(1);
    const told = JSON.parse(readFileSync(metadata, 'utf8')) as Record<string, unknown>;
    expect(told['buildx.build.provenance']).toMatchObject({ buildType: 'https://mobyproject.org/buildkit@v1' });
    await daemon.kill();
    await daemon.start();
    const [failed, built] = await list();
    expect([failed?.status, built?.status]).toEqual(['Error', 'Completed']);
    expect(String(told['buildx.build.ref'])).toEndWith(`/${built?.ref ?? ''}`);
    const inspected = JSON.parse(await history('inspect', built?.ref ?? '', '--format', 'json')) as object;
    expect(inspected).toMatchObject({
      Target: 'one',
      Status: 'completed',
      BuildArgs: [{ Name: 'WHO', Value: 'somebody' }],
      Materials: [{ URI: expect.stringMatching(/^pkg:docker\/busybox@latest/) as unknown }],
      Attachments: [{ Type: 'https://slsa.dev/provenance/v0.2' }],
    });
    const wrong = JSON.parse(await history('inspect', failed?.ref ?? '', '--format', 'json')) as {
      Error: { Sources: string; Logs: string[] };
    };
    expect(wrong).toMatchObject({ Status: 'failed', Error: { Message: expect.stringContaining('exit code: 3') as unknown } });
    expect(Buffer.from(wrong.Error.Sources, 'base64').toString()).toContain('>>> RUN echo before; exit 3');
    expect(wrong.Error.Logs.join('\n')).toContain('before');
    const { stderr } = await buildx.ok(['buildx', 'history', 'logs', built?.ref ?? '']);
    expect(stderr).toContain('said by somebody');
    const attachment = JSON.parse(
      await history('inspect', 'attachment', '--type', 'https://slsa.dev/provenance/v0.2', built?.ref ?? ''),
    ) as object;
    expect(attachment).toMatchObject({ invocation: { parameters: { args: { 'build-arg:WHO': 'somebody' } } } });
  });

  test('exports and removes them, with when what happened in them', async () => {
    const [failed, built] = await list();
    const archive = join(folder, 'bundle.dockerbuild');
    await history('export', '--output', archive, built?.ref ?? '');
    const names = (await runOk(['tar', 'tzf', archive]))
      .split('\n')
      .filter(name => name.startsWith('blobs/sha256/') && !name.endsWith('/'));
    const blobs = await Promise.all(names.map(async name => await runOk(['tar', 'xzOf', archive, name])));
    const spans = blobs.find(text => text.includes('"SpanContext"')) ?? '';
    expect(spans).toContain('RUN echo');
    const before = documents().length;
    await history('rm', failed?.ref ?? '');
    expect((await list()).map(({ ref }) => ref)).toEqual([built?.ref ?? '']);
    expect(documents().length).toBeLessThan(before);
  });

  test('shows builds under way, filters, and forgets with the cache', async () => {
    const slow = buildx.directory({ Dockerfile: lines('FROM busybox', 'RUN echo begun; sleep 45454') });
    const child = Bun.spawn(buildx.command('buildx', 'build', slow), { env: buildx.environment, stdout: 'ignore', stderr: 'ignore' });
    await eventually('the step runs', () => processesNaming('sleep 45454').length > 0);
    const running = (await list()).find(({ status }) => status === 'Running');
    expect(running).toBeDefined();
    expect(JSON.parse(await history('inspect', running?.ref ?? '', '--format', 'json'))).toMatchObject({ Status: 'running' });
    child.kill('SIGINT');
    await child.exited;
    await eventually('it is over', async () => (await list('--filter', 'status=canceled')).length === 1);
    expect((await list('--filter', 'status=completed')).length).toBe(1);
    expect((await list('--filter', 'startedAt>1h')).length).toBe(2);
    await buildx.ok(['buildx', 'prune', '--force']);
    expect((await list()).length).toBe(2);
    await buildx.ok(['buildx', 'prune', '--all', '--force']);
    expect(await list()).toEqual([]);
    expect(documents()).toEqual([]);
  });
});
