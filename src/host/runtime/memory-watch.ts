import { existsSync, rmSync, watch } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isErrno } from '#base/errors.ts';
import type { Cgroup } from '#host/cgroups/cgroup.ts';
import { files } from './layout.ts';

// One may hear of a want of memory before the kernel has ended a process for it.
const looksAfterMs = [0, 10, 50, 200, 500, 1000, 2000, 5000];

/** A container whose want of memory is to be told of. */
export interface WatchedContainer {
  /** Where its monitor leaves notices. */
  readonly directory: string;
  readonly cgroup: Cgroup;
  readonly ended: Promise<unknown>;
  readonly listener: () => void;
}

interface Watched extends WatchedContainer {
  /** Processes that the kernel ended, as far as they were told of. */
  told: number;
  isOver: boolean;
  /** Undefined: it has no limit of its own. */
  watcher: Disposable | undefined;
}

/**
 * Tells each time the kernel ends a process of a container for want of memory, or keeps its processes waiting for it, until it has ended. With
 * version 2 of control groups the kernel itself gives notice; with version 1 the monitor does, sometimes twice, by a file that is taken away so that
 * the next time is seen as well. How often it happened, the cgroup knows.
 *
 * A container with a limit has a watch of its own. Those without share one, on the cgroup above them, which counts for all below; version 1 has no such
 * file, and there it is at the container's end that the count is seen.
 */
export class MemoryWatch {
  readonly #parent: Cgroup;
  readonly #watched = new Map<string, Watched>();
  readonly #unlimited = new Set<Watched>();
  #shared: Disposable | undefined;
  #sharedKills = 0;

  /** `parent`: the cgroup that containers are in unless they name another one. */
  constructor(parent: Cgroup) {
    this.#parent = parent;
  }

  /** Throws when the kernel watches no more files (fs.inotify.max_user_watches). */
  add(id: string, container: WatchedContainer): void {
    const watched: Watched = { ...container, told: 0, isOver: false, watcher: undefined };
    this.#watched.set(id, watched);
    const end = (): void => {
      watched.isOver = true;
      watched.watcher?.[Symbol.dispose]();
      this.#unlimited.delete(watched);
      if (this.#watched.get(id) === watched) this.#watched.delete(id);
      if (this.#unlimited.size > 0) return;
      this.#shared?.[Symbol.dispose]();
      this.#shared = undefined;
    };
    void container.ended.then(end, end);
    if (watched.cgroup.memoryEvents !== undefined) watched.told = watched.cgroup.oomKills();
    this.#place(watched);
  }

  /** A container's limits are other ones now. */
  limitsChanged(id: string): void {
    const watched = this.#watched.get(id);
    if (watched === undefined || watched.isOver || watched.watcher !== undefined) return;
    this.#unlimited.delete(watched);
    this.#place(watched);
  }

  #place(watched: Watched): void {
    const { cgroup } = watched;
    if (cgroup.isMemoryLimited() || !cgroup.isIn(this.#parent)) {
      watched.watcher =
        cgroup.memoryEvents === undefined ? watchNotices(watched) : watchFile(cgroup.memoryEvents, () => tellOfKills(watched));
      return;
    }
    this.#unlimited.add(watched);
    const { memoryEvents } = this.#parent;
    if (memoryEvents === undefined || this.#shared !== undefined) return;
    this.#sharedKills = this.#parent.oomKills();
    this.#shared = watchFile(memoryEvents, () => {
      const kills = this.#parent.oomKills();
      if (kills <= this.#sharedKills) return;
      this.#sharedKills = kills;
      for (const one of this.#unlimited) tellOfKills(one);
    });
  }
}

/** The file of the kernel tells of other things as well, some of them often. */
function tellOfKills(watched: Watched): void {
  if (watched.isOver) return;
  const kills = watched.cgroup.oomKills();
  if (kills <= watched.told) return;
  watched.told = kills;
  watched.listener();
}

function watchNotices(watched: Watched): Disposable {
  const { directory, cgroup } = watched;
  const notice = `${directory}/${files.oom}`;
  const look = async (): Promise<void> => {
    for (const afterMs of looksAfterMs) {
      await delay(afterMs);
      if (watched.isOver) return;
      const kills = cgroup.oomKills();
      if (kills <= watched.told) continue;
      watched.told = kills;
      return watched.listener();
    }
    if (cgroup.waitsForMemory()) watched.listener();
  };
  const lookAtNotice = (): void => {
    if (!existsSync(notice)) return;
    rmSync(notice, { force: true });
    void look();
  };
  const watcher = watchFile(directory, name => {
    if (name === files.oom) lookAtNotice();
  });
  lookAtNotice();
  return watcher;
}

function watchFile(path: string, changed: (name: string | null) => void): Disposable {
  try {
    const watcher = watch(path, { persistent: false }, (_event, name) => changed(name));
    // What is watched may go before the end is known.
    watcher.on('error', () => watcher.close());
    return { [Symbol.dispose]: () => watcher.close() };
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENODEV')) return { [Symbol.dispose]: () => undefined };
    throw err;
  }
}
