import { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import type { EventPublisher } from '#core/events.ts';
import type { RecordStore } from '#core/records.ts';
import type { VolumeDrivers, VolumeState } from '#core/volume-driver.ts';
import { type Acquired, type AcquireVolume, VolumeUse } from './use.ts';
import type { Context } from './context.ts';
import { createVolume, type CreateVolume } from './create.ts';
import { type Filters, listFilter } from './filters.ts';
import { findForeign, listForeign } from './foreign.ts';
import type { Volume } from './model.ts';
import { type PruneResult, pruneVolumes } from './prune.ts';
import { removeVolume } from './remove.ts';
import { VolumeTable } from './table.ts';

export interface VolumeDependencies {
  readonly records: RecordStore;
  readonly drivers: VolumeDrivers;
  readonly events: EventPublisher;
  readonly log: Logger;
}

export interface VolumeDetails {
  readonly volume: Volume;
  /** Empty where the driver does not tell. */
  readonly mountpoint: string;
  readonly scope: 'local' | 'global';
  readonly status?: Readonly<Record<string, unknown>>;
}

export interface VolumeList {
  /** By name. */
  readonly volumes: readonly VolumeDetails[];
  /** What drivers did not tell. */
  readonly warnings: readonly string[];
}

/** Volumes as the API shows them, and as containers use them (their `ContainerVolumes`). */
export interface VolumeService {
  list(filters: Filters): Promise<VolumeList>;
  /** Rejects with NotFound `get x: no such volume`; also when the driver it was made with is not there. */
  inspect(name: string): Promise<VolumeDetails>;
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
    drivers: dependencies.drivers,
    events: dependencies.events,
    log: dependencies.log,
    locks: new KeyedLock(),
  };
  const use = new VolumeUse(ctx);
  const describe = async (volume: Volume): Promise<VolumeDetails> => {
    const driver = await ctx.drivers.find(volume.driver);
    return toDetails(volume, driver.scope, await driver.describe(volume));
  };
  return {
    list: filters => listVolumes(ctx, filters),
    async inspect(name) {
      const foreign = ctx.table.get(name) === undefined ? await findForeign(ctx, name) : undefined;
      return foreign === undefined ? await describe(ctx.table.find(name)) : toDetails(foreign.volume, foreign.driver.scope, foreign.state);
    },
    create: async request => await describe((await createVolume(ctx, request)).volume),
    remove: (name, options) => removeVolume(ctx, name, options),
    prune: filters => pruneVolumes(ctx, filters),
    async usage(name) {
      const volume = ctx.table.get(name);
      return volume && (await (await ctx.drivers.find(volume.driver)).usage(volume));
    },
    acquire: request => use.acquire(request),
    release: (name, containerId) => use.release(name, containerId),
    removeIfUnused: name => use.removeIfUnused(name),
    mount: (name, containerId) => use.mount(name, containerId),
    unmount: (name, containerId) => use.unmount(name, containerId),
    recover: containers => use.recover(containers),
  };
}

const toDetails = (volume: Volume, scope: 'local' | 'global', { path, status }: VolumeState): VolumeDetails => ({
  volume,
  mountpoint: path,
  scope,
  ...(status === undefined ? {} : { status }),
});

/** A driver that is not there, or hangs, hides no volume: what it would say is left out. */
async function listVolumes(ctx: Context, filters: Filters): Promise<VolumeList> {
  const matches = listFilter(filters);
  const foreign = await listForeign(ctx);
  const own = await Promise.all(
    ctx.table
      .all()
      .filter(matches)
      .map(async volume => {
        const driver = await ctx.drivers.find(volume.driver).catch(() => undefined);
        // Those with a list of their own have told where their volumes are, or that they do not; a list does not ask for each.
        const isOwn = driver !== undefined && driver.catalogue === undefined;
        return toDetails(volume, driver?.scope ?? 'local', isOwn ? await driver.describe(volume) : { path: '' });
      }),
  );
  const others = foreign.volumes.filter(({ volume }) => matches(volume));
  return {
    volumes: [...own, ...others.map(({ volume, state, driver }) => toDetails(volume, driver.scope, state))].toSorted((a, b) =>
      a.volume.name < b.volume.name ? -1 : 1,
    ),
    warnings: foreign.warnings,
  };
}
