import { conflict } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { type Context, publish, withContainer } from './context.ts';
import { unwatchHealth } from './health-checks.ts';
import { requireRunning } from './state.ts';
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
