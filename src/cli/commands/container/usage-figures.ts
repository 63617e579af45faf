import type { BlkioStats, ContainerStats, CpuStats, MemoryStats } from '#api/types/stats.ts';

/** What is shown of a report. */
export interface UsageFigures {
  readonly cpuPercent: number;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  readonly memoryPercent: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly processes: number;
}

export function usageFigures(report: ContainerStats): UsageFigures {
  const memoryBytes = memoryInUse(report.memory_stats);
  const memoryLimitBytes = report.memory_stats.limit ?? 0;
  const networks = Object.values(report.networks ?? {});
  return {
    cpuPercent: cpuPercent(report.precpu_stats, report.cpu_stats),
    memoryBytes,
    memoryLimitBytes,
    memoryPercent: memoryLimitBytes === 0 ? 0 : (memoryBytes / memoryLimitBytes) * 100,
    receivedBytes: networks.reduce((sum, network) => sum + network.rx_bytes, 0),
    sentBytes: networks.reduce((sum, network) => sum + network.tx_bytes, 0),
    readBytes: blockBytes(report.blkio_stats, 'r'),
    writtenBytes: blockBytes(report.blkio_stats, 'w'),
    processes: report.pids_stats.current ?? 0,
  };
}

/** 100 is one processor for the whole time between the two samples. */
function cpuPercent(before: CpuStats, now: CpuStats): number {
  const used = now.cpu_usage.total_usage - before.cpu_usage.total_usage;
  const passed = (now.system_cpu_usage ?? 0) - (before.system_cpu_usage ?? 0);
  const processors = now.online_cpus ?? now.cpu_usage.percpu_usage?.length ?? 0;
  return used > 0 && passed > 0 ? (used / passed) * processors * 100 : 0;
}

/** Without the part of the page cache that the kernel would give up first. */
function memoryInUse({ usage = 0, stats = {} }: MemoryStats): number {
  const inactive = [stats.total_inactive_file, stats.inactive_file].find(bytes => bytes !== undefined && bytes < usage);
  return usage - (inactive ?? 0);
}

function blockBytes({ io_service_bytes_recursive: entries }: BlkioStats, operation: 'r' | 'w'): number {
  const matching = (entries ?? []).filter(({ op }) => op.slice(0, 1).toLowerCase() === operation);
  return matching.reduce((sum, { value }) => sum + value, 0);
}
