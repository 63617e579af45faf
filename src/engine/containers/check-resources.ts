import { invalidArgument } from '#base/errors.ts';
import type { HostConfig } from './model.ts';
import { parseNumberList } from './number-ranges.ts';
import type { HostFacts } from './ports.ts';

const minimumMemoryBytes = 6 * 1024 * 1024;

/** Rejects limits that contradict each other or the machine, with InvalidArgument. Returns what the user should be warned of. */
export function checkResources(config: HostConfig, host: HostFacts): string[] {
  const warnings = checkMemory(config, host);
  checkCpu(config, host);
  checkCpuset('cpus', 'CPUs', config.cpusetCpus, host.onlineCpus);
  checkCpuset('mems', 'memory nodes', config.cpusetMems, host.memoryNodes);
  warnings.push(...checkBlockIo(config, host));
  if (config.oomScoreAdj < -1000 || config.oomScoreAdj > 1000) {
    throw invalidArgument(`Invalid value ${String(config.oomScoreAdj)}, range for oom score adj is [-1000, 1000]`);
  }
  if (config.shmSizeBytes < 0) throw invalidArgument('SHM size can not be less than 0');
  for (const limit of config.ulimits) checkUlimit(limit);
  return warnings;
}

function checkMemory(config: HostConfig, host: HostFacts): string[] {
  const { memoryBytes: memory, memorySwapBytes: swap, memoryReservationBytes: reservation, memorySwappiness: swappiness } = config;
  const warnings: string[] = [];
  if (memory !== 0 && memory < minimumMemoryBytes) throw invalidArgument('Minimum memory limit allowed is 6MB');
  if (memory > 0 && swap !== -1 && !host.swapLimit) {
    warnings.push('Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.');
  }
  if (memory > 0 && swap > 0 && swap < memory) {
    throw invalidArgument('Minimum memoryswap limit should be larger than memory limit, see usage');
  }
  if (memory === 0 && swap > 0) throw invalidArgument('You should always set the Memory limit when using Memoryswap limit, see usage');
  if (swappiness !== undefined && swappiness !== -1 && (swappiness < 0 || swappiness > 100)) {
    throw invalidArgument(`Invalid value: ${String(swappiness)}, valid memory swappiness range is 0-100`);
  }
  if (reservation !== 0 && reservation < minimumMemoryBytes) throw invalidArgument('Minimum memory reservation allowed is 6MB');
  if (memory > 0 && reservation > 0 && memory < reservation) {
    throw invalidArgument('Minimum memory limit can not be less than memory reservation limit, see usage');
  }
  if (config.oomKillDisable === true && memory === 0) {
    warnings.push(
      'OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.',
    );
  }
  return warnings;
}

function checkCpu(config: HostConfig, host: HostFacts): void {
  const { nanoCpus, cpuPeriod, cpuQuota, cpuRealtimePeriod, cpuRealtimeRuntime } = config;
  if (nanoCpus !== 0 && cpuPeriod !== 0) throw invalidArgument('Conflicting options: Nano CPUs and CPU Period cannot both be set');
  if (nanoCpus !== 0 && cpuQuota !== 0) throw invalidArgument('Conflicting options: Nano CPUs and CPU Quota cannot both be set');
  if (nanoCpus < 0 || nanoCpus > host.cpuCount * 1e9 || (nanoCpus > 0 && nanoCpus < 1e7)) {
    const count = String(host.cpuCount);
    throw invalidArgument(`range of CPUs is from 0.01 to ${count}.00, as there are only ${count} CPUs available`);
  }
  if (cpuPeriod !== 0 && (cpuPeriod < 1000 || cpuPeriod > 1_000_000)) {
    throw invalidArgument('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)');
  }
  if (cpuQuota > 0 && cpuQuota < 1000) throw invalidArgument('CPU cfs quota can not be less than 1ms (i.e. 1000)');
  if (cpuRealtimeRuntime !== 0 && cpuRealtimePeriod !== 0 && cpuRealtimeRuntime > cpuRealtimePeriod) {
    throw invalidArgument('cpu real-time runtime cannot be higher than cpu real-time period');
  }
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

const weightRules = [
  ['blkioWeight', 'Block I/O weight', 'Weight'],
  ['blkioWeightDevice', 'Block I/O weight_device', 'Weight-device'],
] as const;
const throttleRules = [
  ['blkioDeviceReadBps', 'BPS Block I/O read limit', 'Block I/O BPS read limit'],
  ['blkioDeviceWriteBps', 'BPS Block I/O write limit', 'Block I/O BPS write limit'],
  ['blkioDeviceReadIops', 'IOPS Block read limit', 'Block I/O IOPS read limit'],
  ['blkioDeviceWriteIops', 'IOPS Block write limit', 'Block I/O IOPS write limit'],
] as const;

/** Limits that the kernel cannot enforce are left out when the container starts. */
function checkBlockIo(config: HostConfig, { blockIo }: HostFacts): string[] {
  const weights = [config.blkioWeight, ...config.blkioWeightDevice.map(device => device.weight)];
  if (blockIo.weight && weights.some(weight => weight !== 0 && (weight < 10 || weight > 1000))) {
    throw invalidArgument('Range of blkio weight is from 10 to 1000');
  }
  const missing = [...(blockIo.weight ? [] : weightRules), ...(blockIo.throttle ? [] : throttleRules)];
  return missing
    .filter(([key]) => (key === 'blkioWeight' ? config.blkioWeight !== 0 : config[key].length > 0))
    .map(([, what, short]) => `Your kernel does not support ${what} or the cgroup is not mounted. ${short} discarded.`);
}

const limitNames = new Set('core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack as'.split(' '));

function checkUlimit(limit: HostConfig['ulimits'][number]): void {
  if (!limitNames.has(limit.name)) throw invalidArgument(`invalid ulimit type: ${limit.name}`);
  if (limit.hard !== -1 && (limit.soft === -1 || limit.soft > limit.hard)) {
    throw invalidArgument(`ulimit soft limit must be less than or equal to hard limit: ${String(limit.soft)} > ${String(limit.hard)}`);
  }
}
