import { cpus } from 'node:os';
import { expect } from 'bun:test';
import { cgroupFile, isUnified } from '#test/helpers/cgroup.ts';
import { execIn, inspect, outputOf, remove, sh, sharedDaemon, start, waitForExit, waiting } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');
const MiB = 1024 * 1024;

/** The limits of a container as the kernel keeps them, in whichever of the two cgroup worlds this machine lives. */
describe(`limits with cgroup ${isUnified() ? 'v2' : 'v1'}`, () => {
  const daemon = sharedDaemon();
  /** Runs `look` while a container with these limits runs. */
  const withLimits = async (
    HostConfig: Readonly<Record<string, unknown>>,
    look: (pid: number, id: string) => Promise<void> | void,
  ): Promise<void> => {
    const id = await start(daemon(), waiting({ HostConfig }));
    await look((await inspect(daemon(), id)).State.Pid, id);
    await remove(daemon(), id);
  };
  const either = (pid: number, v2: readonly [string, string], v1: readonly [string, string]): string | undefined =>
    isUnified() ? cgroupFile(pid, ...v2) : cgroupFile(pid, ...v1);

  test('memory', async () => {
    await withLimits({ Memory: 64 * MiB, MemoryReservation: 32 * MiB }, pid => {
      expect(either(pid, ['memory', 'memory.max'], ['memory', 'memory.limit_in_bytes'])).toBe(String(64 * MiB));
      expect(either(pid, ['memory', 'memory.low'], ['memory', 'memory.soft_limit_in_bytes'])).toBe(String(32 * MiB));
    });
  });

  test('swap: as much again by default, as asked otherwise, unlimited with -1', async () => {
    const swap = (pid: number): string | undefined => either(pid, ['memory', 'memory.swap.max'], ['memory', 'memory.memsw.limit_in_bytes']);
    // v1 counts memory and swap together, v2 swap alone.
    const expected = (bytes: number): string => String(isUnified() ? bytes : bytes + 64 * MiB);
    await withLimits({ Memory: 64 * MiB }, pid => {
      if (swap(pid) === undefined) console.log('not looked at: this kernel does not count swap');
      else expect(swap(pid)).toBe(expected(64 * MiB));
    });
    await withLimits({ Memory: 64 * MiB, MemorySwap: 80 * MiB }, pid => {
      if (swap(pid) !== undefined) expect(swap(pid)).toBe(expected(16 * MiB));
    });
    await withLimits({ Memory: 64 * MiB, MemorySwap: -1 }, pid => {
      if (swap(pid) !== undefined) expect(isUnified() ? swap(pid) : Number(swap(pid)) > 2 ** 60).toBe(isUnified() ? 'max' : true);
    });
  });

  test('what takes more memory than it may is killed, and the container says so', async () => {
    const hog = sh('x=a; while :; do x="$x$x"; done', { HostConfig: { Memory: 16 * MiB, MemorySwap: 16 * MiB } });
    const id = await start(daemon(), hog);
    expect(await waitForExit(daemon(), id)).toBe(137);
    expect((await inspect(daemon(), id)).State).toMatchObject({ OOMKilled: true, ExitCode: 137 });
    await remove(daemon(), id);
  });

  test('cpus', async () => {
    await withLimits({ NanoCpus: 500_000_000 }, async (pid, id) => {
      if (isUnified()) expect(cgroupFile(pid, 'cpu', 'cpu.max')).toBe('50000 100000');
      else {
        expect(cgroupFile(pid, 'cpu', 'cpu.cfs_quota_us') ?? '50000').toBe('50000');
        expect(cgroupFile(pid, 'cpu', 'cpu.cfs_period_us') ?? '100000').toBe('100000');
      }
      await execIn(daemon(), id, ['timeout', '1', 'sh', '-c', 'while :; do :; done']);
      const throttled = /nr_throttled (\d+)/.exec(cgroupFile(pid, 'cpu', 'cpu.stat') ?? '')?.[1];
      if (throttled === undefined) console.log('not looked at: this kernel does not count throttling');
      else expect(Number(throttled)).toBeGreaterThan(0);
    });
    await withLimits({ CpuPeriod: 50_000, CpuQuota: 20_000 }, pid => {
      const quota = isUnified() ? cgroupFile(pid, 'cpu', 'cpu.max') : cgroupFile(pid, 'cpu', 'cpu.cfs_quota_us');
      if (quota !== undefined) expect(quota).toBe(isUnified() ? '20000 50000' : '20000');
    });
  });

  test('cpuset', async () => {
    const last = String(cpus().length - 1);
    await withLimits({ CpusetCpus: last, CpusetMems: '0' }, async (pid, id) => {
      expect(cgroupFile(pid, 'cpuset', 'cpuset.cpus')).toBe(last);
      expect((await execIn(daemon(), id, ['sed', '-n', 's/^Cpus_allowed_list:\t//p', '/proc/self/status'])).stdout.trim()).toBe(last);
    });
  });

  test('cpu shares', async () => {
    const weight = async (CpuShares: number): Promise<number> => {
      let seen = 0;
      await withLimits({ CpuShares }, pid => {
        seen = Number(either(pid, ['cpu', 'cpu.weight'], ['cpu', 'cpu.shares']));
      });
      return seen;
    };
    const [little, much] = [await weight(256), await weight(4096)];
    if (!isUnified()) expect([little, much]).toEqual([256, 4096]);
    expect(much).toBeGreaterThan(little * 4);
  });

  test('number of processes', async () => {
    await withLimits({ PidsLimit: 20 }, async (pid, id) => {
      expect(cgroupFile(pid, 'pids', 'pids.max')).toBe('20');
      const { stdout, stderr } = await execIn(daemon(), id, ['sh', '-c', 'for i in $(seq 40); do sleep 5 & done; echo all']);
      expect(stdout + stderr).toMatch(/can't fork|Resource temporarily unavailable/);
    });
  });

  test('a container sees its own cgroup as the root', async () => {
    const lines = (await outputOf(daemon(), 'cat /proc/self/cgroup')).split('\n').filter(line => !/:name=|^0::/.test(line) || isUnified());
    for (const line of lines) expect(line).toEndWith(':/');
    expect(lines.length).toBeGreaterThan(0);
  });

  test('limits that make no sense are refused', async () => {
    const refused = async (HostConfig: object): Promise<{ status: number; text: string }> =>
      daemon().api.post('/containers/create', { Image: 'busybox', HostConfig });
    for (const [config, words] of [
      [{ Memory: 1024 }, 'Minimum memory limit'],
      [{ Memory: 64 * MiB, MemorySwap: 32 * MiB }, 'Minimum memoryswap limit should be larger than memory limit'],
      [{ MemorySwap: 64 * MiB }, 'Memory limit'],
      [{ CpusetCpus: '99' }, '99'],
      [{ CpusetCpus: 'nonsense' }, 'nonsense'],
      [{ NanoCpus: 1e15 }, 'CPUs'],
      [{ NanoCpus: 1e9, CpuQuota: 1000 }, 'Nano CPUs'],
    ] as const) {
      const { status, text } = await refused(config);
      expect({ config, status }).toEqual({ config, status: 400 });
      expect(text).toContain(words);
    }
  });

  test('after the end the cgroup is gone', async () => {
    let folder = '';
    await withLimits({ Memory: 64 * MiB }, (_pid, id) => {
      folder = id;
    });
    await eventually(
      'no cgroup names it',
      async () => (await Bun.$`find /sys/fs/cgroup -type d -name *${folder}*`.nothrow().text()) === '',
    );
  });
});
