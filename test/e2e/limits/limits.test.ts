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
  const created = async (body: object): Promise<{ readonly Warnings: readonly string[] }> => {
    const answer = await daemon().api.expect<{ Id: string; Warnings: string[] }>('POST', '/containers/create', {
      body: { Image: 'busybox', ...body },
      status: 201,
    });
    await remove(daemon(), answer.Id);
    return answer;
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
    await withLimits({ NanoCpus: 500_000_000 }, pid => {
      if (isUnified()) expect(cgroupFile(pid, 'cpu', 'cpu.max')).toBe('50000 100000');
      else {
        expect(cgroupFile(pid, 'cpu', 'cpu.cfs_quota_us') ?? '50000').toBe('50000');
        expect(cgroupFile(pid, 'cpu', 'cpu.cfs_period_us') ?? '100000').toBe('100000');
      }
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

  test('a command that takes more memory than there is says so with its exit code, and the container, which runs on, each time', async () => {
    await withLimits({ Memory: 32 * MiB, MemorySwap: 32 * MiB }, async (_pid, id) => {
      expect((await inspect(daemon(), id)).State).toMatchObject({ Status: 'running', OOMKilled: false });
      for (const times of [1, 2]) {
        const hog = await execIn(daemon(), id, ['sh', '-c', 'x=a; while :; do x="$x$x"; done']);
        expect(hog.exitCode).toBe(137);
        const filters = JSON.stringify({ event: { oom: true }, container: { [id]: true } });
        await eventually('the event is told', async () => {
          const { text } = await daemon().api.get(
            `/events?since=1&until=${String(Date.now() / 1000)}&filters=${encodeURIComponent(filters)}`,
          );
          return text.split('\n').filter(Boolean).length === times;
        });
      }
      expect((await inspect(daemon(), id)).State).toMatchObject({ Status: 'running', OOMKilled: true });
      await daemon().api.expect('POST', `/containers/${id}/restart`, { status: 204 });
      expect((await inspect(daemon(), id)).State).toMatchObject({ Status: 'running', OOMKilled: false });
    });
  });

  test('how fast a device may be read and written', async () => {
    const disk = rootDisk();
    if (disk === undefined) return console.log('not looked at: no block device');
    const rules = (Rate: number) => [{ Path: disk.path, Rate }];
    const limits = {
      BlkioDeviceReadBps: rules(1_048_576),
      BlkioDeviceWriteBps: rules(2_097_152),
      BlkioDeviceReadIOps: rules(100),
      BlkioDeviceWriteIOps: rules(200),
    };
    await withLimits(limits, pid => {
      if (isUnified()) expect(cgroupFile(pid, 'io', 'io.max')).toBe(`${disk.numbers} rbps=1048576 wbps=2097152 riops=100 wiops=200`);
      else {
        const kept = ['read_bps', 'write_bps', 'read_iops', 'write_iops'].map(what =>
          cgroupFile(pid, 'blkio', `blkio.throttle.${what}_device`),
        );
        expect(kept).toEqual([1_048_576, 2_097_152, 100, 200].map(rate => `${disk.numbers} ${String(rate)}`));
      }
    });
  });

  test('shares of block I/O', async () => {
    const disk = rootDisk();
    const asked = { BlkioWeight: 300, ...(disk === undefined ? {} : { BlkioWeightDevice: [{ Path: disk.path, Weight: 400 }] }) };
    const { Warnings } = await created({ HostConfig: { BlkioWeight: 300 } });
    if (Warnings.length > 0) return console.log(`not looked at: ${Warnings.join(' ')}`);
    await withLimits(asked, pid => {
      const [weight, bfq] = isUnified() ? ['io.weight', 'io.bfq.weight'] : ['blkio.weight', 'blkio.bfq.weight'];
      const kept = cgroupFile(pid, isUnified() ? 'io' : 'blkio', bfq) ?? cgroupFile(pid, isUnified() ? 'io' : 'blkio', weight);
      expect(kept).toBeDefined();
      expect(kept).not.toMatch(/^(default )?(100|500)$/);
    });
  });

  test('swappiness and what to do when memory runs out: where the kernel knows them', async () => {
    const asked = { Memory: 64 * MiB, MemorySwappiness: 7, OomKillDisable: true };
    const { Warnings } = await created({ HostConfig: asked });
    if (isUnified()) {
      expect(Warnings).toEqual([
        'Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.',
        'Your kernel does not support OomKillDisable. OomKillDisable discarded.',
      ]);
    } else {
      expect(Warnings).toEqual([]);
      await withLimits(asked, pid => {
        expect(cgroupFile(pid, 'memory', 'memory.swappiness')).toBe('7');
        expect(cgroupFile(pid, 'memory', 'memory.oom_control')).toContain('oom_kill_disable 1');
      });
    }
  });

  test('the cgroup namespace of the host', async () => {
    const lines = (await outputOf(daemon(), 'cat /proc/self/cgroup', { HostConfig: { CgroupnsMode: 'host' } })).split('\n');
    expect(lines.some(line => /[0-9a-f]{64}$/.test(line))).toBe(true);
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

/** A disk of this machine, and its numbers as the kernel writes them. */
function rootDisk(): { readonly path: string; readonly numbers: string } | undefined {
  const [, major, minor, name] =
    /^ +(\d+) +(\d+) +\d+ ((?:vd|sd|xvd)[a-z]|nvme\d+n\d+)$/m.exec(readFileSync('/proc/partitions', 'utf8')) ?? [];
  return name === undefined || !existsSync(`/dev/${name}`) ? undefined : { path: `/dev/${name}`, numbers: `${major ?? ''}:${minor ?? ''}` };
}
