import { expect } from 'bun:test';
import { inspect, remove, sh, sharedDaemon, start } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');
const policy = (Name: string, MaximumRetryCount = 0) => ({ HostConfig: { RestartPolicy: { Name, MaximumRetryCount } } });

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

  test('always starts it again until somebody stops it', async () => {
    const id = await start(daemon(), sh('sleep 0.1', policy('always')));
    await eventually('it came back twice', async () => (await inspect(daemon(), id)).RestartCount >= 2);
    await daemon().api.expect('POST', `/containers/${id}/stop?t=1`);
    const { RestartCount } = await inspect(daemon(), id);
    await Bun.sleep(500);
    expect((await inspect(daemon(), id)).State.Status).toBe('exited');
    expect((await inspect(daemon(), id)).RestartCount).toBe(RestartCount);
    await remove(daemon(), id);
  });

  test('always and unless-stopped come back with the daemon; what was stopped by hand only with always', async () => {
    if (process.env.BERTH_TEST_HOST !== undefined) return;
    const bodies = { always: policy('always'), unless: policy('unless-stopped'), stopped: policy('unless-stopped'), once: {} };
    for (const [name, body] of Object.entries(bodies))
      await start(daemon(), sh('trap "exit 0" TERM; while :; do sleep 0.1; done', body), name);
    await daemon().api.expect('POST', '/containers/stopped/stop');
    await daemon().restart();
    await eventually(
      'they run',
      async () => (await inspect(daemon(), 'always')).State.Running && (await inspect(daemon(), 'unless')).State.Running,
    );
    expect((await inspect(daemon(), 'stopped')).State.Running).toBe(false);
    for (const name of Object.keys(bodies)) await remove(daemon(), name);
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
