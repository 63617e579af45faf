import { type Context, withContainer } from './context.ts';
import type { Entry } from './entry.ts';
import { launch } from './launch.ts';

/**
 * Starts a container again after a pause, unless it is stopped, started or removed meanwhile. The container is in state `restarting`. `counts`: whether
 * it is one of the restarts that a policy may limit.
 */
export function scheduleRestart(ctx: Context, entry: Entry, delayMs: number, { counts = true } = {}): void {
  entry.restartDelayMs = delayMs;
  const timer = setTimeout(() => {
    entry.restartTimer = undefined;
    restartByPolicy(ctx, entry, counts).catch((err: unknown) =>
      ctx.log.error('a container could not be started again', { container: entry.id, error: err }),
    );
  }, delayMs);
  entry.restartTimer = { [Symbol.dispose]: () => clearTimeout(timer) };
}

async function restartByPolicy(ctx: Context, entry: Entry, counts: boolean): Promise<void> {
  if (ctx.containers.get(entry.id) !== entry || ctx.closing.signal.aborted) return;
  await withContainer(ctx, entry.id, async () => {
    const { container } = entry;
    if (container.state.status !== 'restarting') return;
    if (counts) container.restartCount += 1;
    await launch(ctx, entry, ctx.closing.signal);
  });
}
