import { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import type { EventPublisher } from '#core/events.ts';
import type { RecordStore } from '#core/records.ts';
import type { VolumeDriver } from '#core/volume-driver.ts';
import { type Acquired, type AcquireVolume, VolumeUse } from './use.ts';
import { type Context, driverOf } from './context.ts';
import { createVolume, type CreateVolume } from './create.ts';
import { type Filters, listVolumes } from './filters.ts';
import type { Volume } from './model.ts';
import { type PruneResult, pruneVolumes } from './prune.ts';
import { removeVolume } from './remove.ts';
import { VolumeTable } from './table.ts';

export interface VolumeDependencies {
  readonly records: RecordStore;
  readonly drivers: readonly VolumeDriver[];
  readonly events: EventPublisher;
  readonly log: Logger;
}

export interface VolumeDetails {
  readonly volume: Volume;
  readonly mountpoint: string;
}

/** Volumes as the API shows them, and as containers use them (their `ContainerVolumes`). */
export interface VolumeService {
  list(filters: Filters): VolumeDetails[];
  /** Rejects with NotFound `get x: no such volume`. */
  inspect(name: string): VolumeDetails;
  /** One that is there already is returned as it is; with another driver it rejects with Conflict. */
  create(request: CreateVolume): Promise<VolumeDetails>;
  /** Rejects with Conflict while containers use it. `force`: gone already is fine. */
  remove(name: string, options: { readonly force: boolean }): Promise<void>;
  /** Removes what nobody uses: anonymous volumes only, unless the filter `all` says otherwise. */
  prune(filters: Filters): Promise<PruneResult>;
  /** Bytes of its files; undefined when they are not this machine's. */
  usage(name: string): Promise<number | undefined>;

  acquire(request: AcquireVolume): Promise<Acquired>;
  release(name: string, containerId: string): void;
  removeIfUnused(name: string): Promise<void>;
  mount(name: string, containerId: string): Promise<string>;
  unmount(name: string, containerId: string): Promise<boolean>;
  recover(containers: readonly { readonly id: string; readonly running: boolean }[]): Promise<string[]>;
}

export function createVolumeService(dependencies: VolumeDependencies): VolumeService {
  const ctx: Context = {
    table: new VolumeTable(dependencies.records),
    drivers: new Map(dependencies.drivers.map(driver => [driver.name, driver])),
    events: dependencies.events,
    log: dependencies.log,
    locks: new KeyedLock(),
  };
  const use = new VolumeUse(ctx);
  const detailsOf = (volume: Volume): VolumeDetails => ({ volume, mountpoint: driverOf(ctx, volume.driver).path(volume.name) });
  return {
    list: filters => listVolumes(ctx, filters).map(detailsOf),
    inspect: name => detailsOf(ctx.table.find(name)),
    create: async request => detailsOf((await createVolume(ctx, request)).volume),
    remove: (name, options) => removeVolume(ctx, name, options),
    prune: filters => pruneVolumes(ctx, filters),
    usage(name) {
      const volume = ctx.table.find(name);
      return driverOf(ctx, volume.driver).usage(volume);
    },
    acquire: request => use.acquire(request),
    release: (name, containerId) => use.release(name, containerId),
    removeIfUnused: name => use.removeIfUnused(name),
    mount: (name, containerId) => use.mount(name, containerId),
    unmount: (name, containerId) => use.unmount(name, containerId),
    recover: containers => use.recover(containers),
  };
}
