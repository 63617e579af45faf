import { invalidArgument } from '#base/errors.ts';
import type { ResourcesSpec, ThrottleDevice } from '#oci/runtime-spec.ts';
import type { HostConfig, ThrottleRule } from './model.ts';
import type { HostFacts } from './ports.ts';

const cfsPeriodMicroseconds = 100_000;

/** The limits of a container for its cgroup, without devices. */
export function resourcesSpec(config: HostConfig, host: HostFacts): ResourcesSpec {
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

function memorySpec(config: HostConfig, host: HostFacts): NonNullable<ResourcesSpec['memory']> {
  const { memoryBytes, memorySwapBytes, memoryReservationBytes, memorySwappiness, oomKillDisable } = config;
  return {
    ...(memoryBytes > 0 ? { limit: memoryBytes } : {}),
    ...(memorySwapBytes !== 0 && host.swapLimit ? { swap: memorySwapBytes } : {}),
    ...(memoryReservationBytes > 0 ? { reservation: memoryReservationBytes } : {}),
    // Both belong to cgroup v1 alone.
    ...(memorySwappiness !== undefined && memorySwappiness !== -1 && host.cgroupVersion === 1 ? { swappiness: memorySwappiness } : {}),
    ...(oomKillDisable === true && host.cgroupVersion === 1 ? { disableOOMKiller: true } : {}),
  };
}

function cpuSpec(config: HostConfig): NonNullable<ResourcesSpec['cpu']> {
  const { cpuShares, nanoCpus, cpuPeriod, cpuQuota, cpuRealtimePeriod, cpuRealtimeRuntime, cpusetCpus, cpusetMems } = config;
  const byNano = nanoCpus > 0 ? { period: cfsPeriodMicroseconds, quota: Math.round((nanoCpus * cfsPeriodMicroseconds) / 1e9) } : {};
  return {
    ...(cpuShares > 0 ? { shares: cpuShares } : {}),
    ...(cpuPeriod !== 0 ? { period: cpuPeriod } : {}),
    ...(cpuQuota !== 0 ? { quota: cpuQuota } : {}),
    ...byNano,
    ...(cpuRealtimePeriod !== 0 ? { realtimePeriod: cpuRealtimePeriod } : {}),
    ...(cpuRealtimeRuntime !== 0 ? { realtimeRuntime: cpuRealtimeRuntime } : {}),
    ...(cpusetCpus === '' ? {} : { cpus: cpusetCpus }),
    ...(cpusetMems === '' ? {} : { mems: cpusetMems }),
  };
}

function blockIoSpec(config: HostConfig, host: HostFacts): NonNullable<ResourcesSpec['blockIO']> {
  const { weight, throttle: throttles } = host.blockIo;
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
