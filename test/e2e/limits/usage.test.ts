import { cpus, totalmem } from 'node:os';
import { expect } from 'bun:test';
import type { ContainerStats } from '#api/types/stats.ts';
import { cgroupFile, isUnified } from '#test/helpers/cgroup.ts';
import { create, execIn, inspect, remove, sh, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');
const MiB = 1024 * 1024;
const world = isUnified() ? 'v2' : 'v1';
const zero = '0001-01-01T00:00:00Z';

/** What containers use, as the daemon tells it, beside what the kernel counts in whichever of the two cgroup worlds this machine lives. */
describe(`usage with cgroup ${world}`, () => {
  const daemon = sharedDaemon();
  const once = (id: string, query = 'stream=0&one-shot=1'): Promise<ContainerStats> =>
    daemon().api.expect<ContainerStats>('GET', `/containers/${id}/stats?${query}`);
  const pidOf = async (id: string): Promise<number> => (await inspect(daemon(), id)).State.Pid;

  test('processor time', async () => {
    const id = await start(daemon(), waiting());
    const before = await once(id);
    await execIn(daemon(), id, ['timeout', '1', 'sh', '-c', 'while :; do :; done']);
    const after = await once(id);
    const used = after.cpu_stats.cpu_usage.total_usage - before.cpu_stats.cpu_usage.total_usage;
    const passed = (after.cpu_stats.system_cpu_usage ?? 0) - (before.cpu_stats.system_cpu_usage ?? 0);
    expect(used).toBeGreaterThan(1e8);
    expect(passed).toBeGreaterThanOrEqual(used * 0.9);
    expect(after.cpu_stats.online_cpus).toBe(cpus().length);
    expect(after.cpu_stats.cpu_usage.usage_in_usermode).toBeGreaterThan(before.cpu_stats.cpu_usage.usage_in_usermode);
    expect(after.cpu_stats.cpu_usage.percpu_usage?.length).toBe(isUnified() ? undefined : cpus().length);
    await remove(daemon(), id);
  });

  test('throttling', async () => {
    const id = await start(daemon(), sh('while :; do :; done'));
    if (cgroupFile(await pidOf(id), 'cpu', 'cpu.stat')?.includes('nr_throttled') === true) {
      // Less than a busy machine leaves it.
      await daemon().api.expect('POST', `/containers/${id}/update`, { body: { NanoCpus: 20_000_000 }, status: 200 });
      const told = await eventually('it is throttled', async () => {
        const { throttling_data: data } = (await once(id)).cpu_stats;
        return data.throttled_periods > 0 && data.throttled_time > 0 ? data : undefined;
      });
      expect(told.periods).toBeGreaterThanOrEqual(told.throttled_periods);
    } else console.log('not looked at: this kernel does not count throttling');
    await remove(daemon(), id);
  });

  test('memory, its limit, and what it is used for', async () => {
    const id = await start(daemon(), sh('head -c 8m /dev/zero >/dev/shm/x; sleep 1000', { HostConfig: { Memory: 64 * MiB } }));
    const { memory_stats: told } = await eventually('the file is there', async () => {
      const stats = await once(id);
      const { usage = 0, stats: details = {} } = stats.memory_stats;
      return usage > 8 * MiB && (!isUnified() || (details.shmem ?? 0) >= 8 * MiB) ? stats : undefined;
    });
    expect(told.limit).toBe(64 * MiB);
    expect(told.usage).toBeLessThan(64 * MiB);
    expect(told.max_usage === undefined).toBe(isUnified());
    const names = Object.keys(told.stats ?? {});
    expect(names).toContain('inactive_file');
    expect(names).toEqual(names.toSorted());
    expect(names.includes(isUnified() ? 'shmem' : 'total_inactive_file')).toBe(true);
    await remove(daemon(), id);
    const free = await start(daemon(), waiting());
    expect((await once(free)).memory_stats.limit).toBe(totalmem());
    await remove(daemon(), free);
  });

  test('processes', async () => {
    const id = await start(daemon(), sh('sleep 1000 & sleep 1000 & sleep 1000', { HostConfig: { PidsLimit: 20 } }));
    await eventually('all three run', async () => (await once(id)).pids_stats.current === 3 || (await once(id)).pids_stats.current === 4);
    expect((await once(id)).pids_stats.limit).toBe(20);
    await remove(daemon(), id);
    const free = await start(daemon(), waiting());
    const { text } = await daemon().api.get(`/containers/${free}/stats?stream=0&one-shot=1`);
    expect(text.includes('"limit":18446744073709551615')).toBe(isUnified());
    await remove(daemon(), free);
  });

  test('traffic by interface; none with the host’s network, none without one', async () => {
    await daemon().api.expect('POST', '/networks/create', { body: { Name: 'second' }, status: 201 });
    const id = await start(daemon(), waiting(), 'talker');
    await daemon().api.expect('POST', '/networks/second/connect', { body: { Container: id } });
    const peer = await start(daemon(), waiting(), 'peer');
    const address = (await inspect(daemon(), peer)).NetworkSettings.Networks.bridge?.IPAddress ?? '';
    await execIn(daemon(), id, ['ping', '-c', '3', '-i', '0.1', '-s', '1000', address]);
    const { networks } = await once(id);
    expect(Object.keys(networks ?? {})).toEqual(['eth0', 'eth1']);
    expect(networks?.eth0?.tx_bytes).toBeGreaterThan(3000);
    expect(networks?.eth0?.rx_bytes).toBeGreaterThan(3000);
    expect(networks?.eth0?.tx_packets).toBeGreaterThanOrEqual(3);
    // The kernel's own numbers, read from inside.
    const inside = await execIn(daemon(), id, ['cat', '/sys/class/net/eth0/statistics/tx_bytes']);
    expect((await once(id)).networks?.eth0?.tx_bytes).toBe(Number(inside.stdout));
    const sharing = await start(daemon(), waiting({ HostConfig: { NetworkMode: `container:${id}` } }));
    expect(Object.keys((await once(sharing)).networks ?? {})).toEqual(['eth0', 'eth1']);
    for (const NetworkMode of ['host', 'none']) {
      const other = await start(daemon(), waiting({ HostConfig: { NetworkMode } }));
      expect(await once(other)).not.toHaveProperty('networks');
      await remove(daemon(), other);
    }
    for (const each of [sharing, peer, id]) await remove(daemon(), each);
    await daemon().api.expect('DELETE', '/networks/second', { status: 204 });
  });

  test('a single report has a sample before it, unless one shot is asked for', async () => {
    const id = await start(daemon(), waiting(), 'single');
    const alone = await once(id);
    expect(alone).toMatchObject({ name: '/single', id, preread: zero, num_procs: 0, storage_stats: {} });
    expect(alone.precpu_stats).not.toHaveProperty('system_cpu_usage');
    const compared = await once(id, 'stream=0');
    const apartMs = Date.parse(compared.read) - Date.parse(compared.preread);
    expect(apartMs).toBeGreaterThanOrEqual(990);
    expect(compared.precpu_stats.system_cpu_usage).toBeLessThan(compared.cpu_stats.system_cpu_usage ?? 0);
    // Before 1.41 nobody could ask for one shot.
    const old = await daemon().api.expect<ContainerStats>('GET', `/v1.40/containers/${id}/stats?stream=0&one-shot=1`);
    expect(old.preread).not.toBe(zero);
    await remove(daemon(), id);
  });

  test('a container that does not run has nothing but its name', async () => {
    const id = await create(daemon(), waiting(), 'idle');
    for (const query of ['stream=0', 'stream=0&one-shot=1']) {
      const stats = await once(id, query);
      expect(stats).toMatchObject({ name: '/idle', id, read: zero, preread: zero, pids_stats: {}, memory_stats: {} });
      expect(stats.blkio_stats.io_service_bytes_recursive).toBeNull();
      expect(stats).not.toHaveProperty('networks');
    }
    await remove(daemon(), id);
  });

  test('what cannot be is refused', async () => {
    const id = await create(daemon(), waiting());
    const both = await daemon().api.get(`/containers/${id}/stats?stream=1&one-shot=1`);
    expect(both).toMatchObject({ status: 400, json: { message: 'cannot have stream=true and one-shot=true' } });
    const nobody = await daemon().api.get('/containers/nosuch/stats');
    expect(nobody).toMatchObject({ status: 404, json: { message: 'No such container: nosuch' } });
    await remove(daemon(), id);
  });

  test('a stream reports every second, while it runs and while it does not, until it is removed', async () => {
    const id = await start(daemon(), waiting(), 'watched');
    const response = await daemon().api.open('GET', `/containers/${id}/stats`);
    expect(response.status).toBe(200);
    const reports: ContainerStats[] = [];
    const reading = (async () => {
      const decoder = new TextDecoder();
      let rest = '';
      for await (const chunk of response.body ?? []) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
        rest = lines.pop() ?? '';
        reports.push(...lines.map(line => JSON.parse(line) as ContainerStats));
      }
    })();
    await eventually('two reports', () => reports.length >= 2);
    const [first, second] = reports;
    expect(first?.preread).toBe(zero);
    expect(second?.preread).toBe(first?.read ?? '');
    expect(second?.precpu_stats.cpu_usage).toEqual(
      first?.cpu_stats.cpu_usage ?? { total_usage: -1, usage_in_kernelmode: 0, usage_in_usermode: 0 },
    );
    await daemon().api.expect('POST', `/containers/${id}/rename?name=renamed`, { status: 204 });
    await eventually('its new name is told', () => reports.at(-1)?.name === '/renamed');
    await daemon().api.expect('POST', `/containers/${id}/stop?t=1`, { status: 204 });
    await eventually('it is told not to run', () => reports.at(-1)?.read === zero);
    await daemon().api.expect('POST', `/containers/${id}/start`, { status: 204 });
    await eventually('it is told to run again', () => (reports.at(-1)?.pids_stats.current ?? 0) > 0);
    await remove(daemon(), id);
    await reading;
  });
});
