import { conflict, EngineError, internal, kindOf, messageOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { shortId } from '#base/id.ts';
import { checkRestartPolicy } from './check-config.ts';
import { settleResources } from './check-resources.ts';
import { type Context, publish, withContainer } from './context.ts';
import type { Entry } from './entry.ts';
import { changeableFields, type ContainerChanges, type HostConfig, type ResourceLimits } from './model.ts';
import { changedResources } from './resources.ts';
import { isRunning } from './state.ts';

const noChange: ResourceLimits & Pick<ContainerChanges, 'restartPolicy'> = {
  cpuShares: 0,
  memoryBytes: 0,
  nanoCpus: 0,
  blkioWeight: 0,
  blkioWeightDevice: [],
  blkioDeviceReadBps: [],
  blkioDeviceWriteBps: [],
  blkioDeviceReadIops: [],
  blkioDeviceWriteIops: [],
  cpuPeriod: 0,
  cpuQuota: 0,
  cpuRealtimePeriod: 0,
  cpuRealtimeRuntime: 0,
  cpusetCpus: '',
  cpusetMems: '',
  memoryReservationBytes: 0,
  memorySwapBytes: 0,
  memorySwappiness: undefined,
  oomKillDisable: undefined,
  pidsLimit: undefined,
};

/**
 * Changes limits and restart policy; zeros and empty texts change nothing. The kernel's limits of a container that runs change with the record: what
 * is intended is recorded first, so that the next daemon finishes what this one began. Returns warnings.
 */
export async function updateContainer(ctx: Context, ref: string, asked: ContainerChanges): Promise<readonly string[]> {
  if (asked.restartPolicy !== undefined) checkRestartPolicy(asked.restartPolicy);
  const { limits, warnings } = settleResources({ ...noChange, ...asked }, ctx.host, 'update');
  const changes: ContainerChanges = Object.fromEntries(
    changeableFields.filter(field => limits[field] !== noChange[field]).map(field => [field, limits[field]]),
  );
  await withContainer(ctx, ref, async entry => {
    try {
      await applyChanges(ctx, entry, changes);
    } catch (err) {
      // A runtime that refuses says nothing about the request's form: clients are told of a server error.
      const kind = kindOf(err) === 'FailedPrecondition' ? 'Internal' : kindOf(err);
      throw new EngineError(kind, `Cannot update container ${entry.id}: ${messageOf(err)}`, { cause: err });
    }
    publish(ctx, entry.container, 'update');
  });
  return warnings;
}

//   intention recorded ─ runtime ─ limits recorded
async function applyChanges(ctx: Context, entry: Entry, changes: ContainerChanges): Promise<void> {
  const { container } = entry;
  if (entry.removing || container.state.status === 'removing' || container.state.status === 'dead') {
    throw internal('container is marked for removal and cannot be "update"');
  }
  checkAgainst(container.hostConfig, changes);
  const after = { ...container.hostConfig, ...changes };
  const resources = changedResources(changes, after, ctx.host);
  if (isRunning(container.state) && Object.keys(resources).length > 0) {
    container.unfinishedUpdate = changes;
    ctx.containers.save(entry);
    failpoint('container.update.recorded');
    try {
      await ctx.runtime.update(entry.id, resources);
    } catch (err) {
      delete container.unfinishedUpdate;
      ctx.containers.save(entry);
      throw err;
    }
    failpoint('container.update.applied');
    delete container.unfinishedUpdate;
  }
  container.hostConfig = after;
  ctx.containers.save(entry);
  failpoint('container.update.done');
}

/** Rejects with Conflict for changes that contradict what the container has. */
function checkAgainst(current: HostConfig, changes: ContainerChanges): void {
  const { nanoCpus = 0, cpuPeriod = 0, cpuQuota = 0, memoryBytes = 0, memorySwapBytes = 0, restartPolicy } = changes;
  const refusals: readonly (readonly [boolean, string])[] = [
    [nanoCpus > 0 && current.cpuPeriod > 0, 'Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set'],
    [nanoCpus > 0 && current.cpuQuota > 0, 'Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set'],
    [cpuPeriod > 0 && current.nanoCpus > 0, 'Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set'],
    [cpuQuota > 0 && current.nanoCpus > 0, 'Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set'],
    [
      memoryBytes > 0 && memoryBytes > current.memorySwapBytes && memorySwapBytes === 0,
      'Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time',
    ],
    [
      current.autoRemove && restartPolicy !== undefined && restartPolicy.name !== 'no',
      'Restart policy cannot be updated because AutoRemove is enabled for the container',
    ],
  ];
  for (const [isSo, words] of refusals) if (isSo) throw conflict(words);
}

/**
 * Finishes an update that an earlier daemon began. Where the runtime refuses it, the limits are as before it, and so is the record. Returns what was
 * done, in words.
 */
export async function finishUpdate(ctx: Context, entry: Entry, runs: boolean): Promise<string[]> {
  const { container } = entry;
  const { unfinishedUpdate: changes } = container;
  if (changes === undefined) return [];
  const after = { ...container.hostConfig, ...changes };
  const name = `container ${shortId(container.id)}`;
  try {
    if (runs) await ctx.runtime.update(entry.id, changedResources(changes, after, ctx.host));
    container.hostConfig = after;
    return [`finished the update of ${name}`];
  } catch (err) {
    ctx.log.warn('an unfinished update could not be finished', { container: entry.id, error: err });
    return [`undid the unfinished update of ${name}`];
  } finally {
    delete container.unfinishedUpdate;
    ctx.containers.save(entry);
  }
}
