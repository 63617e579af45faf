import type { Context } from './context.ts';
import type { Entry } from './entry.ts';

/** Gives up a start that policy has planned. True when there was one: the container is `exited` then, and recorded so. */
export function cancelRestart(ctx: Context, entry: Entry): boolean {
  entry.restartTimer?.[Symbol.dispose]();
  entry.restartTimer = undefined;
  const { state } = entry.container;
  if (state.status !== 'restarting') return false;
  entry.container.state = { ...state, status: 'exited' };
  ctx.containers.save(entry);
  return true;
}
