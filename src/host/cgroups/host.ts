import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isErrno, unavailable } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { mountController, unmountController } from '#host/sys/cgroup-mount.ts';
import { tryLock } from '#host/sys/flock.ts';
import { cgroupRoot, controllersOf, type Hierarchies, readHierarchies } from './hierarchies.ts';

export interface CgroupHost {
  readonly hierarchies: Hierarchies;
  /** Undoes the mounts when no container is left in them and no other daemon of this kind runs. Calling it twice is fine. */
  close(): Promise<void>;
}

export interface CgroupHostOptions {
  /** Names this daemon among those on the host. */
  readonly instance: string;
  readonly log: Logger;
  /** Shared by all daemons of the host. */
  readonly registry?: string;
}

/**
 * Makes the host's cgroups usable. On a host with v1 controllers and a unified tree beside them, runtimes refuse to run while the unified tree
 * still has a controller: each such controller is mounted the v1 way. What was mounted is noted in a registry that all daemons share, so that
 * the last one to close undoes it, also after an earlier one was killed.
 */
export async function openCgroupHost(options: CgroupHostOptions): Promise<CgroupHost> {
  const registry = new Registry(options.registry ?? '/run/berth-cgroups');
  const found = readHierarchies();
  if (found.version === 'v2') return { hierarchies: found, close: async () => undefined };
  const presence = await registry.join(options.instance);
  try {
    // Read anew: until the lock was ours, another daemon may have been taking its mounts away.
    await registry.locked(() => mountMissing(readHierarchies(), registry, options.log));
  } catch (err) {
    presence[Symbol.dispose]();
    throw err;
  }
  let closed = false;
  return {
    hierarchies: readHierarchies(),
    close: async () => {
      if (closed) return;
      closed = true;
      await registry.locked(() => {
        presence[Symbol.dispose]();
        registry.forget(options.instance);
        if (registry.otherDaemons().length === 0) unmountUnused(registry, options.log);
      });
      registry.removeIfEmpty();
    },
  };
}

function mountMissing(found: Hierarchies, registry: Registry, log: Logger): void {
  if (found.unified === undefined) return;
  const leftToUnified = readFileSync(`${found.unified}/cgroup.controllers`, 'utf8').trim().split(' ');
  const controllers = controllersOf(readFileSync('/proc/cgroups', 'utf8'));
  // A hierarchy lives on for a while after it was unmounted. Runtimes take its controller for a v1 one then, and cannot mount it in a container.
  const lingers = (name: string, hierarchy: number): boolean =>
    !found.controllers.has(name) && controllers.filter(other => other.hierarchy === hierarchy).length === 1;
  for (const { name, hierarchy, enabled } of controllers) {
    if (!enabled || !(hierarchy === 0 ? leftToUnified.includes(name) : lingers(name, hierarchy))) continue;
    const directory = `${cgroupRoot}/${name}`;
    // Noted first: a daemon killed in between leaves a note about a mount that is not there, which is harmless.
    registry.note(name);
    mkdirSync(directory, { recursive: true });
    try {
      mountController(name, directory);
    } catch (err) {
      throw unavailable(
        `cannot mount the cgroup controller ${name} on ${directory}: containers cannot run on this host until it is mounted; the daemon needs CAP_SYS_ADMIN for that`,
        { cause: err },
      );
    }
    log.info('mounted a cgroup controller', { controller: name, directory });
  }
}

function unmountUnused(registry: Registry, log: Logger): void {
  for (const name of registry.noted()) {
    const directory = `${cgroupRoot}/${name}`;
    if (hasChildren(directory)) continue;
    try {
      unmountController(directory);
      log.info('unmounted a cgroup controller', { controller: name, directory });
    } catch (err) {
      if (isErrno(err, 'EBUSY')) continue;
      if (!isErrno(err, 'EINVAL', 'ENOENT')) throw err;
    }
    removeEmptyDirectory(directory);
    registry.unnote(name);
  }
}

const hasChildren = (directory: string): boolean => {
  try {
    return readdirSync(directory, { withFileTypes: true }).some(entry => entry.isDirectory());
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return false;
    throw err;
  }
};

function removeEmptyDirectory(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (err) {
    if (!isErrno(err, 'ENOENT', 'EBUSY', 'ENOTEMPTY')) throw err;
  }
}

/** `mounted/<controller>`: what some daemon mounted. `daemons/<instance>`: held under a lock by each daemon that lives. `lock`: guards both. */
class Registry {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async locked<T>(action: () => T): Promise<T> {
    this.#prepare();
    for (;;) {
      using held = tryLock(`${this.#directory}/lock`);
      if (held !== undefined) return action();
      await delay(2);
    }
  }

  async join(instance: string): Promise<Disposable> {
    this.#prepare();
    const held = tryLock(`${this.#directory}/daemons/${instance}`);
    if (held === undefined)
      throw unavailable(`another daemon with the same instance ${instance} runs on this host: stop it, or give this one its own roots`);
    return held;
  }

  forget(instance: string): void {
    rmSync(`${this.#directory}/daemons/${instance}`, { force: true });
  }

  /** Those that live; the notes of dead ones are removed. */
  otherDaemons(): string[] {
    return readdirSync(`${this.#directory}/daemons`).filter(instance => {
      using dead = tryLock(`${this.#directory}/daemons/${instance}`);
      if (dead !== undefined) this.forget(instance);
      return dead === undefined;
    });
  }

  note(controller: string): void {
    writeFileSync(`${this.#directory}/mounted/${controller}`, '');
  }

  unnote(controller: string): void {
    rmSync(`${this.#directory}/mounted/${controller}`, { force: true });
  }

  noted(): string[] {
    return readdirSync(`${this.#directory}/mounted`);
  }

  removeIfEmpty(): void {
    if (this.noted().length > 0 || readdirSync(`${this.#directory}/daemons`).length > 0) return;
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #prepare(): void {
    for (const part of ['mounted', 'daemons']) mkdirSync(`${this.#directory}/${part}`, { recursive: true, mode: 0o700 });
  }
}
