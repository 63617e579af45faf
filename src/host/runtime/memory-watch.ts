import { existsSync, rmSync, watch } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Cgroup } from '#host/cgroups/cgroup.ts';
import { files } from './layout.ts';

// One may hear of a want of memory before the kernel has ended a process for it.
const looksAfterMs = [0, 10, 50, 200, 500, 1000, 2000, 5000];

/**
 * Tells each time the kernel ends a process of a container for want of memory, or keeps its processes waiting for it, until it has ended. With
 * version 2 of control groups the kernel itself gives notice; with version 1 the monitor does, sometimes twice, by a file that is taken away so that
 * the next time is seen as well. How often it happened, the cgroup knows.
 */
export function watchMemory(directory: string, cgroup: Cgroup, ended: Promise<unknown>, listener: () => void): void {
  const notice = `${directory}/${files.oom}`;
  const { memoryEvents } = cgroup;
  let told = memoryEvents === undefined ? 0 : cgroup.oomKills();
  let isOver = false;
  const look = async (): Promise<void> => {
    for (const afterMs of looksAfterMs) {
      await delay(afterMs);
      if (isOver) return;
      const kills = cgroup.oomKills();
      if (kills <= told) continue;
      told = kills;
      return listener();
    }
    if (cgroup.waitsForMemory()) listener();
  };
  const lookAtNotice = (): void => {
    if (!existsSync(notice)) return;
    rmSync(notice, { force: true });
    void look();
  };
  const watcher =
    memoryEvents === undefined
      ? watch(directory, { persistent: false }, (_event, name) => {
          if (name === files.oom) lookAtNotice();
        })
      : watch(memoryEvents, { persistent: false }, () => {
          // The file tells of other things as well, some of them often.
          const kills = cgroup.oomKills();
          if (isOver || kills <= told) return;
          told = kills;
          listener();
        });
  // What is watched may go before the end is known.
  watcher.on('error', () => watcher.close());
  const end = (): void => {
    isOver = true;
    watcher.close();
  };
  void ended.then(end, end);
  if (memoryEvents === undefined) lookAtNotice();
}
