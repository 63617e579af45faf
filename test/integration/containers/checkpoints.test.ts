import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { create, inspect, logsOf, remove, sh, start, waitForExit } from '#test/helpers/containers.ts';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { pathWithCriu } from '#test/helpers/paths.ts';
import { recordingRuntime } from '#test/helpers/recording-runtime.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'crun', 'runc');

const counting = (more: object) =>
  sh('i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done', { HostConfig: more as Record<string, unknown> });
const lines = async (daemon: TestDaemon, id: string): Promise<string[]> => (await logsOf(daemon, id)).stdout.trim().split('\n');
const message = async (answer: Promise<{ readonly status: number; readonly json: unknown }>): Promise<unknown> => {
  const { status, json } = await answer;
  return [status, (json as { readonly message: string }).message];
};

describe('checkpoints, through a runtime that says what it is asked', () => {
  let folder: string;
  let daemon: TestDaemon;
  beforeAll(async () => {
    folder = await mkdtemp('/tmp/berth-f-');
    daemon = await startDaemon({ args: ['--experimental', '--add-runtime', `recorder=${recordingRuntime(folder)}`] });
  }, 60_000);
  afterAll(async () => {
    await daemon?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  }, 60_000);

  const asked = (action: string): string[] =>
    readFileSync(join(folder, 'asked'), 'utf8')
      .trim()
      .split('\n')
      .filter(line => line.split(' ').includes(action));
  const checkpoint = (id: string, body: object) => daemon.api.post<{ message: string }>(`/containers/${id}/checkpoints`, body);
  const names = async (id: string, query = ''): Promise<string[]> =>
    ((await daemon.api.expect<{ Name: string }[] | null>('GET', `/containers/${id}/checkpoints${query}`)) ?? []).map(({ Name }) => Name);

  test('are made, listed and removed while the container runs on', async () => {
    const id = await start(daemon, counting({ Runtime: 'recorder' }));
    const { Pid } = (await inspect(daemon, id)).State;
    expect(await names(id)).toEqual([]);
    expect((await checkpoint(id, { CheckpointID: 'one' })).status).toBe(201);
    expect(asked('checkpoint').at(-1)).toMatch(
      / checkpoint --image-path \S+\/\.new-one --work-path \S+ --file-locks --leave-running [0-9a-f]{64}$/,
    );
    expect((await inspect(daemon, id)).State).toMatchObject({ Running: true, Pid });
    expect(await names(id)).toEqual(['one']);
    expect(await message(checkpoint(id, { CheckpointID: 'one' }))).toEqual([
      409,
      `cannot checkpoint container ${id}: checkpoint with name one already exists for container ${(await inspect(daemon, id)).Name.slice(1)}`,
    ]);
    await daemon.api.expect('DELETE', `/containers/${id}/checkpoints/one`, { status: 204 });
    expect(await names(id)).toEqual([]);
    expect(await message(daemon.api.delete(`/containers/${id}/checkpoints/one`))).toEqual([
      404,
      `checkpoint one does not exist for container ${(await inspect(daemon, id)).Name.slice(1)}`,
    ]);
    await remove(daemon, id);
  });

  test('end the container when asked, whatever its restart policy; it goes on from there', async () => {
    const id = await start(daemon, counting({ Runtime: 'recorder', RestartPolicy: { Name: 'always' } }));
    const ended = waitForExit(daemon, id);
    await daemon.api.expect('POST', `/containers/${id}/checkpoints`, { body: { CheckpointID: 'one', Exit: true }, status: 201 });
    expect(asked('checkpoint').at(-1)).not.toContain('--leave-running');
    expect(await ended).toBe(137);
    expect((await inspect(daemon, id)).State.Status).toBe('exited');
    await daemon.api.expect('POST', `/containers/${id}/start?checkpoint=one`, { status: 204 });
    const place = join(daemon.dataRoot, 'containers', id, 'checkpoints/one');
    expect(asked('restore').at(-1)).toContain(`--image-path ${place} `);
    expect((await inspect(daemon, id)).State.Status).toBe('running');
    const count = (await lines(daemon, id)).length;
    await eventually('what it writes is logged', async () => (await lines(daemon, id)).length > count + 2);
    await daemon.api.expect('POST', `/containers/${id}/stop?t=0`);
    expect((await inspect(daemon, id)).State.Status).toBe('exited');
    await remove(daemon, id);
    await eventually('its checkpoints are gone', () => !existsSync(place));
  });

  test('are kept elsewhere when asked', async () => {
    const place = join(folder, 'elsewhere');
    const id = await start(daemon, counting({ Runtime: 'recorder' }));
    await daemon.api.expect('POST', `/containers/${id}/checkpoints`, { body: { CheckpointID: 'two', CheckpointDir: place, Exit: true } });
    await eventually('it ends', async () => !(await inspect(daemon, id)).State.Running);
    expect(readdirSync(place)).toEqual(['two']);
    expect(await names(id, `?dir=${place}`)).toEqual(['two']);
    expect(await names(id)).toEqual([]);
    // Another container with the same root can go on from it.
    const other = await create(daemon, counting({ Runtime: 'recorder' }));
    await daemon.api.expect('POST', `/containers/${other}/start?checkpoint=two&checkpoint-dir=${place}`, { status: 204 });
    expect((await inspect(daemon, other)).State.Running).toBe(true);
    for (const each of [id, other]) await remove(daemon, each);
    await daemon.api.expect('GET', '/_ping');
    expect(readdirSync(place)).toEqual(['two']);
  });

  test('survive a daemon that ends before it could name them', async () => {
    await daemon.stop();
    await daemon.start({ BERTH_FAILPOINT: 'container.checkpoint.written' });
    const id = await start(daemon, counting({ Runtime: 'recorder' }));
    await daemon.api.post(`/containers/${id}/checkpoints`, { CheckpointID: 'one', Exit: true }).catch(() => undefined);
    await daemon.exited();
    await daemon.start();
    expect(await names(id)).toEqual(['one']);
    expect((await inspect(daemon, id)).State.Running).toBe(false);
    await daemon.api.expect('POST', `/containers/${id}/start?checkpoint=one`, { status: 204 });
    await remove(daemon, id);
  });

  test('are told as events', async () => {
    const since = Math.floor(Date.now() / 1000);
    const id = await start(daemon, counting({ Runtime: 'recorder' }));
    await daemon.api.expect('POST', `/containers/${id}/checkpoints`, { body: { CheckpointID: 'one' } });
    const filters = encodeURIComponent(JSON.stringify({ container: [id], event: ['checkpoint'] }));
    const response = await daemon.api.open(
      'GET',
      `/events?since=${String(since)}&until=${String(Math.floor(Date.now() / 1000) + 1)}&filters=${filters}`,
    );
    expect(await response.text()).toContain(`"Action":"checkpoint"`);
    await remove(daemon, id);
  });

  test('that fail leave the container as it was, and nothing else', async () => {
    const id = await start(daemon, counting({ Runtime: 'recorder' }));
    writeFileSync(join(folder, 'fail'), '');
    try {
      expect(await message(checkpoint(id, { CheckpointID: 'one', Exit: true }))).toEqual([
        400,
        `Cannot checkpoint container ${id}: recorder did not save the container: criu failed: type NOTIFY errno 0: Can't dump this`,
      ]);
    } finally {
      await rm(join(folder, 'fail'));
    }
    expect((await inspect(daemon, id)).State.Running).toBe(true);
    expect(readdirSync(join(daemon.dataRoot, 'containers', id, 'checkpoints'))).toEqual([]);
    await remove(daemon, id);
  });

  test('of what cannot be saved, or under names that are none, are refused', async () => {
    const id = await create(daemon, counting({ Runtime: 'recorder' }));
    expect(await message(checkpoint(id, { CheckpointID: 'one' }))).toEqual([409, `Container ${id} not running`]);
    await daemon.api.expect('POST', `/containers/${id}/start`);
    for (const name of ['', '../up', '.hidden', 'a/b']) {
      expect(await message(checkpoint(id, { CheckpointID: name }))).toEqual([
        400,
        `Invalid checkpoint ID (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
      ]);
    }
    expect((await daemon.api.delete(`/containers/${id}/checkpoints/${encodeURIComponent('../..')}`)).status).toBe(404);
    const terminal = await start(daemon, { ...counting({ Runtime: 'recorder' }), Tty: true });
    expect(await message(checkpoint(terminal, { CheckpointID: 'one' }))).toEqual([400, 'checkpoint not support on containers with tty']);
    for (const each of [id, terminal]) await remove(daemon, each);
  });

  test('a runtime without CRIU says so', async () => {
    const id = await start(daemon, counting({ Runtime: 'crun' }));
    const { json } = await checkpoint(id, { CheckpointID: 'one' });
    expect(json.message).toBe(
      `Cannot checkpoint container ${id}: the OCI runtime crun is built without CRIU: create the container with another runtime, such as --runtime runc`,
    );
    await remove(daemon, id);
  });

  test('without the program criu runc is not asked', async () => {
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    await using other = await startDaemon({
      args: ['--experimental', '--default-runtime', 'runc'],
      env: { PATH: `${bin}:/usr/bin:/bin` },
    });
    const id = await start(other, counting({}));
    const { json } = await other.api.post<{ message: string }>(`/containers/${id}/checkpoints`, { CheckpointID: 'one' });
    expect(json.message).toContain('there is no program criu on this machine');
    await remove(other, id);
  }, 60_000);
});

describe('without experimental features', () => {
  test('checkpoints are not served, in the words that clients know', async () => {
    await using daemon = await startDaemon();
    const id = await create(daemon, counting({}));
    const disabled =
      'This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it.';
    expect(await message(daemon.api.get(`/containers/${id}/checkpoints`))).toEqual([501, disabled]);
    expect(await message(daemon.api.post(`/containers/${id}/checkpoints`, { CheckpointID: 'x' }))).toEqual([501, disabled]);
    expect(await message(daemon.api.delete(`/containers/${id}/checkpoints/x`))).toEqual([501, disabled]);
    expect(await message(daemon.api.post(`/containers/${id}/start?checkpoint=x`))).toEqual([
      400,
      'checkpoint is only supported in experimental mode',
    ]);
    for (const command of [
      ['checkpoint', 'ls', id],
      ['checkpoint', 'create', id, 'x'],
      ['checkpoint', 'rm', id, 'x'],
    ]) {
      const { exitCode, stderr } = await daemon.berth(command);
      expect([exitCode, stderr.trim()]).toEqual([
        1,
        `berth ${command.slice(0, 2).join(' ')} is only supported on a Docker daemon with experimental features enabled`,
      ]);
    }
  }, 60_000);
});

needs('root', 'conmon', 'nft', 'runc', 'criu').describe('checkpoints, through CRIU', () => {
  test('a process goes on counting where it was saved', async () => {
    await using daemon = await startDaemon({
      args: ['--experimental', '--default-runtime', 'runc'],
      env: { PATH: pathWithCriu() },
    });
    const id = await start(daemon, counting({}), 'counter');
    await eventually('it counts', async () => (await lines(daemon, id)).length > 5);
    expect(await daemon.berth(['checkpoint', 'create', 'counter', 'one'])).toMatchObject({ exitCode: 0, stdout: 'one\n' });
    await eventually('it ends', async () => !(await inspect(daemon, id)).State.Running);
    expect((await daemon.berth(['checkpoint', 'ls', 'counter'])).stdout).toBe('CHECKPOINT NAME\none\n');
    const saved = Number((await lines(daemon, id)).at(-1));
    expect(await daemon.berth(['start', '--checkpoint', 'one', 'counter'])).toMatchObject({ exitCode: 0 });
    await eventually('it goes on', async () => Number((await lines(daemon, id)).at(-1)) > saved + 5);
    // Nothing is counted twice, nothing left out, nothing begun anew.
    const counted = await lines(daemon, id);
    expect(counted).toEqual(counted.map((_, index) => String(index + 1)));
    await daemon.kill();
    await daemon.start();
    expect((await inspect(daemon, id)).State.Running).toBe(true);
    await daemon.berth(['checkpoint', 'create', '--leave-running', 'counter', 'two']);
    expect((await inspect(daemon, id)).State.Running).toBe(true);
    expect(await daemon.berth(['checkpoint', 'rm', 'counter', 'one'])).toMatchObject({ exitCode: 0, stdout: '' });
    expect((await daemon.berth(['checkpoint', 'ls', 'counter'])).stdout).toBe('CHECKPOINT NAME\ntwo\n');
    await remove(daemon, id);
  }, 60_000);
});
