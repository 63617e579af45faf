import type { ContainerUpdateRequest } from '#api/types/container.ts';
import type { ContainerChanges } from '#engine/containers/model.ts';
import { restartPolicy } from './container-create.ts';

/** Zeros and empty texts change nothing, except that a limit of no processes means no limit of processes. */
export function fromUpdateRequest(wire: ContainerUpdateRequest): ContainerChanges {
  const { RestartPolicy: policy, PidsLimit: pids } = wire;
  return {
    blkioWeight: wire.BlkioWeight ?? 0,
    cpuShares: wire.CpuShares ?? 0,
    nanoCpus: wire.NanoCpus ?? 0,
    cpuPeriod: wire.CpuPeriod ?? 0,
    cpuQuota: wire.CpuQuota ?? 0,
    cpuRealtimePeriod: wire.CpuRealtimePeriod ?? 0,
    cpuRealtimeRuntime: wire.CpuRealtimeRuntime ?? 0,
    cpusetCpus: wire.CpusetCpus ?? '',
    cpusetMems: wire.CpusetMems ?? '',
    memoryBytes: wire.Memory ?? 0,
    memorySwapBytes: wire.MemorySwap ?? 0,
    memoryReservationBytes: wire.MemoryReservation ?? 0,
    ...(pids === undefined || pids === null ? {} : { pidsLimit: Math.max(0, pids) }),
    ...(policy === undefined || policy.Name === '' ? {} : { restartPolicy: restartPolicy(policy) }),
  };
}
