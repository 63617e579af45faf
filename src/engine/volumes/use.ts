import { cleanUp } from '#base/dispose.ts';
import { EngineError, kindOf, messageOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { VolumeDriver } from '#core/volume-driver.ts';
import type { Context } from './context.ts';
import { createVolume } from './create.ts';
import type { Volume } from './model.ts';
import { removeLocked } from './remove.ts';

export interface AcquireVolume {
  readonly name: string | undefined;
  readonly driver: string;
  readonly driverOptions: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly containerId: string;
}

export interface Acquired {
  readonly name: string;
  readonly driver: string;
  readonly path: string;
  readonly created: boolean;
  readonly anonymous: boolean;
}

/** Volumes in the hands of containers. Uses are records; what is mounted is memory, made again from the running containers at a daemon start. */
export class VolumeUse {
  readonly #ctx: Context;
  readonly #mountedFor = new Map<string, Set<string>>();

  constructor(ctx: Context) {
    this.#ctx = ctx;
  }

  async acquire(request: AcquireVolume): Promise<Acquired> {
    const { volume, created } = await createVolume(this.#ctx, {
      name: request.name,
      driver: request.driver,
      options: request.driverOptions,
      labels: request.labels,
      user: request.containerId,
    });
    const { name, driver, anonymous } = volume;
    try {
      const { path } = await (await this.#ctx.drivers.find(driver)).describe(volume);
      return { name, driver, anonymous, created, path };
    } catch (err) {
      this.release(name, request.containerId);
      throw err;
    }
  }

  release(name: string, containerId: string): void {
    const volume = this.#ctx.table.get(name);
    if (volume === undefined || !volume.users.includes(containerId)) return;
    this.#ctx.table.put({ ...volume, users: volume.users.filter(user => user !== containerId) });
  }

  async removeIfUnused(name: string): Promise<void> {
    await this.#ctx.locks.run(name, async () => {
      const volume = this.#ctx.table.get(name);
      if (volume !== undefined && volume.users.length === 0) await removeLocked(this.#ctx, volume);
    });
  }

  async mount(name: string, containerId: string): Promise<string> {
    return await this.#ctx.locks.run(name, async () => {
      const volume = this.#ctx.table.find(name);
      const driver = await this.#ctx.drivers.find(volume.driver);
      if (driver.catalogue !== undefined) return await this.#mountEach(driver, volume, containerId);
      const path = await driver.mount(volume, containerId);
      this.#mountedOf(name).add(containerId);
      return path;
    });
  }

  /** Such a driver counts by itself, across deaths of this daemon: that it is to be told of an unmount is recorded before it is told of the mount. */
  async #mountEach(driver: VolumeDriver, volume: Volume, containerId: string): Promise<string> {
    const before = volume.mounts ?? [];
    if (!before.includes(containerId)) this.#ctx.table.put({ ...volume, mounts: [...before, containerId] });
    failpoint('volume.mount.recorded');
    try {
      const path = await driver.mount(volume, containerId);
      failpoint('volume.mount.mounted');
      return path;
    } catch (err) {
      // Without an answer it may have been mounted: then the unmount that follows the failed start is told as well.
      if (kindOf(err) === 'FailedPrecondition') this.#forgetMount(volume.name, containerId);
      throw new EngineError(kindOf(err), `error while mounting volume '${volume.name}': ${messageOf(err)}`, { cause: err });
    }
  }

  /** The last container out unmounts. False when this one had not mounted it. */
  async unmount(name: string, containerId: string): Promise<boolean> {
    return await this.#ctx.locks.run(name, async () => {
      const volume = this.#ctx.table.get(name);
      if (volume?.mounts !== undefined) return await this.#unmountEach(volume, containerId);
      const mountedFor = this.#mountedOf(name);
      const had = mountedFor.delete(containerId);
      if (mountedFor.size > 0) return had;
      this.#mountedFor.delete(name);
      const driver = volume && (await this.#ctx.drivers.find(volume.driver).catch(() => undefined));
      if (driver?.catalogue === undefined && volume !== undefined) await driver?.unmount(volume, containerId);
      return had;
    });
  }

  /** A driver that is away keeps nobody from going on: it is told when the next daemon starts. */
  async #unmountEach(volume: Volume, containerId: string): Promise<boolean> {
    if (volume.mounts?.includes(containerId) !== true) return false;
    try {
      await (await this.#ctx.drivers.find(volume.driver)).unmount(volume, containerId);
    } catch (err) {
      if (!['NotFound', 'Unavailable'].includes(kindOf(err))) throw err;
      this.#ctx.log.warn('a volume driver could not be told of an unmount', { volume: volume.name, driver: volume.driver, error: err });
      return true;
    }
    failpoint('volume.unmount.unmounted');
    this.#forgetMount(volume.name, containerId);
    return true;
  }

  #forgetMount(name: string, containerId: string): void {
    const volume = this.#ctx.table.get(name);
    if (volume !== undefined) this.#ctx.table.put({ ...volume, mounts: (volume.mounts ?? []).filter(user => user !== containerId) });
  }

  async recover(containers: readonly { readonly id: string; readonly running: boolean }[]): Promise<string[]> {
    const repaired: string[] = [];
    const known = new Set(containers.map(container => container.id));
    const running = new Set(containers.filter(container => container.running).map(container => container.id));
    for (const volume of this.#ctx.table.all()) {
      const users = volume.users.filter(user => known.has(user));
      const forgotten = volume.users.length - users.length;
      const current = forgotten === 0 ? volume : { ...volume, users };
      if (forgotten > 0) this.#ctx.table.put(current);
      const mountedFor = users.filter(user => running.has(user));
      if (current.mounts !== undefined) repaired.push(...(await this.#unmountLost(current, running)));
      if (mountedFor.length > 0) {
        this.#mountedFor.set(volume.name, new Set(mountedFor));
        continue;
      }
      // An anonymous volume whose container was never finished is nobody's.
      if (volume.removing || (volume.anonymous && forgotten > 0 && users.length === 0)) {
        await cleanUp(`volume ${volume.name}`, this.#ctx.log, () => removeLocked(this.#ctx, current));
        repaired.push(
          `removed the volume ${volume.name}, ${volume.removing ? 'whose removal had begun' : 'made for a container that was never finished'}`,
        );
        continue;
      }
      if (current.mounts !== undefined) continue;
      await cleanUp(`mount of volume ${volume.name}`, this.#ctx.log, async () => {
        const driver = await this.#ctx.drivers.find(volume.driver);
        if (driver.catalogue === undefined) await driver.unmount(volume, '');
      });
    }
    return repaired;
  }

  /** What was mounted for containers that do not run is unmounted; a driver that is away is told at the next start. */
  async #unmountLost(volume: Volume, running: ReadonlySet<string>): Promise<string[]> {
    const lost = (volume.mounts ?? []).filter(user => !running.has(user));
    for (const user of lost) {
      await cleanUp(`mount of volume ${volume.name} for container ${user}`, this.#ctx.log, () => this.#unmountEach(volume, user));
    }
    return lost.length === 0 ? [] : [`told the volume driver ${volume.driver} that the volume ${volume.name} is not used any more`];
  }

  #mountedOf(name: string): Set<string> {
    const known = this.#mountedFor.get(name);
    if (known !== undefined) return known;
    const made = new Set<string>();
    this.#mountedFor.set(name, made);
    return made;
  }
}
