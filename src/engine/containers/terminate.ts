import { endsWithin } from '#base/ends-within.ts';
import { conflict, internal, kindOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { type Context, publish } from './context.ts';
import type { Entry } from './entry.ts';
import { watchHealth } from './health-checks.ts';
import { isPaused, isRunning } from './state.ts';

const sigkill = 9;
/** A process that SIGKILL does not end in this time waits for a device or a file server. */
const killMs = 10_000;

/** Sends a signal to a running container and says so. Rejects with Conflict when it has just ended. A paused one must go on to notice the signal. */
export async function sendSignal(ctx: Context, entry: Entry, signal: number): Promise<void> {
  const { container } = entry;
  try {
    await ctx.runtime.kill(entry.id, signal);
  } catch (err) {
    if (kindOf(err) === 'NotFound') throw conflict(`container ${entry.id} is not running`, { cause: err });
    throw err;
  }
  publish(ctx, container, 'kill', { signal: String(signal) });
}

/** Ends a container by force; resolves when its end has been dealt with. Not running is fine. */
export async function killAndWait(ctx: Context, entry: Entry): Promise<void> {
  if (!isRunning(entry.container.state)) return;
  markStopped(ctx, entry);
  await forceEnd(ctx, entry);
}

export async function forceEnd(ctx: Context, entry: Entry): Promise<void> {
  const { exited } = entry;
  try {
    await sendSignal(ctx, entry, sigkill);
    if (isPaused(entry.container.state)) await resume(ctx, entry);
  } catch (err) {
    if (kindOf(err) !== 'Conflict') throw err;
  }
  if (!(await endsWithin(exited, killMs))) {
    throw internal(
      `tried to kill container, but did not receive an exit event: ${entry.id} did not end within ${String(killMs / 1000)} s of SIGKILL`,
    );
  }
}

/** A person ends it: recorded before the signal, so that no policy brings it back. */
export function markStopped(ctx: Context, entry: Entry): void {
  entry.container.manuallyStopped = true;
  ctx.containers.save(entry);
  failpoint('container.stop.recorded');
}

/** Lets the processes of a paused container go on. */
export async function resume(ctx: Context, entry: Entry): Promise<void> {
  await ctx.runtime.unpause(entry.id);
  failpoint('container.unpause.thawed');
  const { state } = entry.container;
  if (isRunning(state)) {
    const { pausedBy: _daemon, ...own } = state;
    entry.container.state = { ...own, paused: false };
  }
  ctx.containers.save(entry);
  watchHealth(ctx, entry);
}
