import { expect } from 'bun:test';
import { execIn, remove, sharedDaemon, start, waiting, create, sh } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

interface ExecState {
  readonly ID: string;
  readonly Running: boolean;
  readonly ExitCode: number | null;
  readonly ContainerID: string;
  readonly ProcessConfig: { readonly entrypoint: string; readonly arguments: readonly string[]; readonly tty: boolean };
}

describe('exec', () => {
  const daemon = sharedDaemon();

  test('output, errors and exit code', async () => {
    const id = await start(daemon(), waiting());
    expect(await execIn(daemon(), id, ['sh', '-c', 'echo out; echo err >&2; exit 9'])).toEqual({
      exitCode: 9,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    await remove(daemon(), id);
  });

  test('input, and its end', async () => {
    const id = await start(daemon(), waiting());
    const { Id } = await daemon().api.expect<{ Id: string }>('POST', `/containers/${id}/exec`, {
      body: { Cmd: ['sh', '-c', 'tr a-z A-Z; echo done'], AttachStdin: true, AttachStdout: true },
    });
    using connection = await daemon().api.hijack(`/exec/${Id}/start`, {});
    expect(connection.status).toBe(101);
    connection.write('hello\n');
    await eventually('the first line is back', () => connection.streams().stdout === '' || connection.streams().stdout.includes('HELLO'));
    connection.end();
    await connection.closed;
    expect(connection.streams().stdout).toBe('HELLO\ndone\n');
    await remove(daemon(), id);
  });

  test('user, environment, working directory, privileges of its own', async () => {
    const id = await start(daemon(), waiting({ Env: ['FROM=container'], User: '5' }));
    const { stdout } = await execIn(daemon(), id, ['sh', '-c', 'id -u; pwd; echo $FROM $MORE'], {
      User: '7:8',
      WorkingDir: '/etc',
      Env: ['MORE=exec'],
    });
    expect(stdout).toBe('7\n/etc\ncontainer exec\n');
    expect((await execIn(daemon(), id, ['id', '-u'])).stdout).toBe('5\n');
    await remove(daemon(), id);
  });

  test('a terminal: one stream, its size', async () => {
    const id = await start(daemon(), waiting());
    const { Id } = await daemon().api.expect<{ Id: string }>('POST', `/containers/${id}/exec`, {
      body: { Cmd: ['sh'], AttachStdin: true, AttachStdout: true, AttachStderr: true, Tty: true },
    });
    using connection = await daemon().api.hijack(`/exec/${Id}/start`, { Tty: true });
    await eventually('a prompt', () => connection.raw().toString().includes('#'));
    await daemon().api.expect('POST', `/exec/${Id}/resize?h=33&w=99`);
    connection.write('stty size; exit 4\n');
    await connection.closed;
    expect(connection.raw().toString()).toContain('33 99');
    expect((await daemon().api.expect<ExecState>('GET', `/exec/${Id}/json`)).ExitCode).toBe(4);
    await remove(daemon(), id);
  });

  test('detached: goes on by itself and can be asked how it ended', async () => {
    const id = await start(daemon(), waiting());
    const { Id } = await daemon().api.expect<{ Id: string }>('POST', `/containers/${id}/exec`, {
      body: { Cmd: ['sh', '-c', 'sleep 0.3; exit 6'] },
    });
    await daemon().api.expect('POST', `/exec/${Id}/start`, { body: { Detach: true }, status: 200 });
    expect(await daemon().api.expect<ExecState>('GET', `/exec/${Id}/json`)).toMatchObject({
      ID: Id,
      Running: true,
      ExitCode: null,
      ContainerID: id,
      ProcessConfig: { entrypoint: 'sh', arguments: ['-c', 'sleep 0.3; exit 6'], tty: false },
    });
    const ended = await eventually('it ended', async () => {
      const state = await daemon().api.expect<ExecState>('GET', `/exec/${Id}/json`);
      return state.Running ? undefined : state;
    });
    expect(ended.ExitCode).toBe(6);
    await remove(daemon(), id);
  });

  test('what cannot be executed: 127, 126', async () => {
    const id = await start(daemon(), waiting());
    expect((await execIn(daemon(), id, ['/no/such'])).exitCode).toBe(127);
    expect((await execIn(daemon(), id, ['/etc/passwd'])).exitCode).toBe(126);
    await remove(daemon(), id);
  });

  test('only in a running container; only once; only a known one', async () => {
    const stopped = await create(daemon(), sh('true'));
    const refused = await daemon().api.post<{ message: string }>(`/containers/${stopped}/exec`, { Cmd: ['true'] });
    expect(refused.status).toBe(409);
    expect(refused.json.message).toContain('is not running');
    await remove(daemon(), stopped);

    const id = await start(daemon(), waiting());
    const { Id } = await daemon().api.expect<{ Id: string }>('POST', `/containers/${id}/exec`, { body: { Cmd: ['sleep', '100'] } });
    await daemon().api.expect('POST', `/exec/${Id}/start`, { body: { Detach: true } });
    expect((await daemon().api.post(`/exec/${Id}/start`, { Detach: true })).status).toBe(409);
    expect((await daemon().api.get('/exec/unknown/json')).status).toBe(404);
    expect((await daemon().api.post('/exec/unknown/start', { Detach: true })).status).toBe(404);
    expect((await daemon().api.post(`/containers/${id}/exec`, { Cmd: [] })).status).toBe(400);
    await remove(daemon(), id);
  });

  test('an exec ends with its container, and its exit code is known when its client hears of it', async () => {
    const endsWithContainer = async (): Promise<number> => {
      const id = await start(daemon(), waiting());
      const running = execIn(daemon(), id, ['sleep', '1000']);
      const top = `/containers/${id}/top`;
      await eventually('sleep runs', async () => JSON.stringify(await daemon().api.expect('GET', top)).includes('sleep 1000'));
      await daemon().api.expect('POST', `/containers/${id}/kill`);
      const { exitCode } = await running;
      await remove(daemon(), id);
      return exitCode;
    };
    expect(await Promise.all(Array.from({ length: 12 }, endsWithContainer))).toEqual(Array.from({ length: 12 }, () => 137));
  });
});
