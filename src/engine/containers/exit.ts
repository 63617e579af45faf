import { cleanUp } from '#base/dispose.ts';
import { failpoint } from '#base/failpoint.ts';
import type { ExitStatus } from '#core/runtime.ts';
import { type Context, hold, publish } from './context.ts';
import type { Entry } from './entry.ts';
import { unwatchHealth } from './health-checks.ts';
import { releaseIpc } from './ipc.ts';
import { closeLog } from './logs.ts';
import { unmountSources } from './mounts.ts';
import { removeLocked } from './remove.ts';
import { scheduleRestart } from './restart-by-policy.ts';
import { restartDelay } from './restart-policy.ts';
import { exitedState, isRunning, noRun, startedAtOf } from './state.ts';

/**
 * Records how a run ended before anything that could tell is removed, then takes the run's resources away, and only then tells those who wait: they find
 * its ports free. Events come in the order of what happens: the end first.
 */
export async function handleExit(ctx: Context, entry: Entry, run: number, exit: ExitStatus): Promise<void> {
  using _held = await hold(ctx, entry.id);
  const { container } = entry;
  const { state } = container;
  if (entry.run !== run || !isRunning(state)) return;
  const ranMs = exit.exitedAt.getTime() - Date.parse(startedAtOf(state));
  const delayMs = restartDelay({
    policy: container.hostConfig.restartPolicy,
    exitCode: exit.exitCode,
    manuallyStopped: container.manuallyStopped,
    restartCount: container.restartCount,
    ranMs,
    previousDelayMs: entry.restartDelayMs,
  });
  failpoint('container.exit.seen');
  const exited = exitedState(state, exit);
  container.lastNetworkIds = Object.fromEntries(Object.entries(container.endpointStates).map(([name, { networkId }]) => [name, networkId]));
  Object.assign(container, noRun);
  unwatchHealth(ctx, entry);
  container.state = delayMs !== undefined && exited.status === 'exited' ? { ...exited, status: 'restarting' } : exited;
  const removes = container.hostConfig.autoRemove && !entry.keepOnExit && delayMs === undefined;
  // A container that goes now needs no record of its end: until it is gone, a daemon that starts finds its exit file and gets here again.
  if (!removes) saveEnd(ctx, entry);
  failpoint('container.exit.recorded');
  entry.hub = undefined;
  if (exit.oomKilled && state.oomKilled !== true) publish(ctx, container, 'oom');
  publish(ctx, container, 'die', { exitCode: String(exit.exitCode), execDuration: String(Math.max(0, Math.floor(ranMs / 1000))) });
  await releaseRun(ctx, entry, { isLast: removes });
  // Those that ran have ended with it, and their clients have been told; what was just being started has not come to be.
  for (const exec of entry.execs?.values() ?? []) exec.hub?.close();
  failpoint('container.exit.released');
  entry.announceExit({ exitCode: exit.exitCode });
  if (delayMs !== undefined) return scheduleRestart(ctx, entry, delayMs);
  if (!removes) return;
  await cleanUp(`container ${container.id}`, ctx.log, () => removeLocked(ctx, entry, { removeAnonymous: true, hasJustEnded: true }));
}

function saveEnd(ctx: Context, entry: Entry): void {
  try {
    ctx.containers.save(entry);
  } catch (err) {
    // Those who wait must hear of the end even so; a daemon that starts later finds the process gone.
    ctx.log.error('could not record the end of a container', { container: entry.id, error: err });
  }
}

/**
 * Takes away what only a running container has: process state, network, mounts. Every step is tried; failures are logged and left to the next start. When
 * this was its last run the container's removal follows, which takes the root away with its layer, without waiting until what was written is on the disk,
 * and the process state after that.
 */
export async function releaseRun(ctx: Context, entry: Entry, { isLast }: { readonly isLast: boolean }): Promise<void> {
  const { container } = entry;
  const { id } = container;
  if (container.hostConfig.ipcMode === 'shareable')
    await cleanUp(`shared memory of container ${id}`, ctx.log, () => releaseIpc(ctx, container));
  await Promise.all([
    isLast ? undefined : cleanUp(`process of container ${id}`, ctx.log, () => ctx.runtime.remove(id)),
    cleanUp(`network of container ${id}`, ctx.log, () => ctx.networks.teardown(id)),
    closeLog(ctx, entry, { removesLog: isLast }),
  ]);
  await cleanUp(`mounts of container ${id}`, ctx.log, () => unmountSources(ctx, container));
  if (!isLast) await cleanUp(`root of container ${id}`, ctx.log, () => ctx.snapshots.unmount(id));
}
