import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { Hierarchies } from './hierarchies.ts';
import { readUsage } from './usage.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync('/tmp/berth-usage-');
});
afterEach(() => rmSync(root, { recursive: true }));

const fill = (directory: string, files: Readonly<Record<string, string>>): void => {
  mkdirSync(directory, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(`${directory}/${name}`, `${text}\n`);
};

describe('version 1', () => {
  const controllers = (): Hierarchies => ({
    version: 'v1',
    controllers: new Map(['cpu', 'cpuacct', 'memory', 'blkio', 'pids'].map(name => [name, `${root}/${name}`])),
    unified: undefined,
  });

  test('reads every controller', () => {
    fill(`${root}/cpuacct/c`, {
      'cpuacct.usage': '35661394',
      'cpuacct.usage_percpu': '33813478 1847916 ',
      'cpuacct.stat': 'user 1\nsystem 2',
    });
    fill(`${root}/cpu/c`, { 'cpu.stat': 'nr_periods 7\nnr_throttled 3\nthrottled_time 12345\nwait_sum 1' });
    fill(`${root}/memory/c`, {
      'memory.usage_in_bytes': '692224',
      'memory.max_usage_in_bytes': '4059136',
      'memory.limit_in_bytes': '9223372036854771712',
      'memory.failcnt': '5',
      'memory.stat': 'cache 1\nrss 2\nunknown 3\nhierarchical_memory_limit 9223372036854771712\ntotal_inactive_file 4',
    });
    fill(`${root}/blkio/c`, {
      'blkio.throttle.io_service_bytes_recursive': '254:0 Read 4096\n254:0 Write 8192\nTotal 12288',
      'blkio.throttle.io_serviced_recursive': '254:0 Read 1\nTotal 1',
    });
    fill(`${root}/pids/c`, { 'pids.current': '3', 'pids.max': 'max' });
    const usage = readUsage(controllers(), '/c');
    expect(usage).toMatchObject({
      cpu: {
        totalNs: 35_661_394,
        perCpuNs: [33_813_478, 1_847_916],
        kernelNs: 20_000_000,
        userNs: 10_000_000,
        throttling: { periods: 7, throttledPeriods: 3, throttledNs: 12_345 },
      },
      memory: {
        usageBytes: 692_224,
        maxUsageBytes: 4_059_136,
        limitBytes: 9_223_372_036_854_771_712n,
        failures: 5,
        details: { cache: 1, rss: 2, hierarchical_memory_limit: 9_223_372_036_854_771_712n, total_inactive_file: 4, pgfault: 0 },
      },
      blockIo: {
        serviceBytes: [
          { major: 254, minor: 0, operation: 'Read', value: 4096 },
          { major: 254, minor: 0, operation: 'Write', value: 8192 },
        ],
        serviced: [{ major: 254, minor: 0, operation: 'Read', value: 1 }],
        merged: [],
      },
      processes: { current: 3, limit: undefined },
    });
    expect(Object.keys(usage?.memory.details ?? {})).not.toContain('unknown');
  });

  test('where CFQ counts, its counts are told', () => {
    fill(`${root}/pids/c`, { 'pids.current': '1', 'pids.max': '10' });
    fill(`${root}/blkio/c`, {
      'blkio.io_serviced_recursive': '8:0 Read 2\nTotal 2',
      'blkio.io_service_bytes_recursive': '8:0 Read 1024\nTotal 1024',
      'blkio.sectors_recursive': '8:0 2',
      'blkio.throttle.io_service_bytes_recursive': '8:0 Read 9\nTotal 9',
    });
    expect(readUsage(controllers(), '/c')).toMatchObject({
      blockIo: {
        serviceBytes: [{ operation: 'Read', value: 1024 }],
        sectors: [{ major: 8, minor: 0, operation: '', value: 2 }],
        time: [],
      },
      processes: { limit: 10 },
    });
  });
});

describe('version 2', () => {
  const unified = (): Hierarchies => ({ version: 'v2', controllers: new Map(), unified: root });

  test('reads the one tree', () => {
    fill(`${root}/c`, {
      'cpu.stat': 'usage_usec 1000\nuser_usec 600\nsystem_usec 400\nnr_periods 9\nnr_throttled 2\nthrottled_usec 3',
      'memory.current': '4096',
      'memory.max': '67108864',
      'memory.events': 'low 0\noom 2\noom_kill 1',
      'memory.stat': 'anon 1\nfile 2\ninactive_file 3\nother 4',
      'io.stat': '254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:1 rbytes=5 wbytes=6 rios=1 wios=1',
      'pids.current': '2',
      'pids.max': 'max',
    });
    expect(readUsage(unified(), '/c')).toMatchObject({
      cpu: {
        totalNs: 1_000_000,
        kernelNs: 400_000,
        userNs: 600_000,
        perCpuNs: undefined,
        throttling: { periods: 9, throttledPeriods: 2, throttledNs: 3000 },
      },
      memory: {
        usageBytes: 4096,
        maxUsageBytes: undefined,
        limitBytes: 67_108_864,
        failures: 2,
        details: { anon: 1, file: 2, inactive_file: 3, pgfault: 0 },
      },
      blockIo: {
        serviceBytes: [
          { major: 254, minor: 0, operation: 'read', value: 10 },
          { major: 254, minor: 0, operation: 'write', value: 20 },
          { major: 8, minor: 1, operation: 'read', value: 5 },
          { major: 8, minor: 1, operation: 'write', value: 6 },
        ],
        serviced: undefined,
      },
      processes: { current: 2, limit: 18_446_744_073_709_551_615n },
    });
  });

  test('without limits and without I/O', () => {
    fill(`${root}/c`, { 'cpu.stat': 'usage_usec 9007199254740993', 'memory.max': 'max', 'io.stat': '', 'pids.max': '5' });
    expect(readUsage(unified(), '/c')).toMatchObject({
      cpu: { totalNs: 9_007_199_254_740_993_000n },
      memory: { limitBytes: undefined },
      blockIo: { serviceBytes: undefined },
      processes: { limit: 5 },
    });
  });

  test('a cgroup that is not there has no usage', () => expect(readUsage(unified(), '/gone')).toBeUndefined());
});
