import { cpus } from 'node:os';
import { expect } from 'bun:test';
import { cgroupFile, isUnified } from '#test/helpers/cgroup.ts';
import { create, inspect, remove, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { needs, unmet } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');
const MiB = 1024 * 1024;
const world = isUnified() ? 'v2' : 'v1';
const runtimes = (['crun', 'runc'] as const).filter(name => unmet(name) === undefined);

interface Container {
  readonly id: string;
  readonly pid: number;
  /** Changes limits; the answer's status and text. */
  update(limits: Readonly<Record<string, unknown>>): Promise<{ readonly status: number; readonly text: string }>;
}

/** Limits of containers that run, changed: what the kernel keeps afterwards, in whichever of the two cgroup worlds this machine lives. */
describe.each(runtimes)(`changed limits with cgroup ${world}, kept by %s`, runtime => {
  const daemon = sharedDaemon({ args: ['--default-runtime', runtime] });
  const withContainer = async (
    HostConfig: Readonly<Record<string, unknown>>,
    look: (container: Container) => Promise<void>,
  ): Promise<void> => {
    const id = await start(daemon(), waiting({ HostConfig }));
    const { Pid } = (await inspect(daemon(), id)).State;
    await look({ id, pid: Pid, update: limits => daemon().api.post(`/containers/${id}/update`, limits) });
    await remove(daemon(), id);
  };
  const expectChanged = async (container: Container, limits: Readonly<Record<string, unknown>>): Promise<void> => {
    const answer = await container.update(limits);
    expect(answer).toMatchObject({ status: 200, text: '{"Warnings":null}\n' });
    expect((await inspect(daemon(), container.id)).HostConfig).toMatchObject(limits);
  };
  const either = (pid: number, v2: readonly [string, string], v1: readonly [string, string]): string | undefined =>
    isUnified() ? cgroupFile(pid, ...v2) : cgroupFile(pid, ...v1);

  const memory = (pid: number) => Number(either(pid, ['memory', 'memory.max'], ['memory', 'memory.limit_in_bytes']));
  const swap = (pid: number): string | undefined => either(pid, ['memory', 'memory.swap.max'], ['memory', 'memory.memsw.limit_in_bytes']);
  const expectSwap = (pid: number, bytes: number): void => {
    // v1 counts memory and swap together, v2 swap alone.
    if (swap(pid) === undefined) console.log('not looked at: this kernel does not count swap');
    else expect(Number(swap(pid))).toBe(isUnified() ? bytes : bytes + memory(pid));
  };

  test('memory and swap, up and down', async () => {
    await withContainer({ Memory: 64 * MiB }, async container => {
      await expectChanged(container, { Memory: 256 * MiB, MemorySwap: 512 * MiB });
      expect(memory(container.pid)).toBe(256 * MiB);
      expectSwap(container.pid, 256 * MiB);
      await expectChanged(container, { Memory: 32 * MiB, MemorySwap: 48 * MiB });
      expect(memory(container.pid)).toBe(32 * MiB);
      expectSwap(container.pid, 16 * MiB);
      await expectChanged(container, { MemorySwap: 128 * MiB });
      expect(memory(container.pid)).toBe(32 * MiB);
      expectSwap(container.pid, 96 * MiB);
      await expectChanged(container, { Memory: 40 * MiB });
      expect(memory(container.pid)).toBe(40 * MiB);
      expectSwap(container.pid, 88 * MiB);
      await expectChanged(container, { MemorySwap: -1 });
      expect(memory(container.pid)).toBe(40 * MiB);
      if (swap(container.pid) !== undefined && !isUnified()) expect(Number(swap(container.pid))).toBeGreaterThan(2 ** 60);
      if (swap(container.pid) !== undefined && isUnified()) expect(swap(container.pid)).toBe('max');
      await expectChanged(container, { MemoryReservation: 16 * MiB });
      expect(either(container.pid, ['memory', 'memory.low'], ['memory', 'memory.soft_limit_in_bytes'])).toBe(String(16 * MiB));
    });
  });

  test('a limit where there was none', async () => {
    await withContainer({}, async container => {
      const refused = await container.update({ Memory: 64 * MiB });
      expect(refused.status).toBe(409);
      expect(refused.text).toContain('Memory limit should be smaller than already set memoryswap limit');
      await expectChanged(container, { Memory: 64 * MiB, MemorySwap: 64 * MiB });
      expect(memory(container.pid)).toBe(64 * MiB);
      expectSwap(container.pid, 0);
    });
  });

  test('processors', async () => {
    const cpu = (pid: number): string | undefined => {
      if (isUnified()) return cgroupFile(pid, 'cpu', 'cpu.max');
      const quota = cgroupFile(pid, 'cpu', 'cpu.cfs_quota_us');
      return quota === undefined ? undefined : `${quota} ${cgroupFile(pid, 'cpu', 'cpu.cfs_period_us') ?? ''}`;
    };
    await withContainer({}, async container => {
      await expectChanged(container, { NanoCpus: 500_000_000 });
      expect(cpu(container.pid)).toBe('50000 100000');
      await expectChanged(container, { NanoCpus: 750_000_000 });
      expect(cpu(container.pid)).toBe('75000 100000');
    });
    await withContainer({ CpuPeriod: 50_000, CpuQuota: 20_000 }, async container => {
      await expectChanged(container, { CpuQuota: 30_000 });
      expect(cpu(container.pid)).toBe('30000 50000');
      await expectChanged(container, { CpuPeriod: 40_000 });
      expect(cpu(container.pid)).toBe('30000 40000');
      await expectChanged(container, { CpuQuota: -1 });
      expect(cpu(container.pid)).toBe(isUnified() ? 'max 40000' : '-1 40000');
    });
    await withContainer({ CpuShares: 512 }, async container => {
      const before = Number(either(container.pid, ['cpu', 'cpu.weight'], ['cpu', 'cpu.shares']));
      await expectChanged(container, { CpuShares: 2048 });
      const after = Number(either(container.pid, ['cpu', 'cpu.weight'], ['cpu', 'cpu.shares']));
      if (!isUnified()) expect(after).toBe(2048);
      expect(after).toBeGreaterThan(before * 2);
    });
  });

  test('which processors and memory nodes', async () => {
    const last = String(cpus().length - 1);
    await withContainer({}, async container => {
      await expectChanged(container, { CpusetCpus: last, CpusetMems: '0' });
      expect(cgroupFile(container.pid, 'cpuset', 'cpuset.cpus')).toBe(last);
      expect(cgroupFile(container.pid, 'cpuset', 'cpuset.mems')).toBe('0');
      await expectChanged(container, { CpusetCpus: '0' });
      expect(cgroupFile(container.pid, 'cpuset', 'cpuset.cpus')).toBe('0');
    });
  });

  test('number of processes, and no limit again', async () => {
    await withContainer({ PidsLimit: 20 }, async container => {
      await expectChanged(container, { PidsLimit: 30 });
      expect(cgroupFile(container.pid, 'pids', 'pids.max')).toBe('30');
      expect((await container.update({ PidsLimit: -1 })).status).toBe(200);
      expect(cgroupFile(container.pid, 'pids', 'pids.max')).toBe('max');
      expect((await inspect(daemon(), container.id)).HostConfig.PidsLimit).toBe(0);
    });
  });

  test('a share of block I/O', async () => {
    const weight = (pid: number): string | undefined =>
      isUnified()
        ? (cgroupFile(pid, 'io', 'io.bfq.weight') ?? cgroupFile(pid, 'io', 'io.weight'))
        : cgroupFile(pid, 'blkio', 'blkio.weight');
    await withContainer({}, async container => {
      if (weight(container.pid) === undefined) return console.log('not looked at: this kernel does not weigh block I/O');
      await expectChanged(container, { BlkioWeight: 300 });
      expect(weight(container.pid)).not.toMatch(/\b100$/);
    });
  });

  test('of a paused container', async () => {
    await withContainer({ PidsLimit: 20 }, async container => {
      await daemon().api.expect('POST', `/containers/${container.id}/pause`, { status: 204 });
      await expectChanged(container, { PidsLimit: 25 });
      expect(cgroupFile(container.pid, 'pids', 'pids.max')).toBe('25');
      expect((await inspect(daemon(), container.id)).State.Status).toBe('paused');
    });
  });

  test('of a stopped one: at its next start', async () => {
    const id = await create(daemon(), waiting());
    expect((await daemon().api.post(`/containers/${id}/update`, { PidsLimit: 40, CpusetCpus: '0' })).status).toBe(200);
    await daemon().api.expect('POST', `/containers/${id}/start`, { status: 204 });
    const { Pid } = (await inspect(daemon(), id)).State;
    expect(cgroupFile(Pid, 'pids', 'pids.max')).toBe('40');
    expect(cgroupFile(Pid, 'cpuset', 'cpuset.cpus')).toBe('0');
    await remove(daemon(), id);
  });

  test('what the kernel refuses changes neither the kernel nor the record', async () => {
    await withContainer({ Memory: 64 * MiB, MemorySwap: 128 * MiB, PidsLimit: 20 }, async container => {
      const before = (await inspect(daemon(), container.id)).HostConfig;
      // More swap in all than memory is what it has to be.
      const refused = await container.update({ PidsLimit: 30, MemorySwap: 32 * MiB });
      expect(refused.status).toBe(500);
      expect(refused.text).toContain(`Cannot update container ${container.id}: `);
      expect((await inspect(daemon(), container.id)).HostConfig).toEqual(before);
      expect(cgroupFile(container.pid, 'pids', 'pids.max')).toBe('20');
      expect(memory(container.pid)).toBe(64 * MiB);
    });
  });
});
