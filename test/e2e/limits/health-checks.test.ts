import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'bun:test';
import { execIn, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

const probes = 150;

describe('health checks', () => {
  const daemon = sharedDaemon();
  /** How long the daemon's threads have been on a processor: waiting for one, on a busy machine, does not count. */
  const cpuMs = (): number => {
    const folder = `/proc/${String(daemon().pid)}/task`;
    const ofThread = (id: string): number => Number(readFileSync(`${folder}/${id}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
    return readdirSync(folder).reduce((sum, id) => sum + ofThread(id), 0);
  };
  const endedExecs = async (sinceMs: number): Promise<number> => {
    const query = `since=${String(sinceMs / 1000)}&until=${String(Date.now() / 1000)}`;
    const filters = encodeURIComponent(JSON.stringify({ event: ['exec_die'] }));
    return (await daemon().api.get(`/events?${query}&filters=${filters}`)).text.split('\n').length - 1;
  };

  test('cost the daemon no more than as many execs', async () => {
    const quiet = await start(daemon(), waiting());
    for (let i = 0; i < 30; i += 1) await execIn(daemon(), quiet, ['true']);
    const beforeExecs = cpuMs();
    for (let i = 0; i < probes; i += 1) await execIn(daemon(), quiet, ['true']);
    const perExec = (cpuMs() - beforeExecs) / probes;

    const since = Date.now();
    const Healthcheck = { Test: ['CMD', 'true'], Interval: 50_000_000 };
    const ids = await Promise.all([1, 2, 3].map(() => start(daemon(), waiting({ Healthcheck }))));
    await eventually('they are probed', async () => (await endedExecs(since)) > 10);
    // Events are kept for so many things only: three of each probe.
    const began = Date.now();
    const beforeProbes = cpuMs();
    await eventually('enough probes', async () => (await endedExecs(began)) >= 60, { timeoutMs: 60_000, everyMs: 200 });
    const spent = cpuMs() - beforeProbes;
    const perProbe = spent / (await endedExecs(began));
    console.log(`CPU time of the daemon: ${perExec.toFixed(2)} ms per exec, ${perProbe.toFixed(2)} ms per health check`);
    expect(perProbe).toBeLessThanOrEqual(perExec);

    await Promise.all(ids.map(id => daemon().api.expect('POST', `/containers/${id}/stop?t=0`)));
    const stopped = Date.now();
    await Bun.sleep(300);
    expect(await endedExecs(stopped)).toBe(0);
  }, 120_000);
});
