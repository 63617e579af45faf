import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Whether limits are found in the unified hierarchy. */
export const isUnified = (): boolean => existsSync('/sys/fs/cgroup/cgroup.controllers');

/** A file of the cgroup that a process is in: `cgroupFile(pid, 'memory', 'memory.max')`. Undefined when the kernel has no such file. */
export function cgroupFile(pid: number, controller: string, name: string): string | undefined {
  const path = join(cgroupFolder(pid, controller), name);
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined;
}

function cgroupFolder(pid: number, controller: string): string {
  const lines = readFileSync(`/proc/${String(pid)}/cgroup`, 'utf8')
    .trim()
    .split('\n');
  for (const line of lines) {
    const [, controllers = '', ...path] = line.split(':');
    if (isUnified() && controllers === '') return join('/sys/fs/cgroup', path.join(':'));
    if (!isUnified() && controllers.split(',').includes(controller)) return join('/sys/fs/cgroup', controller, path.join(':'));
  }
  throw new Error(`process ${String(pid)} is in no cgroup of ${controller}: ${lines.join(' ')}`);
}
