import { existsSync, rmSync, watch } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Cgroup } from '#host/cgroups/cgroup.ts';
import { files } from './layout.ts';

// A monitor may hear of a want of memory before the kernel has ended a process for it.
const looksAfterMs = [0, 10, 50, 200, 500, 1000, 2000, 5000];

/**
 * Tells each time the kernel ends a process of a container for want of memory, or keeps its processes waiting for it, until it has ended. The
 * monitor makes a file then, sometimes twice; it is taken away so that the next time is seen as well. How often it happened, the cgroup knows.
 */
export function watchMemory(directory: string, cgroup: Cgroup, ended: Promise<unknown>, listener: () => void): void {
  const path = `${directory}/${files.oom}`;
  let told = 0;
  let isOver = false;
  const look = async (): Promise<void> => {
    if (!existsSync(path)) return;
    rmSync(path, { force: true });
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
  const watcher = watch(directory, { persistent: false }, (_event, name) => {
    if (name === files.oom) void look();
  });
  // The directory may go before the end is known.
  watcher.on('error', () => watcher.close());
  const end = (): void => {
    isOver = true;
    watcher.close();
  };
  void ended.then(end, end);
  void look();
}
