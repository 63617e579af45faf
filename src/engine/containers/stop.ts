import { endsWithin } from '#base/ends-within.ts';
import { kindOf, notModified } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { type Context, publish, withContainer } from './context.ts';
import type { Entry } from './entry.ts';
import { cancelRestart } from './pending-restart.ts';
import type { StopOptions } from './service.ts';
import { parseSignal } from '#base/signals.ts';
import { startContainer } from './start.ts';
import { isActive, isPaused, isRunning } from './state.ts';
import { forceEnd, markStopped, resume, sendSignal } from './terminate.ts';

const defaultSignal = 'SIGTERM';

/** Asks the container to end, and ends it by force when it does not in time. */
export async function stopContainer(ctx: Context, ref: string, options: StopOptions): Promise<void> {
  const entry = ctx.containers.find(ref);
  const signal = parseSignal(options.signal ?? entry.container.config.stopSignal ?? defaultSignal);
  if (!isActive(entry.container.state)) throw notModified(`container ${entry.id} does not run`);
  await endRun(ctx, entry, signal, options.timeoutSeconds);
  publish(ctx, entry.container, 'stop');
}

/** Stops it when it runs, and starts it. */
export async function restartContainer(ctx: Context, ref: string, options: StopOptions, abort: AbortSignal): Promise<void> {
  const entry = ctx.containers.find(ref);
  const signal = parseSignal(options.signal ?? entry.container.config.stopSignal ?? defaultSignal);
  entry.keepOnExit = true;
  try {
    if (isActive(entry.container.state)) {
      await endRun(ctx, entry, signal, options.timeoutSeconds);
      publish(ctx, entry.container, 'stop');
    }
  } finally {
    entry.keepOnExit = false;
  }
  await startContainer(ctx, entry.id, abort);
  publish(ctx, entry.container, 'restart');
}

async function endRun(ctx: Context, entry: Entry, signal: number, timeoutSeconds: number | undefined): Promise<void> {
  const { container } = entry;
  if (!isRunning(container.state)) {
    await withContainer(ctx, entry.id, () => {
      container.manuallyStopped = true;
      cancelRestart(ctx, entry);
      return Promise.resolve();
    });
    if (!isRunning(container.state)) return;
  }
  markStopped(ctx, entry);
  const { exited } = entry;
  try {
    await sendSignal(ctx, entry, signal);
    if (isPaused(container.state)) await resume(ctx, entry);
  } catch (err) {
    if (kindOf(err) !== 'Conflict') throw err;
  }
  failpoint('container.stop.signalled');
  const seconds = timeoutSeconds ?? container.config.stopTimeoutSeconds ?? ctx.options.defaultStopTimeoutSeconds;
  if (seconds < 0) return await exited;
  if (await endsWithin(exited, seconds * 1000)) return;
  ctx.log.info('a container did not end in time and is killed', { container: entry.id, seconds });
  await forceEnd(ctx, entry);
}
