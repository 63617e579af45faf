import { closeSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rmdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { isErrno, notFound, unavailable } from '#base/errors.ts';
import { openPidfd, signalPidfd } from '#host/sys/process.ts';
import type { Hierarchies } from './hierarchies.ts';

const attemptsBeforeThaw = 10;

/** One cgroup by its path below the roots of all hierarchies, such as `/berth/<id>`. Nothing here fails because it is already gone. */
export class Cgroup {
  readonly #hierarchies: Hierarchies;
  readonly path: string;

  constructor(hierarchies: Hierarchies, path: string) {
    this.#hierarchies = hierarchies;
    this.path = path;
  }

  /** Pids of the processes in it and below. */
  pids(): number[] {
    const directory = this.#anyDirectory();
    return directory === undefined ? [] : [...new Set(pidsBelow(directory))];
  }

  /** A file that lists the processes that are in it itself; undefined when it is not there. */
  membersFile(): string | undefined {
    const directory = this.#anyDirectory();
    return directory === undefined ? undefined : `${directory}/cgroup.procs`;
  }

  /** Ends every process in it and below, and resolves when none is left. */
  async killAll(signal: AbortSignal): Promise<void> {
    while (this.pids().length > 0) {
      signal.throwIfAborted();
      this.signalAll(9);
      // In a v1 freezer a process dies only when it is let go.
      const freezer = this.#directory('freezer');
      if (freezer !== undefined) thawBelow(freezer);
      await delay(1);
    }
  }

  /** Sends a signal to every process in it and below, or to those that are wanted, and returns how many there are. */
  signalAll(signal: number, isWanted: (pid: number) => boolean = () => true): number {
    const opened = this.pids().flatMap(pid => {
      const pidfd = openPidfd(pid);
      return pidfd === undefined ? [] : [{ pid, pidfd }];
    });
    // Looked at again: a descriptor may name a process that got the pid in between, and that one is not in here.
    const present = new Set(this.pids().filter(isWanted));
    for (const { pid, pidfd } of opened) {
      if (present.has(pid)) signalPidfd(pidfd, signal);
      closeSync(pidfd);
    }
    return present.size;
  }

  async setFrozen(frozen: boolean, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      if (!this.#writeFreezer(frozen))
        throw notFound(`cgroup ${this.path} has no freezer: mount the freezer controller to pause containers`);
      if (this.isFrozen() === frozen) return;
      if (signal.aborted) {
        this.#writeFreezer(false);
        throw unavailable(`cgroup ${this.path} did not become ${frozen ? 'frozen' : 'thawed'} in time`);
      }
      // A v1 freezer can get stuck on a process that is just forking or executing: letting all go for a moment frees it.
      if (attempt % attemptsBeforeThaw === 0) this.#writeFreezer(false);
      await delay(1);
    }
  }

  isFrozen(): boolean {
    const v1 = this.#directory('freezer');
    if (v1 !== undefined) return read(`${v1}/freezer.state`)?.trim() === 'FROZEN';
    const v2 = this.#unifiedDirectory();
    return v2 !== undefined && /^frozen 1$/m.test(read(`${v2}/cgroup.events`) ?? '');
  }

  /** How often the kernel ended a process in it for want of memory. */
  oomKills(): number {
    const v1 = this.#directory('memory');
    const text = v1 === undefined ? read(`${this.#unifiedDirectory() ?? ''}/memory.events`) : read(`${v1}/memory.oom_control`);
    return Number(/^oom_kill (\d+)$/m.exec(text ?? '')?.[1] ?? 0);
  }

  /** The file that the kernel changes when memory runs out; version 2 only. */
  get memoryEvents(): string | undefined {
    return this.#directory('memory') === undefined ? `${this.#unifiedDirectory() ?? ''}/memory.events` : undefined;
  }

  /** Whether it may use only so much memory, whatever those above it may. */
  isMemoryLimited(): boolean {
    const v1 = this.#directory('memory');
    const limit = v1 === undefined ? read(`${this.#unifiedDirectory() ?? ''}/memory.max`) : read(`${v1}/memory.limit_in_bytes`);
    // Version 1 writes a number beyond every memory for no limit.
    return limit !== undefined && limit.trim() !== 'max' && Number(limit) < Number.MAX_SAFE_INTEGER;
  }

  /** Whether it is right below another one. */
  isIn(parent: Cgroup): boolean {
    return this.path.slice(0, this.path.lastIndexOf('/')) === parent.path;
  }

  /** Whether its processes stand still for want of memory, which they do where the kernel may not end one of them. */
  waitsForMemory(): boolean {
    const v1 = this.#directory('memory');
    return v1 !== undefined && /^under_oom 1$/m.test(read(`${v1}/memory.oom_control`) ?? '');
  }

  /** Removes it and what is below, in every hierarchy, ending processes that are still in it. */
  async remove(signal: AbortSignal): Promise<void> {
    await Promise.all(
      this.#directories().map(async directory => {
        while (!(await removeTree(directory))) {
          if (signal.aborted) throw unavailable(`cannot remove the cgroup ${directory}: it still has processes`);
          this.signalAll(9);
          await delay(1);
        }
      }),
    );
  }

  /** Paths of the cgroups above it that no hierarchy has yet, the uppermost first: whoever makes this one makes them too. */
  missingParents(): string[] {
    const names = this.path.split('/').filter(name => name !== '');
    return names
      .slice(0, -1)
      .map((_, index) => `/${names.slice(0, index + 1).join('/')}`)
      .filter(path => !new Cgroup(this.#hierarchies, path).exists());
  }

  exists(): boolean {
    return this.#directories().some(directory => existsSync(directory));
  }

  /** Removes it where nothing is in it or below. Not there is fine. */
  async removeIfEmpty(): Promise<void> {
    await Promise.all(
      this.#directories().map(async directory => {
        try {
          await rmdir(directory);
        } catch (err) {
          if (!isErrno(err, 'ENOENT', 'EBUSY', 'ENOTEMPTY')) throw err;
        }
      }),
    );
  }

  /** Names of the cgroups right below, over all hierarchies. */
  children(): string[] {
    return [...new Set(this.#directories().flatMap(subdirectories))];
  }

  #writeFreezer(frozen: boolean): boolean {
    const v1 = this.#directory('freezer');
    if (v1 !== undefined) return writeIfThere(`${v1}/freezer.state`, frozen ? 'FROZEN' : 'THAWED');
    const v2 = this.#unifiedDirectory();
    return v2 !== undefined && writeIfThere(`${v2}/cgroup.freeze`, frozen ? '1' : '0');
  }

  #directory(controller: string): string | undefined {
    const mount = this.#hierarchies.controllers.get(controller);
    return mount === undefined ? undefined : mount + this.path;
  }

  #unifiedDirectory(): string | undefined {
    return this.#hierarchies.unified === undefined ? undefined : this.#hierarchies.unified + this.path;
  }

  #anyDirectory(): string | undefined {
    if (this.#hierarchies.version === 'v2') return this.#unifiedDirectory();
    return this.#directory('pids') ?? this.#directory('freezer') ?? this.#directory('memory') ?? this.#directories()[0];
  }

  #directories(): string[] {
    const { controllers, unified } = this.#hierarchies;
    const mounts = new Set(controllers.values());
    if (unified !== undefined) mounts.add(unified);
    return [...mounts].map(mount => mount + this.path);
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENODEV')) return undefined;
    throw err;
  }
}

function pidsBelow(directory: string): number[] {
  const own = read(`${directory}/cgroup.procs`);
  if (own === undefined) return [];
  const below = subdirectories(directory).flatMap(name => pidsBelow(`${directory}/${name}`));
  return [
    ...own
      .split('\n')
      .filter(line => line !== '')
      .map(Number),
    ...below,
  ];
}

function thawBelow(directory: string): void {
  if (read(`${directory}/freezer.state`)?.trim() !== 'THAWED') writeIfThere(`${directory}/freezer.state`, 'THAWED');
  for (const name of subdirectories(directory)) thawBelow(`${directory}/${name}`);
}

/** False when there is no such file. */
function writeIfThere(path: string, text: string): boolean {
  try {
    writeFileSync(path, text);
    return true;
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENODEV')) return false;
    throw err;
  }
}

function subdirectories(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter(entry => entry.isDirectory())
      .map(entry => entry.name);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENODEV')) return [];
    throw err;
  }
}

/** False while a process is still leaving. Not done on the main thread: the kernel may make a removal wait for seconds when others change cgroups. */
async function removeTree(directory: string): Promise<boolean> {
  try {
    await rmdir(directory);
    return true;
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return true;
    if (!isErrno(err, 'EBUSY', 'ENOTEMPTY')) throw err;
  }
  const below = await Promise.all(subdirectories(directory).map(name => removeTree(`${directory}/${name}`)));
  return below.length > 0 && below.every(Boolean) && (await removeTree(directory));
}
