import { undoAll } from '#base/dispose.ts';
import { conflict, EngineError, kindOf, messageOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { type Context, containerDir, hold, publish } from './context.ts';
import type { Entry } from './entry.ts';
import { removeLink } from './links.ts';
import { forgetExecsOf } from './exec-start.ts';
import { releaseIpc } from './ipc.ts';
import { releaseVolumes, unmountSources } from './mounts.ts';
import { cancelRestart } from './pending-restart.ts';
import type { RemoveOptions } from './service.ts';
import { exitCodeOf, finishedAtOf, isActive, isPaused, isRunning, startedAtOf } from './state.ts';
import { killAndWait } from './terminate.ts';

export async function removeContainer(ctx: Context, ref: string, options: RemoveOptions): Promise<void> {
  if (options.link) return removeLink(ctx, ref);
  const entry = ctx.containers.find(ref);
  if (entry.removing) throw conflict(`removal of container ${entry.id} is already in progress`);
  refuseActive(entry, options);
  entry.removing = true;
  try {
    if (isRunning(entry.container.state)) await kill(ctx, entry);
    using _held = await hold(ctx, entry.id);
    // A --rm container may have gone while it was being killed.
    if (ctx.containers.get(entry.id) !== entry) return;
    refuseActive(entry, options);
    await removeLocked(ctx, entry, { removeAnonymous: options.volumes });
  } finally {
    entry.removing = false;
  }
}

function refuseActive({ container }: Entry, { force }: RemoveOptions): void {
  if (!isActive(container.state) || force) return;
  const why = isPaused(container.state)
    ? 'container is paused and must be unpaused first'
    : `container is ${container.state.status}: stop the container before removing or force remove`;
  throw conflict(`cannot remove container "/${container.name}": ${why}`);
}

async function kill(ctx: Context, entry: Entry): Promise<void> {
  try {
    await killAndWait(ctx, entry);
  } catch (err) {
    throw new EngineError(kindOf(err), `cannot remove container "/${entry.container.name}": could not kill: ${messageOf(err)}`, {
      cause: err,
    });
  }
}

/**
 * Removes a container that does not run, with its lock held. The record says `removing` first, so that the next daemon finishes what this one began; it goes
 * last, but for the files. When a step fails the others are still done, the container stays as `dead`, and a later removal tries again.
 *
 * `hasJustEnded`: it goes by itself at its end, which its record does not tell yet: `running` is as good as `removing` to the next daemon. All its processes
 * have ended; cgroup and runtime state go once its clients know. The next daemon removes those of containers it has no record of.
 */
export async function removeLocked(
  ctx: Context,
  entry: Entry,
  options: { readonly removeAnonymous: boolean; readonly hasJustEnded?: boolean },
): Promise<void> {
  const { container } = entry;
  const { id } = container;
  cancelRestart(ctx, entry);
  const past = {
    startedAt: startedAtOf(container.state),
    finishedAt: finishedAtOf(container.state),
    exitCode: exitCodeOf(container.state),
  };
  container.state = { status: 'removing', ...past, withVolumes: options.removeAnonymous };
  const hasJustEnded = options.hasJustEnded === true;
  if (!hasJustEnded) ctx.containers.save(entry);
  failpoint('container.remove.recorded');
  entry.hub?.close();
  entry.filesGone.abort(conflict(`container ${id} is being removed`));
  try {
    await undoAll(`container ${id} could not be removed completely`, [
      () => ctx.logs.forget(id),
      () => failpoint('container.remove.volumes'),
      () => releaseVolumes(ctx, container, options),
      () => failpoint('container.remove.layer'),
      async () => {
        await ctx.snapshots.remove(id);
        await ctx.images.released(container.imageId);
      },
      () => unmountSources(ctx, container),
      () => releaseIpc(ctx, container),
      () => failpoint('container.remove.process'),
      () => Promise.all([hasJustEnded ? undefined : ctx.runtime.remove(id), ctx.networks.teardown(id)]),
    ]);
  } catch (err) {
    container.state = { status: 'dead', ...past, error: messageOf(err) };
    ctx.containers.save(entry);
    throw err;
  }
  failpoint(hasJustEnded ? 'container.leave.done' : 'container.remove.done');
  ctx.containers.delete(entry);
  forgetExecsOf(ctx, entry);
  publish(ctx, container, 'destroy');
  entry.announceRemoval({ exitCode: past.exitCode });
  if (hasJustEnded) {
    ctx.rubbish.add(`process state of container ${id}`, async () => {
      failpoint('container.leave.told');
      await ctx.runtime.remove(id);
    });
  }
  // Nothing names it any more; its files, the log among them, may take a while.
  ctx.rubbish.delete(containerDir(ctx, id));
}
