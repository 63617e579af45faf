import { conflict } from '#base/errors.ts';
import { type Context, publish, withContainer } from './context.ts';
import { requireRunning } from './state.ts';

export async function pauseContainer(ctx: Context, ref: string): Promise<void> {
  await withContainer(ctx, ref, async entry => {
    const state = requireRunning(entry.container);
    if (state.paused) throw conflict(`Container ${entry.id} is already paused`);
    await ctx.runtime.pause(entry.id);
    entry.container.state = { ...state, paused: true };
    ctx.containers.save(entry);
    publish(ctx, entry.container, 'pause');
  });
}

export async function unpauseContainer(ctx: Context, ref: string): Promise<void> {
  await withContainer(ctx, ref, async entry => {
    const { state } = entry.container;
    if (state.status !== 'running' || !state.paused) throw conflict(`Container ${entry.id} is not paused`);
    await ctx.runtime.unpause(entry.id);
    entry.container.state = { ...state, paused: false };
    ctx.containers.save(entry);
    publish(ctx, entry.container, 'unpause');
  });
}
