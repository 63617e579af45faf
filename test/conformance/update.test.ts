import { afterAll, beforeAll, expect } from 'bun:test';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { type Dockerd, startDockerd } from '#test/helpers/dockerd.ts';
import { needs } from '#test/helpers/needs.ts';
import type { RunResult } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'dockerd');

const containers: Readonly<Record<string, readonly string[]>> = {
  plain: ['run', '-d', '--name', 'plain', '--network', 'none', 'busybox', 'sleep', '1000'],
  bounded: ['run', '-d', '--name', 'bounded', '--network', 'none', '-m', '64m', 'busybox', 'sleep', '1000'],
  cpus: ['run', '-d', '--rm', '--name', 'cpus', '--network', 'none', '--cpus', '1', 'busybox', 'sleep', '1000'],
  quota: ['run', '-d', '--name', 'quota', '--network', 'none', '--cpu-quota', '5000', '--cpu-period', '10000', 'busybox', 'sleep', '1000'],
  stopped: ['create', '--name', 'stopped', 'busybox', 'true'],
};

/** Changes of limits, one after the other, given to both: same output, same exit code, same words, same configuration afterwards. */
const rows: readonly string[] = [
  'plain',
  '-m 100m nosuch',
  '-m 100m nosuch stopped',
  '-m 100m plain',
  '-m 100m --memory-swap 200m plain',
  '-m 300m plain',
  '--memory-swap 50m -m 60m plain',
  '--memory-swap 300m plain',
  '-m 1m plain',
  '-m 50m --memory-reservation 60m plain',
  '--memory-reservation 1m plain',
  '--memory-reservation 20m plain',
  '--memory-swap -1 plain',
  '-m 70m bounded',
  '-m 6m bounded',
  '--memory-reservation 500m bounded',
  '--cpu-shares 100 plain',
  '--cpus 1 plain',
  '--cpus 0.5 plain',
  '--cpus 1000 plain',
  '--cpu-quota 2000 plain',
  '--cpu-period 20000 plain',
  '--cpu-quota 1 quota',
  '--cpu-period 1 quota',
  '--cpu-quota 7000 quota',
  '--cpu-quota -1 quota',
  '--cpus 1 quota',
  '--cpus 1 --cpu-quota 1000 quota',
  '--cpuset-cpus 4000 plain',
  '--cpuset-cpus x plain',
  '--cpuset-cpus 0 plain',
  '--cpuset-mems 77 plain',
  '--cpuset-mems 0 plain',
  '--pids-limit 20 plain',
  '--pids-limit 0 plain',
  '--pids-limit -5 plain',
  '--blkio-weight 50 plain',
  '--restart always plain',
  '--restart on-failure:3 plain',
  '--restart on-failure:x plain',
  '--restart always cpus',
  '--restart no cpus',
  '--cpu-quota 5000 cpus',
  '-m 200m stopped',
  '-m 200m --memory-swap 300m --pids-limit 7 stopped',
  '-m 100m --memory-swap 200m plain nosuch quota',
];

describe('docker update', () => {
  let ours: TestDaemon;
  let docker: Dockerd;
  const both = async (args: readonly string[]): Promise<[RunResult, RunResult]> =>
    await Promise.all([ours.docker(args), docker.docker(args)]);
  beforeAll(async () => {
    // dockerd and its namespaces come and go beside it.
    [ours, docker] = await Promise.all([startDaemon({ comparesMachine: false }), startDockerd()]);
    for (const args of Object.values(containers)) for (const result of await both(args)) expect(result.stderr).toBe('');
  }, 90_000);
  afterAll(async () => {
    await Promise.all([ours?.[Symbol.asyncDispose](), docker?.[Symbol.asyncDispose]()]);
  }, 90_000);

  test.each(rows.map(row => [row]))('%s', async row => {
    const args = row.split(' ');
    const [own, theirs] = await both(['update', ...args]);
    expect(shown(own)).toEqual(shown(theirs));
    const names = args.filter(word => word in containers);
    for (const name of names) {
      const fields = [
        'Memory',
        'MemorySwap',
        'MemoryReservation',
        'NanoCpus',
        'CpuPeriod',
        'CpuQuota',
        'CpuShares',
        'CpusetCpus',
        'CpusetMems',
      ];
      const format = [...fields, 'PidsLimit', 'BlkioWeight', 'RestartPolicy'].map(field => `{{json .HostConfig.${field}}}`).join(' ');
      const [mine, reference] = await both(['inspect', '-f', format, name]);
      expect(mine.stdout).toBe(reference.stdout);
    }
  });

  test('is told as an event', async () => {
    await both(['update', '--pids-limit', '30', 'plain']);
    const [own, theirs] = await both([
      'events',
      '--since',
      '1',
      '--until',
      '0s',
      '--filter',
      'event=update',
      '--filter',
      'container=plain',
    ]);
    const last = (text: string): string => (text.trim().split('\n').at(-1) ?? '').replace(/^\S+ (.*) [0-9a-f]{64} /, '$1 ');
    expect(last(own.stdout)).toBe(last(theirs.stdout));
    expect(last(own.stdout)).toContain('container update (image=busybox, name=plain)');
  });
});

/** Container ids differ, and so does the runtime in whose words the kernel's refusal comes. Later versions have other capitals. */
function shown({ exitCode, stdout, stderr }: RunResult): object {
  const words = stderr.toLowerCase();
  return { exitCode, stdout, stderr: words.replaceAll(/[0-9a-f]{64}/g, '<id>').replace(/(crun|runc) did not terminate.*/s, '<refused>') };
}
