import { expect } from 'bun:test';
import {
  create,
  inspect,
  logsOf,
  outputOf,
  remove,
  runToEnd,
  sh,
  sharedDaemon,
  start,
  waitForExit,
  waiting,
} from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

describe('the life of a container', () => {
  const daemon = sharedDaemon();

  test('create answers 201 with a 64-digit id, inspect shows it as created', async () => {
    const id = await create(daemon(), sh('true'), 'made');
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    const { Name, State, Config, Path, Args } = await inspect(daemon(), 'made');
    expect(Name).toBe('/made');
    expect(State).toMatchObject({ Status: 'created', Running: false, Pid: 0, ExitCode: 0, StartedAt: '0001-01-01T00:00:00Z' });
    expect(Config.Hostname).toBe(id.slice(0, 12));
    expect([Path, ...Args]).toEqual(['sh', '-c', 'true']);
    await remove(daemon(), id);
  });

  test('a container is found by its name, its id, and a prefix of its id', async () => {
    const id = await create(daemon(), sh('true'), 'found');
    for (const name of ['found', id, id.slice(0, 12), id.slice(0, 6)]) {
      expect((await inspect(daemon(), name)).Id).toBe(id);
    }
    await remove(daemon(), id);
  });

  test('stdout and stderr are kept apart, the exit code is kept', async () => {
    const { exitCode, stdout, stderr } = await runToEnd(daemon(), sh('echo out; echo err >&2; exit 42'));
    expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 42, stdout: 'out\n', stderr: 'err\n' });
  });

  test('a signal ends it with 128 + n', async () => {
    const id = await start(daemon(), sh('sleep 100'));
    await daemon().api.expect('POST', `/containers/${id}/kill`, { status: 204 });
    expect(await waitForExit(daemon(), id)).toBe(137);
    expect((await inspect(daemon(), id)).State).toMatchObject({ Status: 'exited', Running: false, ExitCode: 137, OOMKilled: false });
    await remove(daemon(), id);
  });

  test('stop sends the stop signal first; a second stop is 304', async () => {
    const id = await start(
      daemon(),
      sh('trap "echo got it; exit 3" USR1; echo ready; while :; do sleep 0.1; done', { StopSignal: 'SIGUSR1' }),
    );
    await eventually('the trap is set', async () => (await logsOf(daemon(), id)).stdout.includes('ready'));
    await daemon().api.expect('POST', `/containers/${id}/stop`, { status: 204 });
    expect((await inspect(daemon(), id)).State.ExitCode).toBe(3);
    expect((await logsOf(daemon(), id)).stdout).toBe('ready\ngot it\n');
    expect((await daemon().api.post(`/containers/${id}/stop`)).status).toBe(304);
    await remove(daemon(), id);
  });

  test('stop kills what ignores the stop signal, after the time it was given', async () => {
    const id = await start(daemon(), sh('trap "" TERM; echo ready; while :; do sleep 1; done'));
    await eventually('the trap is set', async () => (await logsOf(daemon(), id)).stdout.includes('ready'));
    const began = performance.now();
    await daemon().api.expect('POST', `/containers/${id}/stop?t=1`, { status: 204 });
    expect(performance.now() - began).toBeWithin(900, 6000);
    expect((await inspect(daemon(), id)).State.ExitCode).toBe(137);
    await remove(daemon(), id);
  });

  test('a second start is 304, a start after the end runs it again with the same files', async () => {
    const id = await start(daemon(), sh('echo run >>/runs; cat /runs; [ $(wc -l </runs) -gt 1 ] || sleep 100', { HostConfig: {} }));
    expect((await daemon().api.post(`/containers/${id}/start`)).status).toBe(304);
    await eventually('it has run once', async () => (await logsOf(daemon(), id)).stdout === 'run\n');
    await daemon().api.expect('POST', `/containers/${id}/kill`, { status: 204 });
    await waitForExit(daemon(), id);
    await daemon().api.expect('POST', `/containers/${id}/start`, { status: 204 });
    expect(await waitForExit(daemon(), id)).toBe(0);
    expect((await logsOf(daemon(), id)).stdout).toBe('run\nrun\nrun\n');
    await remove(daemon(), id);
  });

  test('restart gives it a new process', async () => {
    const id = await start(daemon(), waiting());
    const { Pid } = (await inspect(daemon(), id)).State;
    await daemon().api.expect('POST', `/containers/${id}/restart?t=5`, { status: 204 });
    const { State } = await inspect(daemon(), id);
    expect(State.Running).toBe(true);
    expect(State.Pid).not.toBe(Pid);
    await remove(daemon(), id);
  });

  test('kill with another signal', async () => {
    const id = await start(daemon(), sh('trap "exit 7" HUP; echo ready; while :; do sleep 0.1; done'));
    await eventually('the trap is set', async () => (await logsOf(daemon(), id)).stdout.includes('ready'));
    await daemon().api.expect('POST', `/containers/${id}/kill?signal=HUP`, { status: 204 });
    expect(await waitForExit(daemon(), id)).toBe(7);
    expect((await daemon().api.post(`/containers/${id}/kill`)).status).toBe(409);
    await remove(daemon(), id);
  });

  test('wait with next-exit and removed', async () => {
    const id = await create(daemon(), sh('exit 5', { HostConfig: { AutoRemove: true } }));
    const nextExit = daemon().api.expect('POST', `/containers/${id}/wait?condition=next-exit`);
    const removed = daemon().api.expect('POST', `/containers/${id}/wait?condition=removed`);
    await Bun.sleep(50);
    await daemon().api.expect('POST', `/containers/${id}/start`, { status: 204 });
    expect(await nextExit).toMatchObject({ StatusCode: 5 });
    expect(await removed).toMatchObject({ StatusCode: 5 });
    expect((await daemon().api.get(`/containers/${id}/json`)).status).toBe(404);
  });

  test('rename; the old name is free again', async () => {
    const id = await create(daemon(), sh('true'), 'before');
    await daemon().api.expect('POST', `/containers/${id}/rename?name=after`, { status: 204 });
    expect((await inspect(daemon(), 'after')).Id).toBe(id);
    expect((await daemon().api.get('/containers/before/json')).status).toBe(404);
    const other = await create(daemon(), sh('true'), 'before');
    expect((await daemon().api.post(`/containers/${other}/rename?name=after`)).status).toBe(409);
    await remove(daemon(), id);
    await remove(daemon(), other);
  });

  test('remove: 409 while it runs, gone with force', async () => {
    const id = await start(daemon(), waiting());
    const refused = await daemon().api.delete(`/containers/${id}`);
    expect(refused.status).toBe(409);
    expect(refused.text).toMatch(/cannot remove (a running )?container/);
    await remove(daemon(), id);
    expect((await daemon().api.get(`/containers/${id}/json`)).status).toBe(404);
  });

  test('top lists its processes', async () => {
    const id = await start(daemon(), waiting());
    const { Titles, Processes } = await daemon().api.expect<{ Titles: string[]; Processes: string[][] }>('GET', `/containers/${id}/top`);
    expect(Titles).toContain('PID');
    const column = Titles.indexOf('PID');
    expect(Processes.map(row => Number(row[column]))).toContain((await inspect(daemon(), id)).State.Pid);
    await remove(daemon(), id);
  });

  test('127 for a command that does not exist, 126 for one that cannot be executed, and the container says why', async () => {
    for (const [command, exitCode] of [
      ['/no/such/program', 127],
      ['/etc/passwd', 126],
    ] as const) {
      const id = await create(daemon(), { Cmd: [command] });
      const answer = await daemon().api.post<{ message: string }>(`/containers/${id}/start`);
      expect(answer.status).toBe(400);
      expect(answer.json.message).toContain(command);
      const { State } = await inspect(daemon(), id);
      expect(State).toMatchObject({ Status: 'created', ExitCode: exitCode });
      expect(State.Error).toContain(command);
      await remove(daemon(), id);
    }
  });

  test('the writable layer is private', async () => {
    expect(await outputOf(daemon(), 'touch /mine && ls /mine')).toBe('/mine');
    expect(await outputOf(daemon(), 'ls /mine 2>/dev/null || echo clean')).toBe('clean');
  });
});
