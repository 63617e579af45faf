import { expect, test } from 'bun:test';
import type { ResourceUsage } from '#core/usage.ts';
import { formatJson } from '../send.ts';
import { toWireStats } from './container-stats.ts';

const blockIo: ResourceUsage['blockIo'] = {
  serviceBytes: [{ major: 254, minor: 0, operation: 'Read', value: 4096 }],
  serviced: [],
  queued: [],
  serviceTime: undefined,
  waitTime: undefined,
  merged: [],
  time: [],
  sectors: [],
};

const usage = (more: Partial<ResourceUsage> = {}): ResourceUsage => ({
  cpu: {
    totalNs: 30,
    kernelNs: 10,
    userNs: 20,
    perCpuNs: [15, 15],
    throttling: { periods: 1, throttledPeriods: 2, throttledNs: 3 },
  },
  memory: { usageBytes: 5, maxUsageBytes: 6, limitBytes: 9_223_372_036_854_771_712n, failures: 0, details: { rss: 1, cache: 2 } },
  blockIo,
  processes: { current: 1, limit: undefined },
  ...more,
});
const readAt = new Date('2026-11-26T11:25:15.503Z');
const none = { bytes: 0, packets: 0, errors: 0, dropped: 0 };

test('a container that does not run has a name, an id and nothing else', () => {
  const wire = toWireStats({ id: 'c', name: 'ss', sample: undefined, previous: undefined }, 1000);
  expect(wire).toMatchObject({
    read: '0001-01-01T00:00:00Z',
    preread: '0001-01-01T00:00:00Z',
    pids_stats: {},
    memory_stats: {},
    name: '/ss',
    id: 'c',
  });
  expect(wire).not.toHaveProperty('networks');
  expect(wire.cpu_stats).toEqual({
    cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
    throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
  });
  expect(Object.values(wire.blkio_stats)).toEqual(Array.from({ length: 8 }, () => null));
});

test('without a limit of its own, its limit is the memory of the machine', () => {
  const of = (limitBytes: number | bigint | undefined) => {
    const memory = { ...usage().memory, limitBytes };
    const sample = { readAt, usage: usage({ memory }), system: { cpuNs: 7, onlineCpus: 2 }, interfaces: new Map() };
    return toWireStats({ id: 'c', name: 'x', sample, previous: undefined }, 1000).memory_stats.limit;
  };
  expect([of(undefined), of(9_223_372_036_854_771_712n), of(2000), of(500)]).toEqual([1000, 1000, 1000, 500]);
});

test('the sample before is told for its processor time', () => {
  const sample = {
    readAt,
    usage: usage(),
    system: { cpuNs: 7, onlineCpus: 2 },
    interfaces: new Map([['eth0', { received: { ...none, bytes: 200 }, sent: none }]]),
  };
  const previous = { readAt: new Date(readAt.getTime() - 1000), cpu: usage().cpu, system: { cpuNs: 3, onlineCpus: 2 } };
  expect(toWireStats({ id: 'c', name: 'x', sample, previous }, 1000)).toMatchObject({
    read: '2026-11-26T11:25:15.503Z',
    preread: '2026-11-26T11:25:14.503Z',
    cpu_stats: { cpu_usage: { total_usage: 30, percpu_usage: [15, 15] }, system_cpu_usage: 7, online_cpus: 2 },
    precpu_stats: { system_cpu_usage: 3 },
    memory_stats: { usage: 5, max_usage: 6, stats: { cache: 2, rss: 1 } },
    blkio_stats: { io_service_bytes_recursive: [{ major: 254, minor: 0, op: 'Read', value: 4096 }], io_service_time_recursive: null },
    networks: { eth0: { rx_bytes: 200, tx_bytes: 0 } },
    pids_stats: { current: 1 },
  });
});

test('numbers beyond what a number holds keep their digits', () => {
  const processes = { current: 1, limit: 18_446_744_073_709_551_615n };
  const sample = { readAt, usage: usage({ processes }), system: { cpuNs: 7, onlineCpus: 2 }, interfaces: new Map() };
  expect(formatJson(toWireStats({ id: 'c', name: 'x', sample, previous: undefined }, 1000))).toContain('"limit":18446744073709551615');
});
