import { existsSync, readFileSync, statSync } from 'node:fs';
import { cpus } from 'node:os';
import { expect } from 'bun:test';
import { cgroupFile, isUnified } from '#test/helpers/cgroup.ts';
import { execIn, inspect, outputOf, remove, sh, sharedDaemon, start, waitForExit, waiting } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs, unmet } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');
const MiB = 1024 * 1024;
const world = isUnified() ? 'v2' : 'v1';
const runtimes = (['crun', 'runc'] as const).filter(name => {
  const missing = unmet(name);
  if (missing !== undefined) console.log(`skipped here: ${missing}`);
  return missing === undefined;
});

/** The limits of a container as the kernel keeps them, in whichever of the two cgroup worlds this machine lives. */
describe.each(runtimes)(`limits with cgroup ${world}, kept by %s`, runtime => {
  const daemon = sharedDaemon({ args: ['--default-runtime', runtime] });
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

  test('a paused container stands still, and goes on when it may', async () => {
    const id = await start(daemon(), sh('i=0; while :; do i=$((i+1)); echo $i > /count; done'));
    const { Pid } = (await inspect(daemon(), id)).State;
    // Its processor time grows as long as it runs.
    const ticks = (): string =>
      readFileSync(`/proc/${String(Pid)}/stat`, 'utf8')
        .split(' ')
        .slice(13, 15)
        .join(' ');
    const isMoving = (from: string): Promise<true> => eventually('it moves', () => ticks() !== from);
    await isMoving(ticks());
    await daemon().api.expect('POST', `/containers/${id}/pause`, { status: 204 });
    expect((await inspect(daemon(), id)).State).toMatchObject({ Status: 'paused', Paused: true, Running: true });
    if (isUnified()) expect(cgroupFile(Pid, '', 'cgroup.events')).toContain('frozen 1');
    else expect(cgroupFile(Pid, 'freezer', 'freezer.state')).toBe('FROZEN');
    const standing = ticks();
    expect((await daemon().api.post(`/containers/${id}/exec`, { Cmd: ['true'] })).status).toBe(409);
    expect(ticks()).toBe(standing);
    await daemon().api.expect('POST', `/containers/${id}/unpause`, { status: 204 });
    await isMoving(standing);
    // What is paused can be killed all the same.
    await daemon().api.expect('POST', `/containers/${id}/pause`, { status: 204 });
    const removed = await daemon().api.delete(`/containers/${id}?force=1`);
    expect(removed.status).toBe(204);
    expect(existsSync(`/proc/${String(Pid)}`)).toBe(false);
  });

  test('devices: the usual ones only, and those that are given', async () => {
    const random = 'head -c 1 /dev/urandom > /dev/null && echo usual';
    // A device that every machine has, that needs no capability, and that no container should see.
    const { rdev } = statSync('/dev/cpu_dma_latency');
    const [major, minor] = [(rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & ~0xff)];
    const other = `mknod /tmp/other c ${String(major)} ${String(minor)} && (: < /tmp/other && echo opened) 2>&1 || true`;
    expect(await outputOf(daemon(), `${random}; ${other}`)).toMatch(/^usual\n.*(not permitted|denied)/s);
    const rules = { DeviceCgroupRules: [`c ${String(major)}:${String(minor)} r`] };
    expect(await outputOf(daemon(), other, { HostConfig: rules })).toBe('opened');
    const given = { Devices: [{ PathOnHost: '/dev/null', PathInContainer: '/dev/nothing', CgroupPermissions: 'rw' }] };
    expect(await outputOf(daemon(), 'echo x > /dev/nothing && stat -c %t:%T /dev/nothing', { HostConfig: given })).toBe('1:3');
  });

  test('privileged: every device', async () => {
    const script = 'test -c /dev/cpu_dma_latency && : < /dev/cpu_dma_latency && ls /dev | wc -l';
    expect(Number(await outputOf(daemon(), script, { HostConfig: { Privileged: true } }))).toBeGreaterThan(15);
  });

  test('a command that takes more memory than there is says so with its exit code', async () => {
    await withLimits({ Memory: 32 * MiB, MemorySwap: 32 * MiB }, async (_pid, id) => {
      const hog = await execIn(daemon(), id, ['sh', '-c', 'x=a; while :; do x="$x$x"; done']);
      expect(hog.exitCode).toBe(137);
      expect((await inspect(daemon(), id)).State).toMatchObject({ Status: 'running' });
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
