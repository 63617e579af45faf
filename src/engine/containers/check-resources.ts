import { invalidArgument } from '#base/errors.ts';
import type { HostConfig, ResourceLimits } from './model.ts';
import { parseNumberList } from './number-ranges.ts';
import type { HostFacts } from './ports.ts';

const minimumMemoryBytes = 6 * 1024 * 1024;

/** Limits as they can be enforced, and what the user should be warned of. */
export interface Settled<T> {
  readonly limits: T;
  readonly warnings: readonly string[];
}

/**
 * Rejects limits that contradict each other or the machine, with InvalidArgument; leaves out those that the kernel cannot enforce. An update may
 * name swap alone: the memory it goes with is there already.
 */
export function settleResources<T extends ResourceLimits>(asked: T, host: HostFacts, purpose: 'create' | 'update'): Settled<T> {
  const limits: T = { ...asked };
  const warnings: string[] = [];
  const without = (what: string, left: Partial<ResourceLimits>): void => {
    warnings.push(what);
    Object.assign(limits, left);
  };
  settleMemory(limits, host, purpose, without);
  settleCpu(limits, host, without);
  settleCpuset(limits, host, without);
  settleBlockIo(limits, host, without);
  return { limits, warnings };
}

type Without = (what: string, left: Partial<ResourceLimits>) => void;

function settleMemory(limits: ResourceLimits, { limits: kernel }: HostFacts, purpose: 'create' | 'update', without: Without): void {
  const missing = 'capabilities or the cgroup is not mounted.';
  if (limits.memoryBytes !== 0 && limits.memoryBytes < minimumMemoryBytes) throw invalidArgument('Minimum memory limit allowed is 6MB');
  if (limits.memoryBytes > 0 && !kernel.memoryLimit) {
    without(`Your kernel does not support memory limit ${missing} Limitation discarded.`, { memoryBytes: 0, memorySwapBytes: -1 });
  }
  if (limits.memoryBytes > 0 && limits.memorySwapBytes !== -1 && !kernel.swapLimit) {
    without(`Your kernel does not support swap limit ${missing} Memory limited without swap.`, { memorySwapBytes: -1 });
  }
  if (limits.memoryBytes > 0 && limits.memorySwapBytes > 0 && limits.memorySwapBytes < limits.memoryBytes) {
    throw invalidArgument('Minimum memoryswap limit should be larger than memory limit, see usage');
  }
  if (limits.memoryBytes === 0 && limits.memorySwapBytes > 0 && purpose === 'create') {
    throw invalidArgument('You should always set the Memory limit when using Memoryswap limit, see usage');
  }
  settleSwappiness(limits, kernel.memorySwappiness, without);
  settleReservation(limits, kernel.memoryReservation, without);
  if (limits.oomKillDisable === true && !kernel.oomKillDisable) {
    without('Your kernel does not support OomKillDisable. OomKillDisable discarded.', { oomKillDisable: undefined });
  }
  if (limits.oomKillDisable === true && limits.memoryBytes === 0) {
    without(
      'OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.',
      {},
    );
  }
  if (limits.pidsLimit !== undefined && limits.pidsLimit > 0 && !kernel.pidsLimit) {
    without(`Your kernel does not support PIDs limit ${missing} PIDs limit discarded.`, { pidsLimit: undefined });
  }
}

function settleSwappiness(limits: ResourceLimits, isSupported: boolean, without: Without): void {
  const { memorySwappiness: swappiness } = limits;
  if (swappiness === undefined || swappiness === -1) return;
  if (!isSupported) {
    const left = { memorySwappiness: undefined };
    without('Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.', left);
  } else if (swappiness < 0 || swappiness > 100) {
    throw invalidArgument(`Invalid value: ${String(swappiness)}, valid memory swappiness range is 0-100`);
  }
}

function settleReservation(limits: ResourceLimits, isSupported: boolean, without: Without): void {
  if (limits.memoryReservationBytes > 0 && !isSupported) {
    const left = { memoryReservationBytes: 0 };
    without('Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.', left);
  }
  const { memoryReservationBytes: reservation, memoryBytes: memory } = limits;
  if (reservation !== 0 && reservation < minimumMemoryBytes) throw invalidArgument('Minimum memory reservation allowed is 6MB');
  if (memory > 0 && reservation > 0 && memory < reservation) {
    throw invalidArgument('Minimum memory limit can not be less than memory reservation limit, see usage');
  }
}

function settleCpu(limits: ResourceLimits, host: HostFacts, without: Without): void {
  const { nanoCpus, cpuPeriod, cpuQuota, cpuRealtimePeriod, cpuRealtimeRuntime } = limits;
  const kernel = host.limits;
  if (nanoCpus !== 0 && cpuPeriod !== 0) throw invalidArgument('Conflicting options: Nano CPUs and CPU Period cannot both be set');
  if (nanoCpus !== 0 && cpuQuota !== 0) throw invalidArgument('Conflicting options: Nano CPUs and CPU Quota cannot both be set');
  if (nanoCpus > 0 && !kernel.cpuCfsQuota) {
    throw invalidArgument('NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted');
  }
  if (nanoCpus < 0 || nanoCpus > host.cpuCount * 1e9 || (nanoCpus > 0 && nanoCpus < 1e7)) {
    const count = String(host.cpuCount);
    throw invalidArgument(`range of CPUs is from 0.01 to ${count}.00, as there are only ${count} CPUs available`);
  }
  if (limits.cpuShares < 0) {
    throw invalidArgument(`invalid CPU shares (${String(limits.cpuShares)}): value must be a positive integer`);
  }
  // Version 2 has weights, to which shares of any size are scaled; version 1 would take the nearest it knows without a word.
  if (limits.cpuShares === 1 && host.cgroupVersion === 1) throw invalidArgument('the minimum allowed cpu-shares is 2');
  if (limits.cpuShares > 262_144 && host.cgroupVersion === 1) throw invalidArgument('the maximum allowed cpu-shares is 262144');
  if (limits.cpuShares > 0 && !kernel.cpuShares) {
    without('Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.', { cpuShares: 0 });
  }
  if ((cpuPeriod !== 0 || cpuQuota !== 0) && !kernel.cpuCfsQuota) {
    const left = { cpuPeriod: 0, cpuQuota: 0 };
    without('Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.', left);
  }
  if (limits.cpuPeriod !== 0 && (limits.cpuPeriod < 1000 || limits.cpuPeriod > 1_000_000)) {
    throw invalidArgument('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)');
  }
  if (limits.cpuQuota > 0 && limits.cpuQuota < 1000) throw invalidArgument('CPU cfs quota can not be less than 1ms (i.e. 1000)');
  if ((cpuRealtimePeriod !== 0 || cpuRealtimeRuntime !== 0) && !kernel.cpuRealtime) {
    throw invalidArgument('kernel does not support CPU real-time scheduler');
  }
  if (cpuRealtimeRuntime !== 0 && cpuRealtimePeriod !== 0 && cpuRealtimeRuntime > cpuRealtimePeriod) {
    throw invalidArgument('cpu real-time runtime cannot be higher than cpu real-time period');
  }
}

function settleCpuset(limits: ResourceLimits, host: HostFacts, without: Without): void {
  if ((limits.cpusetCpus !== '' || limits.cpusetMems !== '') && !host.limits.cpuSet) {
    const left = { cpusetCpus: '', cpusetMems: '' };
    without('Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.', left);
  }
  checkCpuset('cpus', 'CPUs', limits.cpusetCpus, host.onlineCpus);
  checkCpuset('mems', 'memory nodes', limits.cpusetMems, host.memoryNodes);
}

function checkCpuset(name: 'cpus' | 'mems', what: string, wanted: string, available: string): void {
  if (wanted === '') return;
  const numbers = parseNumberList(wanted);
  if (numbers === undefined) throw invalidArgument(`Invalid value ${wanted} for cpuset ${name}: invalid format: ${wanted}`);
  const present = new Set(parseNumberList(available));
  if (numbers.some(number => !present.has(number))) {
    throw invalidArgument(`Requested ${what} are not available - requested ${wanted}, available: ${available}`);
  }
}

/** Field, what it is, its short name, and what the kernel must be able to. */
const blockIoRules = [
  ['blkioWeight', 'Block I/O weight', 'Weight', 'blkioWeight'],
  ['blkioWeightDevice', 'Block I/O weight_device', 'Weight-device', 'blkioWeight'],
  ['blkioDeviceReadBps', 'BPS Block I/O read limit', 'Block I/O BPS read limit', 'blkioThrottle'],
  ['blkioDeviceWriteBps', 'BPS Block I/O write limit', 'Block I/O BPS write limit', 'blkioThrottle'],
  ['blkioDeviceReadIops', 'IOPS Block read limit', 'Block I/O IOPS read limit', 'blkioThrottle'],
  ['blkioDeviceWriteIops', 'IOPS Block write limit', 'Block I/O IOPS write limit', 'blkioThrottle'],
] as const;

function settleBlockIo(limits: ResourceLimits, { limits: kernel }: HostFacts, without: Without): void {
  for (const [key, what, short, needed] of blockIoRules) {
    const isAsked = key === 'blkioWeight' ? limits.blkioWeight !== 0 : limits[key].length > 0;
    if (!isAsked || kernel[needed]) continue;
    const left = key === 'blkioWeight' ? { blkioWeight: 0 } : { [key]: [] };
    without(`Your kernel does not support ${what} or the cgroup is not mounted. ${short} discarded.`, left);
  }
  const weights = [limits.blkioWeight, ...limits.blkioWeightDevice.map(device => device.weight)];
  if (weights.some(weight => weight !== 0 && (weight < 10 || weight > 1000))) {
    throw invalidArgument('Range of blkio weight is from 10 to 1000');
  }
}

/** What bounds processes and shared memory rather than the container as a whole. Rejects with InvalidArgument. */
export function checkProcessLimits(config: HostConfig): void {
  if (config.oomScoreAdj < -1000 || config.oomScoreAdj > 1000) {
    throw invalidArgument(`Invalid value ${String(config.oomScoreAdj)}, range for oom score adj is [-1000, 1000]`);
  }
  if (config.shmSizeBytes < 0) throw invalidArgument('SHM size can not be less than 0');
  for (const limit of config.ulimits) checkUlimit(limit);
}

const limitNames = new Set('core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack as'.split(' '));

function checkUlimit(limit: HostConfig['ulimits'][number]): void {
  if (!limitNames.has(limit.name)) throw invalidArgument(`invalid ulimit type: ${limit.name}`);
  if (limit.hard !== -1 && (limit.soft === -1 || limit.soft > limit.hard)) {
    throw invalidArgument(`ulimit soft limit must be less than or equal to hard limit: ${String(limit.soft)} > ${String(limit.hard)}`);
  }
}
