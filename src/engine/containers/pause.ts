import { cleanUp } from '#base/dispose.ts';
import { conflict } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { type Context, publish, withContainer } from './context.ts';
import { unwatchHealth } from './health-checks.ts';
import { isRunning, requireRunning } from './state.ts';
import { resume } from './terminate.ts';

export async function pauseContainer(ctx: Context, ref: string): Promise<void> {
  await withContainer(ctx, ref, async entry => {
    const state = requireRunning(entry.container);
    if (state.paused) throw conflict(`Container ${entry.id} is already paused`);
    await ctx.runtime.pause(entry.id);
    failpoint('container.pause.frozen');
    entry.container.state = { ...state, paused: true };
    unwatchHealth(ctx, entry);
    ctx.containers.save(entry);
    publish(ctx, entry.container, 'pause');
  });
}

export async function unpauseContainer(ctx: Context, ref: string): Promise<void> {
  await withContainer(ctx, ref, async entry => {
    const { state } = entry.container;
    if (state.status !== 'running' || !state.paused) throw conflict(`Container ${entry.id} is not paused`);
    await resume(ctx, entry);
    failpoint('container.unpause.recorded');
    publish(ctx, entry.container, 'unpause');
  });
}

/**
 * Runs with a container's processes held still, so that its files do not change. One that does not run, or is paused already, is left as it is. The record
 * says so before they are, so that the next daemon lets them go on should this one end.
 */
export async function* whilePaused<T>(ctx: Context, id: string, run: () => AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  const isOurs = await withContainer(ctx, id, async entry => {
    const { state } = entry.container;
    if (!isRunning(state) || state.paused) return false;
    entry.container.state = { ...state, paused: true, pausedBy: 'commit' };
    ctx.containers.save(entry);
    failpoint('container.commit.recorded');
    try {
      await ctx.runtime.pause(id);
    } catch (err) {
      entry.container.state = state;
      ctx.containers.save(entry);
      throw err;
    }
    unwatchHealth(ctx, entry);
    publish(ctx, entry.container, 'pause');
    return true;
  });
  try {
    failpoint('container.commit.paused');
    yield* run();
  } finally {
    if (isOurs) await letGoOn(ctx, id);
  }
}

/** Somebody else may have let it go on, or ended it, meanwhile. */
async function letGoOn(ctx: Context, id: string): Promise<void> {
  const state = ctx.containers.get(id)?.container.state;
  if (state === undefined || !isRunning(state) || state.pausedBy === undefined) return;
  await cleanUp(`the pause of container ${id}`, ctx.log, () => unpauseContainer(ctx, id));
}
