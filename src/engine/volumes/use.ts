import { cleanUp } from '#base/dispose.ts';
import { type Context, driverOf } from './context.ts';
import { createVolume } from './create.ts';
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
    return { name, driver, anonymous, created, path: driverOf(this.#ctx, driver).path(name) };
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
      const driver = driverOf(this.#ctx, volume.driver);
      await driver.mount(volume);
      this.#mountedOf(name).add(containerId);
      return driver.path(name);
    });
  }

  /** The last container out unmounts. False when this one had not mounted it. */
  async unmount(name: string, containerId: string): Promise<boolean> {
    return await this.#ctx.locks.run(name, async () => {
      const mountedFor = this.#mountedOf(name);
      const had = mountedFor.delete(containerId);
      if (mountedFor.size > 0) return had;
      this.#mountedFor.delete(name);
      const volume = this.#ctx.table.get(name);
      if (volume !== undefined) await driverOf(this.#ctx, volume.driver).unmount(volume);
      return had;
    });
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
      await cleanUp(`mount of volume ${volume.name}`, this.#ctx.log, () => driverOf(this.#ctx, volume.driver).unmount(volume));
    }
    return repaired;
  }

  #mountedOf(name: string): Set<string> {
    const known = this.#mountedFor.get(name);
    if (known !== undefined) return known;
    const made = new Set<string>();
    this.#mountedFor.set(name, made);
    return made;
  }
}
