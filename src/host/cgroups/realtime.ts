import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { failedPrecondition } from '#base/errors.ts';
import type { Hierarchies } from './hierarchies.ts';

/** How much of each period the real-time processes of all containers together may take. */
export interface RealtimeBudget {
  readonly periodUs: number;
  readonly runtimeUs: number;
}

/**
 * Gives every cgroup above this one, making those that are missing, its share of real-time processor time: a cgroup can have only what those above
 * it have. One that has more keeps it. Version 1 of control groups only.
 */
export function grantRealtime({ controllers }: Hierarchies, path: string, budget: RealtimeBudget): void {
  const mount = controllers.get('cpu');
  if (mount === undefined) return;
  const names = path.split('/').filter(name => name !== '');
  for (const end of names.slice(0, -1).keys()) {
    const directory = `${mount}/${names.slice(0, end + 1).join('/')}`;
    mkdirSync(directory, { recursive: true });
    if (Number(readFileSync(`${directory}/cpu.rt_runtime_us`, 'utf8')) >= budget.runtimeUs) continue;
    try {
      if (budget.periodUs > 0) writeFileSync(`${directory}/cpu.rt_period_us`, String(budget.periodUs));
      writeFileSync(`${directory}/cpu.rt_runtime_us`, String(budget.runtimeUs));
    } catch (err) {
      const wanted = `${String(budget.runtimeUs)} µs of each ${String(budget.periodUs)} µs`;
      throw failedPrecondition(`the kernel does not give ${wanted} of real-time processor time to the cgroup ${directory}`, { cause: err });
    }
  }
}
