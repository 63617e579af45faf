import { expect } from 'bun:test';
import { cgroupFile } from '#test/helpers/cgroup.ts';
import { create, inspect, remove, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'cgroup1', 'rt-cgroups');

describe('real-time processor time', () => {
  const daemon = sharedDaemon({ args: ['--cpu-rt-runtime', '200000', '--cpu-rt-period', '1000000'] });

  test('of a container, out of what all containers may take', async () => {
    const id = await start(daemon(), waiting({ HostConfig: { CpuRealtimeRuntime: 50_000, CpuRealtimePeriod: 500_000 } }));
    const { Pid } = (await inspect(daemon(), id)).State;
    expect(cgroupFile(Pid, 'cpu', 'cpu.rt_runtime_us')).toBe('50000');
    expect(cgroupFile(Pid, 'cpu', 'cpu.rt_period_us')).toBe('500000');
    await daemon().api.expect('POST', `/containers/${id}/update`, { body: { CpuRealtimeRuntime: 60_000 }, status: 200 });
    expect(cgroupFile(Pid, 'cpu', 'cpu.rt_runtime_us')).toBe('60000');
    const other = await create(daemon(), waiting({ HostConfig: { CpuRealtimeRuntime: 150_000 } }));
    const refused = await daemon().api.post(`/containers/${other}/start`);
    expect(refused.status).toBeGreaterThanOrEqual(400);
    expect(refused.text).toContain('cpu.rt_runtime_us');
    for (const each of [other, id]) await remove(daemon(), each);
  });

  test('below a parent of the container’s own choice', async () => {
    const parent = `/berth-rt-${crypto.randomUUID().slice(0, 8)}`;
    const limits = { CpuRealtimeRuntime: 10_000, CgroupParent: `${parent}/inner` };
    const id = await start(daemon(), waiting({ HostConfig: limits }));
    const { Pid } = (await inspect(daemon(), id)).State;
    expect(cgroupFile(Pid, 'cpu', 'cpu.rt_runtime_us')).toBe('10000');
    await remove(daemon(), id);
  });
});
