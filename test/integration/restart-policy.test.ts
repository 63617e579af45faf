import { expect } from 'bun:test';
import { create, execIn, inspect, remove, sh, sharedDaemon, start } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');
const policy = (Name: string, MaximumRetryCount = 0) => ({ HostConfig: { RestartPolicy: { Name, MaximumRetryCount } } });

const running = 'trap "exit 0" TERM; while :; do sleep 0.1; done';

describe('restart policies', () => {
  const daemon = sharedDaemon();

  test('on-failure starts it again, as often as it was told', async () => {
    const id = await start(daemon(), sh('exit 1', policy('on-failure', 2)));
    const ended = await eventually('it gave up', async () => {
      const seen = await inspect(daemon(), id);
      return seen.State.Status === 'exited' && seen.RestartCount === 2 ? seen : undefined;
    });
    expect(ended.State.ExitCode).toBe(1);
    await remove(daemon(), id);
  });

  test('on-failure leaves success alone', async () => {
    const id = await start(daemon(), sh('exit 0', policy('on-failure')));
    await eventually('it ended', async () => (await inspect(daemon(), id)).State.Status === 'exited');
    expect((await inspect(daemon(), id)).RestartCount).toBe(0);
    await remove(daemon(), id);
  });

  test('pauses double from 100 ms', async () => {
    const since = Date.now() / 1000;
    const id = await start(daemon(), sh('exit 1', policy('always')));
    await eventually('four restarts', async () => (await inspect(daemon(), id)).RestartCount >= 4);
    await daemon().api.expect('POST', `/containers/${id}/stop`);
    const filters = JSON.stringify({ container: [id], event: ['start', 'die'] });
    const { text } = await daemon().api.get(
      `/events?since=${String(since)}&until=${String(Date.now() / 1000)}&filters=${encodeURIComponent(filters)}`,
    );
    const events = text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { Action: string; timeNano: number });
    expect(events.slice(0, 4).map(({ Action }) => Action)).toEqual(['start', 'die', 'start', 'die']);
    const pauses = [1, 3, 5, 7].map(at => Math.round(((events[at + 1]?.timeNano ?? 0) - (events[at]?.timeNano ?? 0)) / 1e6));
    for (const [i, pause] of pauses.entries()) expect(pause).toBeGreaterThanOrEqual(100 * 2 ** i - 1);
    await remove(daemon(), id);
  });

  test('always starts it again until somebody stops it', async () => {
    const id = await start(daemon(), sh('sleep 0.1', policy('always')));
    await eventually('it came back twice', async () => (await inspect(daemon(), id)).RestartCount >= 2);
    await daemon().api.expect('POST', `/containers/${id}/stop?t=1`);
    const { RestartCount } = await inspect(daemon(), id);
    await Bun.sleep(500);
    expect((await inspect(daemon(), id)).State.Status).toBe('exited');
    expect((await inspect(daemon(), id)).RestartCount).toBe(RestartCount);
    await daemon().api.expect('POST', `/containers/${id}/start`, { status: 204 });
    await eventually('it comes back again, counted from the beginning', async () => (await inspect(daemon(), id)).RestartCount === 1);
    await remove(daemon(), id);
  });

  test('killed while it waits for its next start, it stays down', async () => {
    const since = String(Date.now() / 1000);
    const id = await start(daemon(), sh('exit 1', policy('always')));
    const filters = encodeURIComponent(JSON.stringify({ container: [id], event: ['die'] }));
    await eventually('its fourth end, with a long pause after it', async () => {
      const { text } = await daemon().api.get(`/events?since=${since}&until=${String(Date.now() / 1000)}&filters=${filters}`);
      return text.split('"die"').length > 4 * 2;
    });
    expect((await inspect(daemon(), id)).State.Status).toBe('restarting');
    await daemon().api.expect('POST', `/containers/${id}/kill`, { status: 204 });
    const { RestartCount, State } = await inspect(daemon(), id);
    expect(State).toMatchObject({ Status: 'exited', Running: false, ExitCode: 1 });
    await daemon().api.expect('POST', `/containers/${id}/wait`);
    expect((await inspect(daemon(), id)).RestartCount).toBe(RestartCount);
    await remove(daemon(), id);
  });

  test('a signal that is not to end it does not touch its policy', async () => {
    if (process.env.BERTH_TEST_HOST !== undefined) return;
    const id = await start(daemon(), sh('trap "exit 5" USR1; trap : HUP; while :; do sleep 0.05; done', policy('always')));
    await daemon().api.expect('POST', `/containers/${id}/kill?signal=HUP`, { status: 204 });
    await execIn(daemon(), id, ['kill', '-USR1', '1']);
    await eventually('it came back', async () => {
      const { RestartCount, State } = await inspect(daemon(), id);
      return RestartCount === 1 && State.Running;
    });
    await remove(daemon(), id);
  });

  test('a policy that is changed decides at the next end', async () => {
    const id = await start(daemon(), sh('trap "exit 5" USR1; while :; do sleep 0.05; done'));
    const update = async (Name: string): Promise<void> =>
      void (await daemon().api.expect('POST', `/containers/${id}/update`, { body: policy(Name).HostConfig }));
    const crash = () => execIn(daemon(), id, ['kill', '-USR1', '1']);
    await update('on-failure');
    await crash();
    await eventually(
      'it came back',
      async () => (await inspect(daemon(), id)).RestartCount === 1 && (await inspect(daemon(), id)).State.Running,
    );
    await update('no');
    await crash();
    await eventually('it ended', async () => (await inspect(daemon(), id)).State.Status === 'exited');
    await remove(daemon(), id);
  });

  test('always and unless-stopped come back with the daemon; what was stopped by hand only with always', async () => {
    if (process.env.BERTH_TEST_HOST !== undefined) return;
    const bodies = {
      always: policy('always'),
      unless: policy('unless-stopped'),
      stopped: policy('unless-stopped'),
      failing: policy('on-failure'),
      once: {},
    };
    for (const [name, body] of Object.entries(bodies)) await start(daemon(), sh(running, body), name);
    await start(daemon(), sh(running, policy('always')), 'halted');
    await create(daemon(), sh(running, policy('always')), 'created');
    for (const name of ['stopped', 'halted', 'failing']) await daemon().api.expect('POST', `/containers/${name}/stop?t=0`);
    await daemon().restart();
    await eventually('what was stopped comes back with always', async () => (await inspect(daemon(), 'halted')).State.Running);
    expect((await inspect(daemon(), 'halted')).RestartCount).toBe(0);
    const runs = async (name: string): Promise<boolean> => (await inspect(daemon(), name)).State.Running;
    for (const name of ['always', 'unless', 'once']) expect([name, await runs(name)]).toEqual([name, true]);
    for (const name of ['stopped', 'failing', 'created']) expect([name, await runs(name)]).toEqual([name, false]);
    for (const name of [...Object.keys(bodies), 'halted', 'created']) await remove(daemon(), name);
  });

  test('a policy with --rm, an unknown policy, a count that makes no sense are refused', async () => {
    const refused = async (HostConfig: object): Promise<number> =>
      (await daemon().api.post('/containers/create', { Image: 'busybox', HostConfig })).status;
    expect(await refused({ AutoRemove: true, RestartPolicy: { Name: 'always' } })).toBe(400);
    expect(await refused({ RestartPolicy: { Name: 'sometimes' } })).toBe(400);
    expect(await refused({ RestartPolicy: { Name: 'always', MaximumRetryCount: 3 } })).toBe(400);
    expect(await refused({ RestartPolicy: { Name: 'on-failure', MaximumRetryCount: -1 } })).toBe(400);
  });
});
