import { invalidArgument } from '#base/errors.ts';
import type { ResourcesSpec, ThrottleDevice } from '#oci/runtime-spec.ts';
import type { ContainerChanges, ResourceLimits, ThrottleRule } from './model.ts';
import type { HostFacts } from './ports.ts';

const cfsPeriodMicroseconds = 100_000;

/** The limits of a container for its cgroup, without devices. */
export function resourcesSpec(config: ResourceLimits, host: HostFacts): ResourcesSpec {
  const memory = memorySpec(config, host);
  const cpu = cpuSpec(config);
  const blockIO = blockIoSpec(config, host);
  return {
    ...(Object.keys(memory).length === 0 ? {} : { memory }),
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
    ...(config.pidsLimit === undefined || config.pidsLimit <= 0 ? {} : { pids: { limit: config.pidsLimit } }),
    ...(Object.keys(blockIO).length === 0 ? {} : { blockIO }),
  };
}

/**
 * What to tell the kernel for a change of limits. `limits` are those after it: limits that a runtime can only write together come together, also
 * when one of them changes.
 */
export function changedResources(changes: ContainerChanges, limits: ResourceLimits, host: HostFacts): ResourcesSpec {
  const { memory, cpu, blockIO } = resourcesSpec(limits, host);
  const isChanged = (...keys: readonly (keyof ContainerChanges)[]): boolean => keys.some(key => changes[key] !== undefined);
  const pick = <T extends object, K extends keyof T>(from: T | undefined, ...keys: readonly K[]): Partial<Pick<T, K>> =>
    Object.fromEntries(keys.flatMap(key => (from?.[key] === undefined ? [] : [[key, from[key]]]))) as Partial<Pick<T, K>>;
  const changed = {
    memory: {
      ...(isChanged('memoryBytes', 'memorySwapBytes') ? pick(memory, 'limit', 'swap') : {}),
      ...(isChanged('memoryReservationBytes') ? pick(memory, 'reservation') : {}),
    },
    cpu: {
      ...(isChanged('cpuShares') ? pick(cpu, 'shares') : {}),
      ...(isChanged('nanoCpus', 'cpuPeriod', 'cpuQuota') ? pick(cpu, 'period', 'quota') : {}),
      ...((changes.cpuQuota ?? 0) < 0 ? { quota: -1 } : {}),
      ...(isChanged('cpuRealtimePeriod', 'cpuRealtimeRuntime') ? pick(cpu, 'realtimePeriod', 'realtimeRuntime') : {}),
      ...(isChanged('cpusetCpus') ? pick(cpu, 'cpus') : {}),
      ...(isChanged('cpusetMems') ? pick(cpu, 'mems') : {}),
    },
    pids: changes.pidsLimit === undefined ? {} : { limit: changes.pidsLimit > 0 ? changes.pidsLimit : -1 },
    blockIO: isChanged('blkioWeight') ? pick(blockIO, 'weight') : {},
  };
  return Object.fromEntries(Object.entries(changed).filter(([, limits]) => Object.keys(limits).length > 0));
}

function memorySpec(config: ResourceLimits, host: HostFacts): NonNullable<ResourcesSpec['memory']> {
  const { memoryBytes, memorySwapBytes, memoryReservationBytes, memorySwappiness, oomKillDisable } = config;
  return {
    ...(memoryBytes > 0 ? { limit: memoryBytes } : {}),
    ...(memorySwapBytes !== 0 && host.limits.swapLimit ? { swap: memorySwapBytes } : {}),
    ...(memoryReservationBytes > 0 ? { reservation: memoryReservationBytes } : {}),
    // Both belong to cgroup v1 alone.
    ...(memorySwappiness !== undefined && memorySwappiness !== -1 && host.limits.memorySwappiness ? { swappiness: memorySwappiness } : {}),
    ...(oomKillDisable === true && host.limits.oomKillDisable ? { disableOOMKiller: true } : {}),
  };
}

function cpuSpec(config: ResourceLimits): NonNullable<ResourcesSpec['cpu']> {
  const { cpuShares, nanoCpus, cpuPeriod, cpuQuota, cpuRealtimePeriod, cpuRealtimeRuntime, cpusetCpus, cpusetMems } = config;
  const byNano = nanoCpus > 0 ? { period: cfsPeriodMicroseconds, quota: Math.round((nanoCpus * cfsPeriodMicroseconds) / 1e9) } : {};
  return {
    ...(cpuShares > 0 ? { shares: cpuShares } : {}),
    ...(cpuPeriod !== 0 ? { period: cpuPeriod } : {}),
    ...(cpuQuota > 0 ? { quota: cpuQuota } : {}),
    ...byNano,
    ...(cpuRealtimePeriod !== 0 ? { realtimePeriod: cpuRealtimePeriod } : {}),
    ...(cpuRealtimeRuntime !== 0 ? { realtimeRuntime: cpuRealtimeRuntime } : {}),
    ...(cpusetCpus === '' ? {} : { cpus: cpusetCpus }),
    ...(cpusetMems === '' ? {} : { mems: cpusetMems }),
  };
}

function blockIoSpec(config: ResourceLimits, host: HostFacts): NonNullable<ResourcesSpec['blockIO']> {
  const { blkioWeight: weight, blkioThrottle: throttles } = host.limits;
  const throttle = (rules: readonly ThrottleRule[]): ThrottleDevice[] =>
    (throttles ? rules : []).map(rule => ({ ...blockDevice(rule.path, host), rate: rule.rate }));
  const lists = {
    throttleReadBpsDevice: throttle(config.blkioDeviceReadBps),
    throttleWriteBpsDevice: throttle(config.blkioDeviceWriteBps),
    throttleReadIOPSDevice: throttle(config.blkioDeviceReadIops),
    throttleWriteIOPSDevice: throttle(config.blkioDeviceWriteIops),
    weightDevice: (weight ? config.blkioWeightDevice : []).map(device => ({ ...blockDevice(device.path, host), weight: device.weight })),
  };
  return {
    ...(weight && config.blkioWeight > 0 ? { weight: config.blkioWeight } : {}),
    ...Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0)),
  };
}

function blockDevice(path: string, host: HostFacts): { major: number; minor: number } {
  let device: { readonly major: number; readonly minor: number } | undefined;
  try {
    device = host.devices(path)[0];
  } catch (err) {
    throw invalidArgument(`no such device for a block I/O limit: ${path}`, { cause: err });
  }
  if (device === undefined) throw invalidArgument(`not a device, so it takes no block I/O limit: ${path}`);
  return { major: device.major, minor: device.minor };
}
