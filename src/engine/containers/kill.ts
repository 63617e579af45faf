import { conflict, EngineError, kindOf, messageOf } from '#base/errors.ts';
import { type Context, withContainer } from './context.ts';
import { cancelRestart } from './pending-restart.ts';
import { parseSignal } from '#base/signals.ts';
import { isRunning } from './state.ts';
import { forceEnd, markStopped, sendSignal } from './terminate.ts';

const sigkill = 9;

/** Sends one signal. SIGKILL and the container's stop signal mean that a person wants it down. */
export async function killContainer(ctx: Context, ref: string, signalName: string | undefined): Promise<void> {
  const signal = signalName === undefined || signalName === '' || signalName === '0' ? sigkill : parseSignal(signalName);
  try {
    await kill(ctx, ref, signal);
  } catch (err) {
    throw new EngineError(kindOf(err), `cannot kill container: ${ref}: ${messageOf(err)}`, { cause: err });
  }
}

async function kill(ctx: Context, ref: string, signal: number): Promise<void> {
  const entry = ctx.containers.find(ref);
  const { container } = entry;
  if (container.state.status === 'restarting') {
    const isDown = await withContainer(ctx, entry.id, async () => {
      container.manuallyStopped = true;
      return cancelRestart(ctx, entry);
    });
    // There is no process to signal: it is only not to come back.
    if (isDown) return;
  }
  if (!isRunning(container.state)) throw conflict(`container ${container.id} is not running`);
  const stopSignal = parseSignal(container.config.stopSignal ?? 'SIGTERM');
  if (signal === sigkill || signal === stopSignal) markStopped(ctx, entry);
  if (signal === sigkill) await forceEnd(ctx, entry);
  else await sendSignal(ctx, entry, signal);
}
