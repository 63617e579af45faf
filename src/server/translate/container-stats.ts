import type { BlkioStatEntry, BlkioStats, ContainerStats, CpuStats, MemoryStats, NetworkStats } from '#api/types/stats.ts';
import type { BlockIoCount, Count, CpuUsage, InterfaceCounters, ResourceUsage } from '#core/usage.ts';
import type { UsageReport } from '#engine/containers/usage-types.ts';
import { zeroTime } from '#engine/containers/state.ts';

/** `hostMemoryBytes`: the limit of a container that has none of its own. */
export function toWireStats({ id, name, sample, previous }: UsageReport, hostMemoryBytes: number): ContainerStats {
  const usage = sample?.usage;
  const networks = [...(sample?.interfaces ?? [])];
  return {
    read: sample?.readAt.toISOString() ?? zeroTime,
    preread: previous?.readAt.toISOString() ?? zeroTime,
    pids_stats:
      usage === undefined ? {} : { ...unlessZero('current', usage.processes.current), ...unlessZero('limit', usage.processes.limit) },
    blkio_stats: toWireBlockIo(usage?.blockIo),
    num_procs: 0,
    storage_stats: {},
    cpu_stats: toWireCpu(usage?.cpu, sample?.system),
    precpu_stats: toWireCpu(previous?.cpu, previous?.system),
    memory_stats: usage === undefined ? {} : toWireMemory(usage, hostMemoryBytes),
    name: `/${name}`,
    id,
    ...(networks.length === 0
      ? {}
      : { networks: Object.fromEntries(networks.map(([each, { received, sent }]) => [each, toWireNetwork(received, sent)])) }),
  };
}

/** Written with all its digits. */
const exact = (count: Count): number =>
  typeof count === 'number' ? count : ((JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(count)) as number);

const unlessZero = <K extends string>(key: K, count: Count | undefined): Partial<Record<K, number>> =>
  count === undefined || Number(count) === 0 ? {} : ({ [key]: exact(count) } as Record<K, number>);

function toWireCpu(cpu: CpuUsage | undefined, system: { readonly cpuNs: Count; readonly onlineCpus: number } | undefined): CpuStats {
  return {
    cpu_usage: {
      total_usage: exact(cpu?.totalNs ?? 0),
      ...(cpu?.perCpuNs === undefined ? {} : { percpu_usage: cpu.perCpuNs.map(exact) }),
      usage_in_kernelmode: exact(cpu?.kernelNs ?? 0),
      usage_in_usermode: exact(cpu?.userNs ?? 0),
    },
    ...(system === undefined ? {} : { system_cpu_usage: exact(system.cpuNs), online_cpus: system.onlineCpus }),
    throttling_data: {
      periods: exact(cpu?.throttling.periods ?? 0),
      throttled_periods: exact(cpu?.throttling.throttledPeriods ?? 0),
      throttled_time: exact(cpu?.throttling.throttledNs ?? 0),
    },
  };
}

function toWireMemory({ memory }: ResourceUsage, hostMemoryBytes: number): MemoryStats {
  const names = Object.keys(memory.details).toSorted();
  const limit = memory.limitBytes === undefined || memory.limitBytes > hostMemoryBytes ? hostMemoryBytes : memory.limitBytes;
  return {
    ...unlessZero('usage', memory.usageBytes),
    ...unlessZero('max_usage', memory.maxUsageBytes),
    stats: Object.fromEntries(names.map(name => [name, exact(memory.details[name] ?? 0)])),
    ...unlessZero('failcnt', memory.failures),
    ...unlessZero('limit', limit),
  };
}

const toWireEntries = (counts: readonly BlockIoCount[] | undefined): BlkioStatEntry[] | null =>
  counts?.map(({ major, minor, operation, value }) => ({ major, minor, op: operation, value: exact(value) })) ?? null;

function toWireBlockIo(blockIo: ResourceUsage['blockIo'] | undefined): BlkioStats {
  return {
    io_service_bytes_recursive: toWireEntries(blockIo?.serviceBytes),
    io_serviced_recursive: toWireEntries(blockIo?.serviced),
    io_queue_recursive: toWireEntries(blockIo?.queued),
    io_service_time_recursive: toWireEntries(blockIo?.serviceTime),
    io_wait_time_recursive: toWireEntries(blockIo?.waitTime),
    io_merged_recursive: toWireEntries(blockIo?.merged),
    io_time_recursive: toWireEntries(blockIo?.time),
    sectors_recursive: toWireEntries(blockIo?.sectors),
  };
}

function toWireNetwork(received: InterfaceCounters, sent: InterfaceCounters): NetworkStats {
  return {
    rx_bytes: exact(received.bytes),
    rx_packets: exact(received.packets),
    rx_errors: exact(received.errors),
    rx_dropped: exact(received.dropped),
    tx_bytes: exact(sent.bytes),
    tx_packets: exact(sent.packets),
    tx_errors: exact(sent.errors),
    tx_dropped: exact(sent.dropped),
  };
}
