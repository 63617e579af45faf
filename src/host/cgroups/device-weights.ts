import { existsSync, writeFileSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import type { ResourcesSpec } from '#oci/runtime-spec.ts';
import type { Hierarchies } from './hierarchies.ts';

export type DeviceWeights = NonNullable<NonNullable<ResourcesSpec['blockIO']>['weightDevice']>;

/** Takes the shares of single devices out of what a runtime is told. */
export function splitDeviceWeights(resources: ResourcesSpec): { readonly weights: DeviceWeights; readonly others: ResourcesSpec } {
  const { weightDevice, ...blockIO } = resources.blockIO ?? {};
  return weightDevice === undefined ? { weights: [], others: resources } : { weights: weightDevice, others: { ...resources, blockIO } };
}

/**
 * Sets the shares of single devices of a cgroup of version 2, for whichever scheduler of the kernel weighs. Returns the devices, in words, for which
 * none does.
 */
export function writeDeviceWeights({ unified }: Hierarchies, path: string, weights: DeviceWeights): string[] {
  const ofBfq = `${unified ?? ''}${path}/io.bfq.weight`;
  const hasBfq = existsSync(ofBfq);
  return weights.flatMap(({ major, minor, weight }) => {
    const device = `${String(major)}:${String(minor)}`;
    // BFQ counts as containers do, from 10 to 1000; the other one from 1 to 10000.
    const value = hasBfq ? weight : Math.floor(1 + ((weight - 10) * 9999) / 990);
    try {
      writeFileSync(hasBfq ? ofBfq : `${unified ?? ''}${path}/io.weight`, `${device} ${String(value)}\n`);
      return [];
    } catch (err) {
      if (isErrno(err, 'ENOENT', 'ENODEV', 'EINVAL', 'EOPNOTSUPP', 'ENOTSUP')) return [device];
      throw err;
    }
  });
}
