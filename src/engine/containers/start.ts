import { cleanUp } from '#base/dispose.ts';
import { conflict, notModified } from '#base/errors.ts';
import { findCheckpoint } from './checkpoints.ts';
import type { Context } from './context.ts';
import type { Entry } from './entry.ts';
import { launch } from './launch.ts';
import { removeLocked } from './remove.ts';
import type { CheckpointPlace } from './service.ts';

/** Starts a container on somebody's word: what policy counted so far is forgotten. */
export async function startContainer(ctx: Context, ref: string, signal: AbortSignal, from?: CheckpointPlace): Promise<void> {
  const { id } = ctx.containers.find(ref);
  // Not `hold`: what is ready for the start is welcome.
  using _held = await ctx.locks.acquire(id);
  await startLocked(ctx, ctx.containers.find(id), signal, from);
}

async function startLocked(ctx: Context, entry: Entry, signal: AbortSignal, from: CheckpointPlace | undefined): Promise<void> {
  const { container } = entry;
  switch (container.state.status) {
    case 'running':
      if (container.state.paused) throw conflict('cannot start a paused container, try unpause instead');
      throw notModified(`container ${container.id} is running already`);
    case 'restarting':
      throw notModified(`container ${container.id} is about to start again by its restart policy`);
    case 'removing':
    case 'dead':
      throw conflict('container is marked for removal and cannot be started');
    case 'created':
    case 'exited':
      break;
  }
  const restoreFrom = from === undefined ? undefined : findCheckpoint(ctx, container, from.name, from.directory);
  container.manuallyStopped = false;
  container.restartCount = 0;
  entry.restartDelayMs = 0;
  try {
    await launch(ctx, entry, signal, restoreFrom);
  } catch (err) {
    if (container.hostConfig.autoRemove) {
      await cleanUp(`container ${container.id}`, ctx.log, () => removeLocked(ctx, entry, { removeAnonymous: true }));
    }
    throw err;
  }
}
