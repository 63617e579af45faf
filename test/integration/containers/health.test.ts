import { expect } from 'bun:test';
import { create, execIn, inspect, remove, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

const ms = 1_000_000;

interface Health {
  readonly Status: string;
  readonly FailingStreak: number;
  readonly Log: readonly { readonly Start: string; readonly End: string; readonly ExitCode: number; readonly Output: string }[];
}

describe('health checks', () => {
  const daemon = sharedDaemon();
  const healthOf = async (id: string): Promise<Health | undefined> =>
    (await daemon().api.expect<{ State: { Health?: Health } }>('GET', `/containers/${id}/json`)).State.Health;
  const becomes = (id: string, status: string): Promise<Health> =>
    eventually(`it is ${status}`, async () => {
      const health = await healthOf(id);
      return health?.Status === status ? health : undefined;
    });
  const probed = (id: string, times = 1): Promise<Health> =>
    eventually(`${String(times)} probes have ended`, async () => {
      const health = await healthOf(id);
      return health !== undefined && health.Log.length >= times ? health : undefined;
    });
  const statusOf = async (id: string): Promise<string> => {
    const listed = await daemon().api.expect<{ Status: string }[]>(
      'GET',
      `/containers/json?all=1&filters=${encodeURIComponent(JSON.stringify({ id: [id] }))}`,
    );
    return listed[0]?.Status ?? '';
  };
  const withHealth = async (health: string): Promise<string[]> => {
    const filters = encodeURIComponent(JSON.stringify({ health: [health] }));
    return (await daemon().api.expect<{ Id: string }[]>('GET', `/containers/json?all=1&filters=${filters}`)).map(({ Id }) => Id);
  };
  const checked = (Test: readonly string[], more: object = {}): object => ({
    Healthcheck: { Test, Interval: 50 * ms, Timeout: 20_000 * ms, Retries: 2, ...more },
  });
  const fileCheck = (more: object = {}) => checked(['CMD-SHELL', 'test -e /ok && echo fine || { echo missing >&2; exit 3; }'], more);

  test('starting, healthy, unhealthy and back: in inspect, in the list, as filter', async () => {
    const id = await start(daemon(), waiting(fileCheck({ Interval: 300 * ms })));
    expect(await healthOf(id)).toEqual({ Status: 'starting', FailingStreak: 0, Log: [] });
    expect(await statusOf(id)).toMatch(/^Up .* \(health: starting\)$/);
    expect(await withHealth('starting')).toContain(id);
    const unhealthy = await becomes(id, 'unhealthy');
    expect(unhealthy.FailingStreak).toBe(2);
    expect(unhealthy.Log[0]).toMatchObject({ ExitCode: 3, Output: 'missing\n' });
    expect(await statusOf(id)).toMatch(/^Up .* \(unhealthy\)$/);
    await execIn(daemon(), id, ['touch', '/ok']);
    const healthy = await becomes(id, 'healthy');
    expect(healthy).toMatchObject({ FailingStreak: 0 });
    expect(healthy.Log.at(-1)).toMatchObject({ ExitCode: 0, Output: 'fine\n' });
    expect(await statusOf(id)).toMatch(/^Up .* \(healthy\)$/);
    expect(await withHealth('healthy')).toEqual([id]);
    expect(await withHealth('none')).not.toContain(id);
    await remove(daemon(), id);
  });

  test('the first probe comes after one interval, the next an interval after its end', async () => {
    const id = await start(daemon(), waiting(checked(['CMD', 'sleep', '0.2'], { Interval: 400 * ms })));
    const { Log } = await probed(id, 2);
    const { StartedAt } = (await inspect(daemon(), id)).State;
    const [first, second] = Log;
    const between = (from = '', to = '') => Date.parse(to) - Date.parse(from);
    expect(between(StartedAt, first?.Start)).toBeGreaterThanOrEqual(399);
    expect(between(first?.Start, first?.End)).toBeGreaterThanOrEqual(200);
    expect(between(first?.End, second?.Start)).toBeGreaterThanOrEqual(399);
    await remove(daemon(), id);
  });

  test('in the start period failures do not count, and probes come at their own interval', async () => {
    const health = fileCheck({ Interval: 3_600_000 * ms, StartPeriod: 3_600_000 * ms, StartInterval: 50 * ms, Retries: 1 });
    const id = await start(daemon(), waiting(health));
    expect(await probed(id, 5)).toMatchObject({ Status: 'starting', FailingStreak: 0 });
    await execIn(daemon(), id, ['touch', '/ok']);
    await becomes(id, 'healthy');
    await remove(daemon(), id);
  });

  test('five entries are kept, of 4,096 bytes each', async () => {
    const id = await start(daemon(), waiting(checked(['CMD-SHELL', 'head -c 5000 /dev/zero | tr "\\000" x; date +%s%N >> /count'])));
    await eventually('seven probes', async () => (await execIn(daemon(), id, ['wc', '-l', '/count'])).stdout.startsWith('7'));
    const { Log } = (await healthOf(id)) ?? { Log: [] };
    expect(Log).toHaveLength(5);
    for (const { Output } of Log) expect(Output).toBe(`${'x'.repeat(4096)}...`);
    await remove(daemon(), id);
  });

  test('a probe that takes too long is ended with all it started', async () => {
    const script = 'echo waiting; sleep 1001 & (sleep 1002; true) & sleep 1003; true';
    const id = await start(daemon(), waiting(checked(['CMD-SHELL', script], { Interval: 100 * ms, Timeout: 300 * ms, Retries: 1 })));
    const { Log } = await becomes(id, 'unhealthy');
    expect(Log[0]).toMatchObject({ ExitCode: -1, Output: 'Health check exceeded timeout (300ms): waiting\n' });
    await daemon().api.expect('POST', `/containers/${id}/pause`);
    await daemon().api.expect('POST', `/containers/${id}/unpause`);
    const { Processes } = await eventually('no probe runs', async () => {
      const top = await daemon().api.expect<{ Processes: string[][] }>('GET', `/containers/${id}/top`);
      return top.Processes.some(line => /sleep 100[123]/.test(line.at(-1) ?? '')) ? undefined : top;
    });
    expect(Processes.length).toBeGreaterThan(0);
    await remove(daemon(), id);
  });

  test('what a probe leaves behind on purpose does not hold it up', async () => {
    const id = await start(daemon(), waiting(checked(['CMD-SHELL', 'setsid sleep 1000 & echo left'])));
    expect((await becomes(id, 'healthy')).Log[0]).toMatchObject({ ExitCode: 0, Output: 'left\n' });
    await remove(daemon(), id);
  });

  test('a probe that cannot be started is a failed one', async () => {
    const id = await start(daemon(), waiting(checked(['CMD', 'no-such-program'], { Retries: 1 })));
    const { Log } = await becomes(id, 'unhealthy');
    expect(Log[0]?.ExitCode).toBe(-1);
    expect(Log[0]?.Output).toContain('exec: "no-such-program": executable file not found in $PATH');
    await remove(daemon(), id);
  });

  test('it runs as the user, in the directory and with the environment of the container', async () => {
    const body = { ...checked(['CMD-SHELL', 'echo $(id -u) $(pwd) $WHO']), User: '7', WorkingDir: '/tmp', Env: ['WHO=me'] };
    const id = await start(daemon(), waiting(body));
    expect((await becomes(id, 'healthy')).Log[0]?.Output).toBe('7 /tmp me\n');
    await remove(daemon(), id);
  });

  test('a paused container is not probed and counts as unhealthy; so does one that has ended; a new start begins anew', async () => {
    const id = await start(daemon(), waiting(checked(['CMD', 'true'])));
    await becomes(id, 'healthy');
    await daemon().api.expect('POST', `/containers/${id}/pause`);
    const paused = await healthOf(id);
    expect(paused?.Status).toBe('unhealthy');
    expect(await statusOf(id)).toMatch(/\(Paused\)$/);
    await daemon().api.expect('POST', `/containers/${id}/unpause`);
    await becomes(id, 'healthy');
    await daemon().api.expect('POST', `/containers/${id}/stop?t=0`);
    const stopped = await healthOf(id);
    expect(stopped?.Status).toBe('unhealthy');
    expect(await withHealth('unhealthy')).toContain(id);
    await daemon().api.expect('POST', `/containers/${id}/start`);
    await becomes(id, 'healthy');
    await remove(daemon(), id);
  });

  test.each([[['NONE']], [['UNKNOWN', 'true']], [[]]])('%p is no health check', async Test => {
    const id = await start(daemon(), waiting(checked(Test)));
    expect(await healthOf(id)).toBeUndefined();
    expect(await withHealth('none')).toContain(id);
    await remove(daemon(), id);
  });

  test('events: every probe is an exec, every change of status is told once', async () => {
    const since = Date.now() / 1000;
    const id = await start(daemon(), waiting(fileCheck()));
    await becomes(id, 'unhealthy');
    await execIn(daemon(), id, ['touch', '/ok']);
    await becomes(id, 'healthy');
    await daemon().api.expect('POST', `/containers/${id}/kill`);
    const query = `since=${String(since)}&until=${String(Date.now() / 1000)}`;
    const events = async (filters: object): Promise<{ Action: string; Actor: { Attributes: Record<string, string> } }[]> => {
      const { text } = await daemon().api.get(
        `/events?${query}&filters=${encodeURIComponent(JSON.stringify({ container: [id], ...filters }))}`,
      );
      return text
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as { Action: string; Actor: { Attributes: Record<string, string> } });
    };
    const statuses = await events({ event: ['health_status'] });
    expect(statuses.map(({ Action }) => Action)).toEqual(['health_status: unhealthy', 'health_status: healthy']);
    const first = (await events({})).filter(({ Action }) => Action.startsWith('exec')).slice(0, 3);
    expect(first.map(({ Action }) => Action.split(':')[0])).toEqual(['exec_create', 'exec_start', 'exec_die']);
    expect(new Set(first.map(({ Actor }) => Actor.Attributes.execID)).size).toBe(1);
    expect(first[2]?.Actor.Attributes.exitCode).toBe('3');
    await remove(daemon(), id);
  });

  test('a new daemon goes on where the old one stopped', async () => {
    if (process.env.BERTH_TEST_HOST !== undefined) return;
    const id = await start(daemon(), waiting(fileCheck({ Interval: 200 * ms })), 'outlasting');
    await execIn(daemon(), id, ['touch', '/ok']);
    const before = await becomes(id, 'healthy');
    await daemon().kill();
    await daemon().start();
    const after = await healthOf(id);
    expect(after?.Status).toBe('healthy');
    expect(after?.Log[0]).toEqual(before.Log[0]);
    await eventually('a later probe', async () => (await probed(id)).Log.at(-1)?.Start !== before.Log.at(-1)?.Start);
    await execIn(daemon(), id, ['rm', '/ok']);
    expect(await becomes(id, 'unhealthy')).toMatchObject({ Status: 'unhealthy' });
    await daemon().restart();
    expect((await healthOf(id))?.Status).toBe('unhealthy');
    await remove(daemon(), id);
  });

  test('what makes no sense is refused', async () => {
    const refused = async (Healthcheck: object): Promise<string> => {
      const { status, json } = await daemon().api.post<{ message: string }>('/containers/create', { Image: 'busybox', Healthcheck });
      expect(status).toBe(400);
      return json.message;
    };
    for (const name of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval']) {
      expect(await refused({ Test: ['CMD', 'true'], [name]: 999_999 })).toBe(`${name} in Healthcheck cannot be less than 1ms`);
      expect(await refused({ Test: ['CMD', 'true'], [name]: -1 })).toBe(`${name} in Healthcheck cannot be less than 1ms`);
    }
    expect(await refused({ Test: ['CMD', 'true'], Retries: -1 })).toBe('Retries in Healthcheck cannot be negative');
    const bad = await daemon().api.get(`/containers/json?filters=${encodeURIComponent(JSON.stringify({ health: ['sick'] }))}`);
    expect(bad.status).toBe(400);
  });

  test('a container that was only created is not probed', async () => {
    const id = await create(daemon(), waiting(checked(['CMD', 'true'])));
    expect(await healthOf(id)).toBeUndefined();
    await remove(daemon(), id);
  });
});
