import { closeSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { cleanUp } from '#base/dispose.ts';
import { alreadyExists, conflict, failedPrecondition, isErrno, notFound } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { Logger } from '#base/log.ts';
import type {
  ContainerRuntime,
  CreateContainer,
  ExecProcess,
  ExitStatus,
  ProcessIo,
  ProcessKey,
  ProcessStreams,
  RecoveredContainer,
  RuntimeBinary,
} from '#core/runtime.ts';
import { Cgroup } from '#host/cgroups/cgroup.ts';
import { type CgroupHost, openCgroupHost } from '#host/cgroups/host.ts';
import { openPidfd, signalPidfd } from '#host/sys/process.ts';
import { MonitorFailure, type StartedMonitor, startMonitor } from './conmon.ts';
import { describeFailure, lastLoggedError } from './failure.ts';
import { files, keyText, Layout } from './layout.ts';
import { findExecutable, findProgram, missing, type OciProgram, openStartGate } from './oci-program.ts';
import { runProgram } from './run-program.ts';
import { connectStreams } from './streams.ts';

export interface RuntimeOptions {
  /** On a file system that does not outlive a boot, such as /run. */
  readonly execRoot: string;
  /** The cgroup below which this daemon's containers live, such as `/berth`; its own, no other daemon's. */
  readonly cgroupParent: string;
  readonly log: Logger;
  readonly conmonPath?: string;
}

/** What the daemon must know about a container to go on with it after a restart; `state.json` in its directory. */
interface ContainerFacts {
  readonly runtime: RuntimeBinary;
  readonly io: ProcessIo;
  readonly cgroup: string;
  readonly command: string;
  readonly hasHooks: boolean;
}

interface Process {
  readonly key: ProcessKey;
  readonly directory: string;
  readonly io: ProcessIo;
  readonly pid: number;
  /** Names the process also after its pid was given to another one. */
  readonly pidfd: number | undefined;
  readonly ended: Promise<unknown>;
  readonly exit: Promise<ExitStatus>;
  status: 'running' | 'ended';
}

interface Running extends Process {
  readonly facts: ContainerFacts;
  readonly program: OciProgram;
  readonly execs: Map<string, Process>;
}

/** Opens the runtime: prepares its directories and the host's cgroups. `close` leaves containers running. */
export async function openRuntime(
  options: RuntimeOptions,
): Promise<ContainerRuntime & { readonly cgroups: CgroupHost; close(): Promise<void> }> {
  const wanted = options.conmonPath ?? 'conmon';
  const conmonPath = findExecutable(wanted);
  if (conmonPath === undefined) throw missing(wanted, 'the container monitor conmon');
  const layout = new Layout(options.execRoot);
  for (const directory of [layout.containers, layout.runtimes, layout.terminals]) mkdirSync(directory, { recursive: true, mode: 0o711 });
  const instance = options.cgroupParent.replaceAll('/', '_').replace(/^_/, '');
  const cgroups = await openCgroupHost({ instance, log: options.log });
  return new ConmonRuntime(layout, conmonPath, cgroups, options.cgroupParent, options.log);
}

class ConmonRuntime implements ContainerRuntime {
  readonly cgroups: CgroupHost;
  readonly #layout: Layout;
  readonly #conmonPath: string;
  readonly #cgroupParent: string;
  readonly #log: Logger;
  readonly #containers = new Map<string, Running>();

  constructor(layout: Layout, conmonPath: string, cgroups: CgroupHost, cgroupParent: string, log: Logger) {
    this.#layout = layout;
    this.#conmonPath = conmonPath;
    this.cgroups = cgroups;
    this.#cgroupParent = cgroupParent;
    this.#log = log;
  }

  async create(options: CreateContainer, signal: AbortSignal): Promise<{ readonly pid: number }> {
    const { id, spec, io } = options;
    const directory = this.#layout.directory({ containerId: id });
    const program = await findProgram(options.runtime);
    signal.throwIfAborted();
    const facts: ContainerFacts = {
      runtime: options.runtime,
      io,
      cgroup: spec.linux.cgroupsPath ?? `${this.#cgroupParent}/${id}`,
      command: spec.process.args[0] ?? '',
      hasHooks: spec.hooks !== undefined,
    };
    try {
      mkdirSync(directory, { mode: 0o700 });
    } catch (err) {
      if (isErrno(err, 'EEXIST')) throw alreadyExists(`container ${id} exists in the runtime already: remove it first`, { cause: err });
      throw err;
    }
    failpoint('runtime.create.directory');
    await using undo = new AsyncDisposableStack();
    undo.defer(() => cleanUp(`container ${id}`, this.#log, cleanupSignal => this.#erase(id, facts, program, undefined, cleanupSignal)));
    const withCgroup = { ...spec, linux: { ...spec.linux, cgroupsPath: facts.cgroup } };
    writeFileSync(`${directory}/${files.state}`, JSON.stringify(facts));
    writeFileSync(`${directory}/${files.spec}`, JSON.stringify(withCgroup));
    const monitor = await this.#monitor({ containerId: id }, directory, facts, program, options.logPath);
    failpoint('runtime.create.made');
    const container: Running = Object.assign(this.#track({ containerId: id }, directory, io, monitor, facts), {
      facts,
      program,
      execs: new Map(),
    });
    this.#containers.set(id, container);
    undo.defer(() => {
      this.#containers.delete(id);
    });
    signal.throwIfAborted();
    undo.move();
    return { pid: monitor.pid };
  }

  async start(id: string, signal: AbortSignal): Promise<void> {
    const container = this.#container(id);
    const { program, facts } = container;
    const root = this.#layout.runtimeRoot(program.name);
    failpoint('runtime.start');
    if (!facts.hasHooks && (await openStartGate(program.kind, `${root}/${id}`, () => container.status === 'ended'))) return;
    const result = await runProgram(
      [program.path, ...program.args(root, `${container.directory}/${files.runtimeLog}`), 'start', id],
      signal,
    );
    if (result.exitCode !== 0) throw this.#failure('start', program, container.directory, result.stderr, facts.command);
  }

  async attach(key: ProcessKey): Promise<ProcessStreams> {
    const known = this.#process(key);
    return await connectStreams(known.directory, known.io, known.ended);
  }

  async exec(_options: ExecProcess, _signal: AbortSignal): Promise<{ readonly pid: number }> {
    throw conflict('not yet');
  }

  async kill(id: string, signal: number, options: { readonly all?: boolean } = {}): Promise<void> {
    const container = this.#container(id);
    const sent = options.all === true ? this.#cgroup(container.facts).signalAll(signal) > 0 : this.#signal(container, signal);
    if (!sent) throw notFound(`container ${id} has no process any more`);
  }

  async resize(_key: ProcessKey, _size: { readonly height: number; readonly width: number }): Promise<void> {
    throw conflict('not yet');
  }

  async wait(key: ProcessKey): Promise<ExitStatus> {
    return await this.#process(key).exit;
  }

  async pids(id: string): Promise<number[]> {
    return this.#cgroup(this.#container(id).facts).pids();
  }

  async pause(id: string): Promise<void> {
    await this.#cgroup(this.#container(id).facts).setFrozen(true, AbortSignal.timeout(10_000));
  }

  async unpause(id: string): Promise<void> {
    await this.#cgroup(this.#container(id).facts).setFrozen(false, AbortSignal.timeout(10_000));
  }

  async remove(id: string): Promise<void> {
    const container = this.#containers.get(id);
    if (container === undefined) return;
    await this.#erase(id, container.facts, container.program, container, AbortSignal.timeout(30_000));
    this.#containers.delete(id);
  }

  async removeExec(key: ProcessKey): Promise<void> {
    await rm(this.#layout.directory(key), { recursive: true, force: true });
  }

  async recover(_known: ReadonlySet<string>): Promise<RecoveredContainer[]> {
    return [];
  }

  async close(): Promise<void> {
    await this.cgroups.close();
  }

  async #monitor(
    key: ProcessKey,
    directory: string,
    facts: ContainerFacts,
    program: OciProgram,
    logPath: string | undefined,
  ): Promise<StartedMonitor> {
    const runtimeLog = `${directory}/${files.runtimeLog}`;
    try {
      return await startMonitor({
        conmonPath: this.#conmonPath,
        directory,
        containerId: key.containerId,
        runtimePath: program.path,
        runtimeArgs: program.args(this.#layout.runtimeRoot(program.name), runtimeLog),
        io: facts.io,
        logPath,
        terminalDirectory: facts.io.tty ? this.#layout.terminals : undefined,
      });
    } catch (err) {
      if (err instanceof MonitorFailure) throw this.#failure('create', program, directory, err.reason, facts.command);
      throw err;
    }
  }

  #failure(action: 'create' | 'start' | 'exec', program: OciProgram, directory: string, reason: string, command: string): Error {
    const words = lastLoggedError(readText(`${directory}/${files.runtimeLog}`) ?? '') ?? reason;
    return failedPrecondition(describeFailure(action, program.name, words, command), { cause: new Error(reason) });
  }

  #track(key: ProcessKey, directory: string, io: ProcessIo, monitor: StartedMonitor, facts: ContainerFacts): Process {
    const process: Process = {
      key,
      directory,
      io,
      pid: monitor.pid,
      pidfd: openPidfd(monitor.pid),
      ended: monitor.ended,
      exit: monitor.ended.then(() => {
        process.status = 'ended';
        if (process.pidfd !== undefined) closeSync(process.pidfd);
        return readExit(directory, this.#cgroup(facts));
      }),
      status: 'running',
    };
    return process;
  }

  #signal(process: Process, signal: number): boolean {
    return process.status === 'running' && process.pidfd !== undefined && signalPidfd(process.pidfd, signal);
  }

  /** Ends and removes everything of a container, whatever of it is there. */
  async #erase(id: string, facts: ContainerFacts, program: OciProgram, container: Running | undefined, signal: AbortSignal): Promise<void> {
    const cgroup = this.#cgroup(facts);
    await cgroup.killAll(signal);
    if (container !== undefined) {
      this.#signal(container, 9);
      await container.exit;
    }
    failpoint('runtime.remove.ended');
    const root = this.#layout.runtimeRoot(program.name);
    if (program.kind === 'other' || facts.hasHooks) {
      const log = `${this.#layout.directory({ containerId: id })}/${files.runtimeLog}`;
      if (existsSync(`${root}/${id}`)) await runProgram([program.path, ...program.args(root, log), 'delete', '--force', id], signal);
    }
    await cgroup.remove(signal);
    rmSync(`${root}/${id}`, { recursive: true, force: true });
    failpoint('runtime.remove.state');
    rmSync(this.#layout.directory({ containerId: id }), { recursive: true, force: true });
  }

  #cgroup(facts: ContainerFacts): Cgroup {
    return new Cgroup(this.cgroups.hierarchies, facts.cgroup);
  }

  #container(id: string): Running {
    const container = this.#containers.get(id);
    if (container === undefined) throw notFound(`container ${id} is not known to the runtime: it was not created, or was removed`);
    return container;
  }

  #process(key: ProcessKey): Process {
    const container = this.#container(key.containerId);
    if (key.execId === undefined) return container;
    const exec = container.execs.get(key.execId);
    if (exec === undefined) throw notFound(`exec ${keyText(key)} is not known to the runtime`);
    return exec;
  }
}

function readExit(directory: string, cgroup: Cgroup): ExitStatus {
  const path = `${directory}/${files.exit}`;
  const text = readText(path);
  const oomKilled = existsSync(`${directory}/${files.oom}`) || cgroup.oomKills() > 0;
  if (text === undefined) return { exitCode: 137, exitedAt: new Date(), oomKilled };
  return { exitCode: Number(text), exitedAt: statSync(path).mtime, oomKilled };
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined;
    throw err;
  }
}
