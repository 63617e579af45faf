import { closeSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isErrno } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { ProcessIo, ProcessKey, RecoveredContainer } from '#core/runtime.ts';
import { Cgroup } from '#host/cgroups/cgroup.ts';
import type { Hierarchies } from '#host/cgroups/hierarchies.ts';
import { commandLine, openPidfd, pidfdEnd, sessionOf, signalPidfd } from '#host/sys/process.ts';
import type { Eraser } from './erase.ts';
import { files, type Layout } from './layout.ts';
import { findProgram, type OciProgram } from './oci-program.ts';
import { runProgram } from './run-program.ts';
import {
  type ContainerFacts,
  type ExecFacts,
  readExit,
  readJson,
  readText,
  type Supervised,
  type SupervisedContainer,
} from './supervised.ts';

export interface Recovery {
  readonly layout: Layout;
  readonly hierarchies: Hierarchies;
  readonly cgroupParent: string;
  readonly eraser: Eraser;
  readonly log: Logger;
  readonly known: ReadonlySet<string>;
  supervise(key: ProcessKey, directory: string, io: ProcessIo, pid: number, ended: Promise<void>, facts: ContainerFacts): Supervised;
  adopt(id: string, container: SupervisedContainer): void;
}

const recoverMs = 30_000;
const settleMs = 10_000;

/**
 * Takes stock after a daemon ended at any step. A container counts as existing when its monitor lives, or wrote its exit; everything else is
 * half made or half removed and goes: directories, cgroups below our parent, runtime states, monitors whose directory is not wanted.
 *
 * A monitor goes on with a start that it has begun when its daemon is killed, and so does the runtime when its monitor is: what is still being started
 * is let come to be first, and can then be taken away.
 */
export async function recoverContainers(recovery: Recovery): Promise<RecoveredContainer[]> {
  const { layout, known, eraser, log } = recovery;
  await Promise.all(directoriesIn(layout).map(directory => settleStart(recovery, directory)));
  const monitors = findMonitors(layout.containers);
  const recovered: RecoveredContainer[] = [];
  for (const id of names(layout.containers)) {
    const found = known.has(id) ? await recoverContainer(recovery, id, monitors) : undefined;
    if (found !== undefined) {
      recovered.push(found);
      continue;
    }
    await endMonitors(layout.containers, directory => containerOf(layout, directory) === id);
    await eraser.erase(id, eraser.factsOf(id), [], AbortSignal.timeout(recoverMs));
    log.info('removed a container that was half made, half removed or is not known', { container: id });
  }
  await removeStrays(recovery, new Set(recovered.map(container => container.id)));
  return recovered;
}

async function recoverContainer(recovery: Recovery, id: string, monitors: Monitors): Promise<RecoveredContainer | undefined> {
  const { layout, eraser, hierarchies } = recovery;
  const key = { containerId: id };
  const directory = layout.directory(key);
  const facts = eraser.factsOf(id);
  if (facts === undefined) return undefined;
  const cgroup = new Cgroup(hierarchies, facts.cgroup);
  const sawOutOfMemory = (): boolean => cgroup.oomKills() > 0;
  const program = await findProgram(facts.runtime);
  const pid = pidIn(directory);
  // In this order: a monitor that ends in between has written the exit by then.
  const ended = watchMonitor(directory, monitors);
  const exit = readExit(directory, sawOutOfMemory);
  if (exit === undefined && (ended === undefined || pid === 0)) return undefined;
  const main = recovery.supervise(key, directory, facts.io, exit === undefined ? pid : 0, ended ?? Promise.resolve(), facts);
  const container: SupervisedContainer = { facts, program, main, execs: new Map() };
  recovery.adopt(id, container);
  const execs = await recoverExecs(recovery, container, monitors);
  if (exit !== undefined) return { id, state: { status: 'exited', exit }, execs };
  if (!(await isStarted(layout, program, id))) return { id, state: { status: 'created', pid }, execs };
  return { id, state: { status: 'running', pid, paused: cgroup.isFrozen() }, execs };
}

async function recoverExecs(recovery: Recovery, container: SupervisedContainer, monitors: Monitors): Promise<RecoveredContainer['execs']> {
  const { containerId } = container.main.key;
  const recovered: RecoveredContainer['execs'][number][] = [];
  for (const execId of names(`${container.main.directory}/execs`)) {
    const key = { containerId, execId };
    const directory = recovery.layout.directory(key);
    const facts = readJson(`${directory}/${files.state}`) as ExecFacts | undefined;
    const pid = pidIn(directory);
    const ended = watchMonitor(directory, monitors);
    const exit = readExit(directory, () => false);
    if (facts === undefined || (exit === undefined && (ended === undefined || pid === 0))) {
      await endUnfinished(recovery, container.facts, directory, exit === undefined ? pid : 0);
      recovery.log.info('removed an exec that was half made', { container: containerId, exec: execId });
      continue;
    }
    container.execs.set(
      execId,
      recovery.supervise(key, directory, facts.io, exit === undefined ? pid : 0, ended ?? Promise.resolve(), container.facts),
    );
    recovered.push({ execId, exit });
  }
  return recovered;
}

/** Ends an exec whose start nobody was told of, with all it has started meanwhile. */
async function endUnfinished(recovery: Recovery, facts: ContainerFacts, directory: string, pid: number): Promise<void> {
  const session = pid === 0 ? undefined : sessionOf(pid);
  if (session !== undefined) new Cgroup(recovery.hierarchies, facts.cgroup).signalAll(9, member => sessionOf(member) === session);
  await endMonitors(recovery.layout.containers, other => other === directory);
  rmSync(directory, { recursive: true, force: true });
}

const directoriesIn = (layout: Layout): string[] =>
  names(layout.containers).flatMap(id => {
    const directory = layout.directory({ containerId: id });
    return [directory, ...names(`${directory}/execs`).map(execId => layout.directory({ containerId: id, execId }))];
  });

/** Waits until a start that is under way is decided: the runtime has noted the process, or the monitor has given up. */
async function settleStart({ layout, log }: Recovery, directory: string): Promise<void> {
  const deadline = performance.now() + settleMs;
  while (pidIn(directory) === 0 && isAtWork(layout.containers, directory)) {
    if (performance.now() > deadline) {
      log.warn('a start that was under way does not come to an end and is given up', { directory });
      return;
    }
    await delay(2);
  }
}

/**
 * Looked at in this order: a monitor forks once and its first half ends, having noted the pid of the second; whoever misses the first half among the
 * processes finds that note.
 */
function isAtWork(below: string, directory: string): boolean {
  if (findMonitors(below).has(directory)) return true;
  const pid = Number(readText(`${directory}/${files.monitorPid}`) ?? 0);
  return pid > 0 && commandLine(pid)?.includes(directory) === true;
}

const pidIn = (directory: string): number => Number(readText(`${directory}/${files.pid}`) ?? 0);

/** Whether the entrypoint runs: crun and runc remove the fifo at which a container waits to be started. */
async function isStarted(layout: Layout, program: OciProgram, id: string): Promise<boolean> {
  const root = layout.runtimeRoot(program.name);
  if (program.kind !== 'other') return !existsSync(`${root}/${id}/exec.fifo`);
  const result = await runProgram([program.path, ...program.args(root, '/dev/null'), 'state', id], AbortSignal.timeout(recoverMs));
  return !/"status":\s*"created"/.test(result.stdout);
}

async function removeStrays(recovery: Recovery, kept: ReadonlySet<string>): Promise<void> {
  const { layout, hierarchies, cgroupParent, log } = recovery;
  await endMonitors(layout.containers, directory => !kept.has(containerOf(layout, directory)));
  for (const runtime of names(layout.runtimes)) {
    for (const id of names(`${layout.runtimes}/${runtime}`)) {
      if (!kept.has(id)) rmSync(`${layout.runtimes}/${runtime}/${id}`, { recursive: true, force: true });
    }
  }
  for (const leftover of names(layout.terminals)) rmSync(`${layout.terminals}/${leftover}`, { recursive: true, force: true });
  for (const child of new Cgroup(hierarchies, cgroupParent).children()) {
    if (kept.has(child)) continue;
    const cgroup = new Cgroup(hierarchies, `${cgroupParent}/${child}`);
    await cgroup.killAll(AbortSignal.timeout(recoverMs));
    await cgroup.remove(AbortSignal.timeout(recoverMs));
    log.info('removed a cgroup without a container', { cgroup: cgroup.path });
  }
}

/** Pids by the directory that they serve. A monitor that is just forking shows up twice. */
type Monitors = ReadonlyMap<string, readonly number[]>;

/** Every conmon that works below a directory. Its command line names where, so no other daemon's is taken for ours. */
function findMonitors(below: string): Monitors {
  const monitors = new Map<string, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const argv = commandLine(Number(name));
    const at = argv?.indexOf('-b') ?? -1;
    const directory = argv?.[at + 1];
    if (at < 0 || directory === undefined || !directory.startsWith(`${below}/`) || !argv?.includes('--persist-dir')) continue;
    monitors.set(directory, [...(monitors.get(directory) ?? []), Number(name)]);
  }
  return monitors;
}

/** Resolves when the monitor has ended; undefined when none is there. */
function watchMonitor(directory: string, monitors: Monitors): Promise<void> | undefined {
  const pid = Number(readText(`${directory}/${files.monitorPid}`) ?? 0);
  if (monitors.get(directory)?.includes(pid) !== true) return undefined;
  const pidfd = openPidfd(pid);
  return pidfd === undefined ? undefined : pidfdEnd(pidfd);
}

/** Kills monitors until none is found: one that is just forking is seen the next time. */
async function endMonitors(below: string, isUnwanted: (directory: string) => boolean): Promise<void> {
  for (;;) {
    const unwanted = [...findMonitors(below)].filter(([directory]) => isUnwanted(directory)).flatMap(([, pids]) => pids);
    if (unwanted.length === 0) return;
    await Promise.all(unwanted.map(endProcess));
  }
}

async function endProcess(pid: number): Promise<void> {
  const pidfd = openPidfd(pid);
  if (pidfd === undefined) return;
  if (signalPidfd(pidfd, 9)) await pidfdEnd(pidfd);
  else closeSync(pidfd);
}

const containerOf = (layout: Layout, directory: string): string => directory.slice(layout.containers.length + 1).split('/')[0] ?? '';

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return [];
    throw err;
  }
}
