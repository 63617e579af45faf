import { type Context, publish } from './context.ts';
import { requireRunning } from './state.ts';

/** The processes of a container in the columns that `ps` would print for these arguments. */
export async function listProcesses(
  ctx: Context,
  ref: string,
  psArgs: string,
): Promise<{ readonly titles: string[]; readonly processes: string[][] }> {
  const { container } = ctx.containers.find(ref);
  requireRunning(container);
  const pids = await ctx.runtime.pids(container.id);
  const table = await ctx.processes.list(pids, psArgs === '' ? '-ef' : psArgs);
  publish(ctx, container, 'top');
  return table;
}
