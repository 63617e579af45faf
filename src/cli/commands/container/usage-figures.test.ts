import { expect, test } from 'bun:test';
import type { BlkioStats, ContainerStats, CpuStats } from '#api/types/stats.ts';
import { usageFigures } from './usage-figures.ts';

const cpu = (total: number, system?: number, onlineCpus = 2): CpuStats => ({
  cpu_usage: { total_usage: total, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  ...(system === undefined ? {} : { system_cpu_usage: system, online_cpus: onlineCpus }),
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
});
const blkio: BlkioStats = {
  io_service_bytes_recursive: null,
  io_serviced_recursive: null,
  io_queue_recursive: null,
  io_service_time_recursive: null,
  io_wait_time_recursive: null,
  io_merged_recursive: null,
  io_time_recursive: null,
  sectors_recursive: null,
};
const report = (more: Partial<ContainerStats> = {}): ContainerStats => ({
  read: '',
  preread: '',
  pids_stats: {},
  blkio_stats: blkio,
  num_procs: 0,
  storage_stats: {},
  cpu_stats: cpu(0),
  precpu_stats: cpu(0),
  memory_stats: {},
  ...more,
});

test('of a container that does not run everything is 0', () => {
  expect(new Set(Object.values(usageFigures(report())))).toEqual(new Set([0]));
});

test('100 % is one processor', () => {
  expect(usageFigures(report({ precpu_stats: cpu(1000, 10_000), cpu_stats: cpu(2000, 12_000) })).cpuPercent).toBe(100);
  expect(usageFigures(report({ precpu_stats: cpu(1000, 10_000), cpu_stats: cpu(1000, 12_000) })).cpuPercent).toBe(0);
  expect(usageFigures(report({ precpu_stats: cpu(1000, 12_000), cpu_stats: cpu(2000, 12_000) })).cpuPercent).toBe(0);
});

test('memory in use is without inactive files, as either version of control groups names them', () => {
  const used = (stats: Record<string, number>) => usageFigures(report({ memory_stats: { usage: 100, limit: 200, stats } }));
  expect(used({ total_inactive_file: 40, inactive_file: 10 })).toMatchObject({ memoryBytes: 60, memoryPercent: 30, memoryLimitBytes: 200 });
  expect(used({ inactive_file: 10 }).memoryBytes).toBe(90);
  expect(used({ total_inactive_file: 400, inactive_file: 500 }).memoryBytes).toBe(100);
});

test('interfaces and devices are added up', () => {
  const traffic = (rx: number, tx: number) => ({
    rx_bytes: rx,
    rx_packets: 0,
    rx_errors: 0,
    rx_dropped: 0,
    tx_bytes: tx,
    tx_packets: 0,
    tx_errors: 0,
    tx_dropped: 0,
  });
  const entry = (op: string, value: number) => ({ major: 8, minor: 0, op, value });
  const figures = usageFigures(
    report({
      networks: { eth0: traffic(1, 2), eth1: traffic(10, 20) },
      blkio_stats: { ...blkio, io_service_bytes_recursive: [entry('Read', 3), entry('write', 4), entry('Sync', 7), entry('read', 30)] },
      pids_stats: { current: 5 },
    }),
  );
  expect(figures).toMatchObject({ receivedBytes: 11, sentBytes: 22, readBytes: 33, writtenBytes: 4, processes: 5 });
});
