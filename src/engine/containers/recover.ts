import { readdir, rm } from 'node:fs/promises';
import { cleanUp } from '#base/dispose.ts';
import { isErrno } from '#base/errors.ts';
import { shortId } from '#base/id.ts';
import type { ExitStatus, RecoveredContainer } from '#core/runtime.ts';
import { sweepCheckpoints } from './checkpoints.ts';
import { type Context, withContainer } from './context.ts';
import { applySandbox } from './connect-network.ts';
import type { Entry } from './entry.ts';
import { releaseRun } from './exit.ts';
import { watchHealth } from './health-checks.ts';
import { watchExit } from './launch.ts';
import { ownerOfLayer, unmountImages } from './image-mounts.ts';
import { releaseIpc } from './ipc.ts';
import { logSubject, openLog } from './logs.ts';
import { removeLocked } from './remove.ts';
import { scheduleRestart } from './restart-by-policy.ts';
import { startsWithDaemon } from './restart-policy.ts';
import { exitCodeOf, isRunning, noRun } from './state.ts';
import { finishUpdate } from './update.ts';

/** What a container whose end nobody saw is said to have ended with: the machine went down under it. */
const unknownExitCode = 255;

/**
 * Makes reality and records agree. Order: what the runtime knows → networks of those that run on → each container → what belongs to none → those that
 * start with the daemon.
 */
export async function recoverContainers(ctx: Context, signal: AbortSignal): Promise<string[]> {
  const entries = ctx.containers.all();
  const found = new Map((await ctx.runtime.recover(new Set(entries.map(entry => entry.id)))).map(known => [known.id, known]));
  const alive = new Set([...found.values()].filter(known => known.state.status !== 'exited').map(known => known.id));
  const runningOn = entries.filter(entry => alive.has(entry.id) && runsOn(entry));
  const networks = await ctx.networks.recover(new Map(runningOn.map(({ id, container }) => [id, Object.keys(container.endpoints)])));
  for (const entry of runningOn) applySandbox(ctx, entry, networks.changed.get(entry.id));
  const repaired = [...networks.repaired];
  repaired.push(...(await ctx.volumes.recover(entries.map(({ container }) => ({ id: container.id, running: alive.has(container.id) })))));
  for (const entry of entries) {
    const known = found.get(entry.id);
    repaired.push(...(await finishUpdate(ctx, entry, known?.state.status === 'running')));
    repaired.push(...(await recoverOne(ctx, entry, known, signal)));
  }
  repaired.push(...entries.flatMap(({ container }) => sweepCheckpoints(ctx, container)), ...(await removeOrphans(ctx)));
  for (const entry of ctx.containers.all()) resumePolicy(ctx, entry);
  return repaired;
}

/** A container that the records call stopped must not run: its start was not finished. */
const runsOn = ({ container }: Entry): boolean => isRunning(container.state);

async function recoverOne(ctx: Context, entry: Entry, known: RecoveredContainer | undefined, signal: AbortSignal): Promise<string[]> {
  const { container } = entry;
  const name = `container ${shortId(container.id)}`;
  if (container.state.status === 'removing') {
    const { withVolumes } = container.state;
    await cleanUp(name, ctx.log, () => withContainer(ctx, entry.id, () => removeLocked(ctx, entry, { removeAnonymous: withVolumes })));
    return [`finished the removal of ${name}`];
  }
  if (!isRunning(container.state)) {
    await passOnRest(ctx, entry);
    if (known !== undefined) await releaseRun(ctx, entry, { isLast: false });
    else await releaseMounts(ctx, entry);
    if (!container.hostConfig.autoRemove || container.state.status === 'created')
      return known === undefined ? [] : [`undid the unfinished start of ${name}`];
    await cleanUp(name, ctx.log, () => withContainer(ctx, entry.id, () => removeLocked(ctx, entry, { removeAnonymous: true })));
    return [`removed ${name}, which had ended and was to go by itself`];
  }
  if (known?.state.status === 'running') {
    const repaired = await endOwnPause(ctx, entry, name);
    const state = repaired.length === 0 ? known.state : { ...known.state, paused: false };
    return [...repaired, ...(await adopt(ctx, entry, state, known.execs, signal))];
  }
  if (known?.state.status === 'created') return await finishStart(ctx, entry, name, signal);
  const exit: ExitStatus =
    known?.state.status === 'exited' ? known.state.exit : { exitCode: unknownExitCode, exitedAt: new Date(), oomKilled: false };
  entry.run += 1;
  await passOnRest(ctx, entry);
  await ctx.handleExit(entry, entry.run, exit);
  return [`recorded that ${name} ended meanwhile with exit code ${String(exit.exitCode)}`];
}

/** What an ended run wrote and its logging driver has not got yet. */
async function passOnRest(ctx: Context, entry: Entry): Promise<void> {
  await cleanUp(`log of container ${entry.id}`, ctx.log, () => ctx.logs.resume(logSubject(entry.container)));
}

/** What a start that never came to the runtime may have left. */
async function releaseMounts(ctx: Context, { id, container }: Entry): Promise<void> {
  releaseIpc(ctx, container);
  await unmountImages(ctx, container);
  await ctx.snapshots.unmount(id);
}

/** The daemon that paused it was to let it go on in a moment. */
async function endOwnPause(ctx: Context, { id, container }: Entry, name: string): Promise<string[]> {
  const { state } = container;
  if (!isRunning(state) || state.pausedBy === undefined) return [];
  await cleanUp(`the pause of ${name}`, ctx.log, () => ctx.runtime.unpause(id));
  const { pausedBy: _daemon, ...own } = state;
  container.state = own;
  return [`let ${name} go on, which was paused for a commit`];
}

/** It ran on. A stop that was under way has to be asked for again. */
async function adopt(
  ctx: Context,
  entry: Entry,
  { pid, paused }: Extract<RecoveredContainer['state'], { status: 'running' }>,
  execs: RecoveredContainer['execs'],
  signal: AbortSignal,
): Promise<string[]> {
  const { container } = entry;
  const { state } = container;
  if (isRunning(state) && (state.pid !== pid || state.paused !== paused || container.manuallyStopped)) {
    container.state = { ...state, pid, paused };
    container.manuallyStopped = false;
    ctx.containers.save(entry);
  }
  await takeUpLog(ctx, entry, signal);
  entry.run += 1;
  watchExit(ctx, entry);
  watchHealth(ctx, entry);
  for (const exec of execs) void forgetExecOf(ctx, entry, exec.execId);
  return [];
}

/** A container that runs does not have to wait for the receiver of its log: it was reached when the run began. */
async function takeUpLog(ctx: Context, entry: Entry, signal: AbortSignal): Promise<void> {
  await cleanUp(`log of container ${entry.id}`, ctx.log, async () => (await openLog(ctx, entry, true, signal))?.begin());
}

/** Nobody can ask about an exec of a daemon that is gone; its files go when it ends. */
async function forgetExecOf(ctx: Context, entry: Entry, execId: string): Promise<void> {
  const key = { containerId: entry.id, execId };
  try {
    await ctx.runtime.wait(key);
    await ctx.runtime.removeExec(key);
  } catch (err) {
    ctx.log.debug('an exec of an earlier daemon went with its container', { exec: execId, error: err });
  }
}

/** Everything was made and recorded, only the last word was missing. */
async function finishStart(ctx: Context, entry: Entry, name: string, signal: AbortSignal): Promise<string[]> {
  try {
    (await openLog(ctx, entry, true, signal))?.begin();
    await ctx.runtime.start(entry.id, signal);
  } catch (err) {
    ctx.log.warn('an unfinished start could not be finished', { container: entry.id, error: err });
    entry.container.state = { status: 'created', exitCode: 128, error: String(err) };
    Object.assign(entry.container, noRun);
    ctx.containers.save(entry);
    await releaseRun(ctx, entry, { isLast: false });
    return [`undid the unfinished start of ${name}`];
  }
  entry.run += 1;
  watchExit(ctx, entry);
  watchHealth(ctx, entry);
  return [`finished the start of ${name}`];
}

/** Writable layers and directories of containers that were never recorded, or whose record went first. */
async function removeOrphans(ctx: Context): Promise<string[]> {
  const removed: string[] = [];
  for (const key of ctx.snapshots.keys()) {
    const id = ownerOfLayer(key);
    if (!isContainerId(id) || ctx.containers.get(id) !== undefined) continue;
    await cleanUp(`writable layer ${key}`, ctx.log, () => ctx.snapshots.remove(key));
    removed.push(`removed the writable layer of container ${shortId(id)}, which was never finished`);
  }
  for (const name of await directoryNames(ctx.options.dataDir)) {
    if (!isContainerId(name) || ctx.containers.get(name) !== undefined) continue;
    await cleanUp(`directory of container ${name}`, ctx.log, () => rm(`${ctx.options.dataDir}/${name}`, { recursive: true, force: true }));
    removed.push(`removed the directory of container ${shortId(name)}, which was never finished`);
  }
  return removed;
}

const isContainerId = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);

async function directoryNames(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return [];
    throw err;
  }
}

function resumePolicy(ctx: Context, entry: Entry): void {
  const { container } = entry;
  const { state, hostConfig } = container;
  // What policy began before goes on and counts on; a start with the daemon is none of its restarts.
  if (state.status === 'restarting') return entry.restartTimer === undefined ? scheduleRestart(ctx, entry, 0) : undefined;
  if (state.status !== 'exited' || !container.hasStarted) return;
  const run = {
    policy: hostConfig.restartPolicy,
    exitCode: exitCodeOf(state),
    manuallyStopped: container.manuallyStopped,
    restartCount: container.restartCount,
  };
  if (!startsWithDaemon(run)) return;
  container.state = { ...state, status: 'restarting' };
  container.manuallyStopped = false;
  container.restartCount = 0;
  ctx.containers.save(entry);
  scheduleRestart(ctx, entry, 0, { counts: false });
}
