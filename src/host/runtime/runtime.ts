import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { cleanUp } from '#base/dispose.ts';
import { failedPrecondition, invalidArgument, notFound } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { Logger } from '#base/log.ts';
import type { ResourcesSpec } from '#oci/runtime-spec.ts';
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
import type { ResourceUsage } from '#core/usage.ts';
import { Cgroup } from '#host/cgroups/cgroup.ts';
import { type LimitValues, liftLimits, readLimits, splitLifted, writeLimits } from '#host/cgroups/limit-values.ts';
import { splitDeviceWeights, writeDeviceWeights } from '#host/cgroups/device-weights.ts';
import { type CgroupHost, openCgroupHost } from '#host/cgroups/host.ts';
import { MigrationStarter } from '#host/cgroups/migration.ts';
import { grantRealtime, type RealtimeBudget } from '#host/cgroups/realtime.ts';
import { readUsage } from '#host/cgroups/usage.ts';
import { sessionOf } from '#host/sys/process.ts';
import { CompiledFilters } from './compiled-filters.ts';
import { MonitorFailure, type MonitorRequest, spawnMonitor, type StartedMonitor, type WaitingMonitor } from './conmon.ts';
import { type Eraser, openEraser } from './erase.ts';
import { describeCheckpointFailure, requireCheckpoints } from './checkpoint.ts';
import { makeDirectory, temporaryDirectory } from './directories.ts';
import { describeFailure, lastLoggedError } from './failure.ts';
import { files, keyText, Layout } from './layout.ts';
import { guardProcess } from './guard.ts';
import { findExecutable, findProgram, missing, type OciProgram, openStartGate } from './oci-program.ts';
import { MemoryWatch } from './memory-watch.ts';
import { recoverContainers } from './recover.ts';
import { reopenLog, resizeTerminal } from './control.ts';
import { runProgram } from './run-program.ts';
import { Attachments } from './streams.ts';
import { type ContainerFacts, type ExecFacts, readJson, readText, Supervised, type SupervisedContainer } from './supervised.ts';

export interface RuntimeOptions {
  /** On a file system that does not outlive a boot, such as /run. */
  readonly execRoot: string;
  /** The cgroup below which this daemon's containers live, such as `/berth`; its own, no other daemon's. */
  readonly cgroupParent: string;
  readonly log: Logger;
  /** Absolute, or a name to look up in PATH. */
  readonly conmonPath?: string;
  /** A device like /dev/null that may change its owner; undefined: there is none. */
  readonly nullDevice?: string;
  /** Runtime to get ready before the first container asks for it. */
  readonly warmUp?: RuntimeBinary;
  /** What real-time processes of containers may take together; without it, none of them gets any. */
  readonly realtime?: RealtimeBudget;
}

export interface OpenedRuntime extends ContainerRuntime {
  readonly cgroups: CgroupHost;
  /** Lets go of the host. Containers that run go on running, for the next daemon to recover. */
  close(): Promise<void>;
}

// A unix socket's address has 108 bytes, and conmon adds a name of its own for each terminal.
const longestExecRoot = 70;
const pauseMs = 10_000;
const removeMs = 30_000;
const updateMs = 10_000;

/** Opens the runtime. Rejects with Unavailable when conmon is not installed. Call `recover` before anything else. */
export async function openRuntime(options: RuntimeOptions): Promise<OpenedRuntime> {
  const wanted = options.conmonPath ?? 'conmon';
  const conmonPath = findExecutable(wanted);
  if (conmonPath === undefined) throw missing(wanted, 'the container monitor conmon');
  if (options.execRoot.length > longestExecRoot) {
    throw invalidArgument(`exec root ${options.execRoot} is too long: use a path of at most ${String(longestExecRoot)} characters`);
  }
  const layout = new Layout(options.execRoot);
  for (const directory of [layout.containers, layout.runtimes, layout.terminals]) mkdirSync(directory, { recursive: true, mode: 0o711 });
  const instance = options.cgroupParent.replaceAll('/', '_').replace(/^_/, '');
  const cgroups = await openCgroupHost({ instance, log: options.log });
  // Found here rather than by the first container; whether it is installed matters only when one asks for it.
  if (options.warmUp !== undefined) void findProgram(options.warmUp).catch(() => undefined);
  if (options.realtime !== undefined && cgroups.hierarchies.version === 'v2') {
    throw invalidArgument(
      '--cpu-rt-period and --cpu-rt-runtime need version 1 of control groups: version 2 does not divide real-time processor time',
    );
  }
  return new ConmonRuntime(layout, conmonPath, cgroups, options);
}

class ConmonRuntime implements OpenedRuntime {
  readonly cgroups: CgroupHost;
  readonly #layout: Layout;
  readonly #conmonPath: string;
  readonly #cgroupParent: string;
  readonly #realtime: RealtimeBudget | undefined;
  readonly #nullDevice: string | undefined;
  readonly #log: Logger;
  readonly #eraser: Eraser;
  readonly #attachments = new Attachments();
  readonly #filters = new CompiledFilters();
  readonly #migrations: MigrationStarter;
  readonly #memory: MemoryWatch;
  readonly #containers = new Map<string, SupervisedContainer>();

  constructor(layout: Layout, conmonPath: string, cgroups: CgroupHost, { cgroupParent, log, nullDevice, realtime }: RuntimeOptions) {
    this.#layout = layout;
    this.#conmonPath = conmonPath;
    this.cgroups = cgroups;
    this.#migrations = new MigrationStarter(cgroups.hierarchies);
    this.#cgroupParent = cgroupParent;
    this.#memory = new MemoryWatch(new Cgroup(cgroups.hierarchies, cgroupParent));
    this.#realtime = realtime;
    this.#nullDevice = nullDevice;
    this.#log = log;
    this.#eraser = openEraser(layout, cgroups.hierarchies);
  }

  expectStart(withinMs: number): void {
    void this.#migrations.begin(withinMs);
  }

  async create(options: CreateContainer, signal: AbortSignal): Promise<{ readonly pid: number }> {
    const { id, io } = options;
    const key = { containerId: id };
    const directory = this.#layout.directory(key);
    const making = typeof options.spec === 'function' ? undefined : Promise.resolve(options.spec);
    // Whatever comes first is the reason; a second one must not go unhandled.
    making?.catch(() => undefined);
    const program = await findProgram(options.runtime);
    signal.throwIfAborted();
    if (options.restoreFrom !== undefined) requireCheckpoints(program);
    makeDirectory(directory, `container ${id}`);
    failpoint('runtime.create.directory');
    const processes: Supervised[] = [];
    let facts: ContainerFacts | undefined = undefined;
    await using undo = new AsyncDisposableStack();
    undo.defer(() => cleanUp(`container ${id}`, this.#log, late => this.#eraser.erase(id, facts, processes, late)));
    using terminal = io.tty ? temporaryDirectory(this.#layout.terminals) : undefined;
    const hasUserNamespace = options.hasUserNamespace === true;
    const waiting = this.#spawnMonitor(program, {
      directory,
      containerId: id,
      io,
      ...logOf(options),
      terminalDirectory: terminal?.path,
      ...(options.restoreFrom === undefined ? {} : { restoreFrom: options.restoreFrom }),
      ...this.#standIn(program, hasUserNamespace && (io.tty || !io.stdin)),
    });
    undo.defer(() => waiting.abandon());
    const spec = await (typeof options.spec === 'function' ? options.spec() : options.spec);
    using _free = this.#migrations.hold();
    signal.throwIfAborted();
    const cgroup = spec.linux.cgroupsPath ?? `${this.#cgroupParent}/${id}`;
    facts = {
      runtime: options.runtime,
      io,
      cgroup,
      madeParents: this.#madeParents(cgroup),
      command: spec.process.args[0] ?? '',
      sharesPids: !spec.linux.namespaces.some(namespace => namespace.type === 'pid' && namespace.path === undefined),
      hasHooks: spec.hooks !== undefined,
      hasUserNamespace,
    };
    writeFileSync(`${directory}/${files.state}`, JSON.stringify(facts));
    if (spec.linux.resources?.cpu?.realtimeRuntime !== undefined && this.#realtime !== undefined) {
      grantRealtime(this.cgroups.hierarchies, cgroup, this.#realtime);
    }
    const filtered = program.kind === 'crun' ? this.#filters.withFilter(spec) : spec;
    // crun 1.8 stops where no scheduler weighs a device; other runtimes, and so Docker, go on without.
    const writesWeights = program.kind === 'crun' && this.cgroups.hierarchies.version === 'v2';
    const { weights, others: resources } = splitDeviceWeights(spec.linux.resources ?? {});
    const linux = { ...filtered.linux, cgroupsPath: facts.cgroup, ...(writesWeights ? { resources } : {}) };
    const complete = { ...filtered, process: { ...spec.process, terminal: io.tty }, linux };
    writeFileSync(`${directory}/${files.spec}`, JSON.stringify(complete));
    failpoint('runtime.create.bundle');
    const monitor = await this.#begin('create', program, waiting, directory, facts.command);
    failpoint('runtime.create.made');
    if (program.kind === 'crun') this.#filters.learn(spec, `${this.#layout.runtimeRoot(program.name)}/${id}`);
    const main = this.#supervise(key, directory, io, monitor.pid, monitor.ended, facts);
    processes.push(main);
    const unweighed = writesWeights ? writeDeviceWeights(this.cgroups.hierarchies, cgroup, weights) : [];
    if (unweighed.length > 0)
      this.#log.warn('nothing in the kernel weighs the I/O of these devices', { container: id, devices: unweighed });
    if (options.endsWithDaemon === true) {
      const guard = guardProcess(monitor.pid, this.#cgroup(facts).membersFile());
      void main.exit.finally(() => guard[Symbol.dispose]());
    }
    signal.throwIfAborted();
    this.#containers.set(id, { facts, program, main, execs: new Map() });
    undo.move();
    return { pid: monitor.pid };
  }

  async start(id: string, signal: AbortSignal): Promise<void> {
    const { program, facts, main } = this.#container(id);
    const root = this.#layout.runtimeRoot(program.name);
    failpoint('runtime.start.asked');
    if (!facts.hasHooks && (await openStartGate(program.kind, `${root}/${id}`, () => main.hasEnded))) {
      failpoint('runtime.start.done');
      return;
    }
    const log = `${main.directory}/${files.runtimeLog}`;
    const result = await runProgram([program.path, ...program.args(root, log), 'start', id], signal);
    if (result.exitCode !== 0) throw this.#failure('start', program, main.directory, result.stderr, facts.command);
  }

  async attach(key: ProcessKey): Promise<ProcessStreams> {
    const process = this.#process(key);
    return await this.#attachments.attach({ directory: process.directory, io: process.io, ended: process.exit });
  }

  async exec(options: ExecProcess, signal: AbortSignal): Promise<{ readonly pid: number }> {
    const { containerId, execId, io, beforeOutput } = options;
    const key = { containerId, execId };
    const { program, facts, execs, main } = this.#container(containerId);
    const directory = this.#layout.directory(key);
    mkdirSync(`${main.directory}/execs`, { recursive: true, mode: 0o700 });
    makeDirectory(directory, `exec ${keyText(key)}`);
    await using undo = new AsyncDisposableStack();
    const ended = Promise.withResolvers<void>();
    undo.defer(() => {
      ended.resolve();
      rmSync(directory, { recursive: true, force: true });
    });
    writeFileSync(`${directory}/${files.processSpec}`, JSON.stringify({ ...options.process, terminal: io.tty }));
    failpoint('runtime.exec.directory');
    signal.throwIfAborted();
    const connect = async (): Promise<void> => beforeOutput?.(await this.#attachments.attach({ directory, io, ended: ended.promise }));
    const exec = { beforeOutput: beforeOutput === undefined ? undefined : connect };
    using _free = this.#migrations.hold();
    using terminal = io.tty ? temporaryDirectory(this.#layout.terminals) : undefined;
    const isHostRoot = options.process.user.uid === 0 && !facts.hasUserNamespace;
    const waiting = this.#spawnMonitor(program, {
      directory,
      containerId,
      io,
      logPath: undefined,
      exec,
      terminalDirectory: terminal?.path,
      ...this.#standIn(program, !isHostRoot && (io.tty || !io.stdin)),
    });
    const monitor = await this.#begin('exec', program, waiting, directory, options.process.args[0] ?? '');
    failpoint('runtime.exec.reported');
    // Not before: an exec without these facts is one whose start nobody was told of, and is undone by the next daemon.
    writeFileSync(`${directory}/${files.state}`, JSON.stringify({ io } satisfies ExecFacts));
    failpoint('runtime.exec.made');
    void monitor.ended.then(ended.resolve);
    execs.set(execId, this.#supervise(key, directory, io, monitor.pid, monitor.ended, facts));
    undo.move();
    return { pid: monitor.pid };
  }

  async kill(id: string, signal: number, options: { readonly all?: boolean; readonly execId?: string } = {}): Promise<void> {
    const { facts } = this.#container(id);
    const key = options.execId === undefined ? { containerId: id } : { containerId: id, execId: options.execId };
    const process = this.#process(key);
    const sent = options.all === true ? this.#signalAll(facts, key, process.pid, signal) > 0 : process.signal(signal);
    if (!sent) throw notFound(`the process of ${keyText(key)} has ended: there is nothing to send signal ${String(signal)} to`);
  }

  #signalAll(facts: ContainerFacts, key: ProcessKey, pid: number, signal: number): number {
    const cgroup = this.#cgroup(facts);
    if (key.execId === undefined) return cgroup.signalAll(signal);
    // Every exec has a session of its own, which all that it starts stay in unless they leave it on purpose.
    const session = sessionOf(pid);
    return session === undefined ? 0 : cgroup.signalAll(signal, member => sessionOf(member) === session);
  }

  reopenLog(id: string): void {
    const directory = this.#containers.get(id)?.main.directory;
    if (directory !== undefined) reopenLog(directory);
  }

  async resize(key: ProcessKey, size: { readonly height: number; readonly width: number }): Promise<void> {
    const process = this.#process(key);
    if (!process.io.tty) throw failedPrecondition(`${keyText(key)} has no terminal to resize: it was made without one (-t)`);
    resizeTerminal(process.directory, size);
  }

  async wait(key: ProcessKey): Promise<ExitStatus> {
    return await this.#process(key).exit;
  }

  onOutOfMemory(id: string, listener: () => void): void {
    const { main, facts } = this.#container(id);
    // A start that waits for its answer comes first: what happens meanwhile is found all the same.
    setImmediate(() => {
      if (main.hasEnded) return;
      try {
        this.#memory.add(id, { directory: main.directory, cgroup: this.#cgroup(facts), ended: main.exit, listener });
      } catch (err) {
        // The kernel bounds how many files may be watched (fs.inotify.max_user_watches).
        this.#log.warn('want of memory of a container will be told at its end only', { container: id, error: err });
      }
    });
  }

  async usage(id: string): Promise<ResourceUsage> {
    const usage = readUsage(this.cgroups.hierarchies, this.#container(id).facts.cgroup);
    if (usage === undefined) throw notFound(`container ${id} has no cgroup any more`);
    return usage;
  }

  async pids(id: string): Promise<number[]> {
    return this.#cgroup(this.#container(id).facts).pids();
  }

  async pause(id: string): Promise<void> {
    await this.#setPaused(id, true);
  }

  async unpause(id: string): Promise<void> {
    await this.#setPaused(id, false);
  }

  async update(id: string, resources: ResourcesSpec): Promise<void> {
    const { facts, program, main } = this.#container(id);
    const file = (name: 'resources' | 'limitsBefore' | 'updateLog'): string => `${main.directory}/${files[name]}`;
    // Those of an update that was cut off: what is there now may be half of it.
    const before = (readJson(file('limitsBefore')) as LimitValues | undefined) ?? readLimits(this.cgroups.hierarchies, facts.cgroup);
    writeFileSync(file('limitsBefore'), JSON.stringify(before));
    const { lifted, others } = splitLifted(resources);
    writeFileSync(file('resources'), JSON.stringify(others));
    failpoint('runtime.update.asked');
    try {
      await this.#runUpdate(id, program, file('resources'), file('updateLog'));
      liftLimits(this.cgroups.hierarchies, facts.cgroup, lifted);
      failpoint('runtime.update.done');
      this.#memory.limitsChanged(id);
    } catch (err) {
      try {
        writeLimits(before);
      } catch (failure) {
        throw new SuppressedError(failure, err);
      }
      throw err;
    } finally {
      for (const name of ['resources', 'updateLog', 'limitsBefore'] as const) rmSync(file(name), { force: true });
    }
  }

  async #runUpdate(id: string, program: OciProgram, resources: string, log: string): Promise<void> {
    const args = program.args(this.#layout.runtimeRoot(program.name), log);
    const argv = [program.path, ...args, 'update', '--resources', resources, id];
    const result = await runProgram(argv, AbortSignal.timeout(updateMs));
    if (result.exitCode === 0) return;
    const words = lastLoggedError(readText(log) ?? '') ?? result.stderr.trim();
    throw failedPrecondition(`${program.name} did not terminate successfully: exit status ${String(result.exitCode)}: ${words}: unknown`);
  }

  async checkpoint(
    id: string,
    options: { readonly imagePath: string; readonly leavesRunning: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { program, main } = this.#container(id);
    requireCheckpoints(program);
    const workPath = `${main.directory}/${files.checkpointWork}`;
    mkdirSync(workPath, { recursive: true, mode: 0o700 });
    const log = `${main.directory}/${files.runtimeLog}`;
    const global = [program.path, ...program.args(this.#layout.runtimeRoot(program.name), log)];
    const paths = ['--image-path', options.imagePath, '--work-path', workPath];
    const flags = ['--file-locks', ...(options.leavesRunning ? ['--leave-running'] : [])];
    const result = await runProgram([...global, 'checkpoint', ...paths, ...flags, id], signal);
    if (result.exitCode === 0) return;
    const words = lastLoggedError(readText(log) ?? '') ?? result.stderr.trim();
    throw failedPrecondition(describeCheckpointFailure(program.name, words, readText(`${workPath}/dump.log`) ?? ''));
  }

  async remove(id: string): Promise<void> {
    const container = this.#containers.get(id);
    const facts = container?.facts ?? this.#eraser.factsOf(id);
    const processes = container === undefined ? [] : [container.main, ...container.execs.values()];
    await this.#eraser.erase(id, facts, processes, AbortSignal.timeout(removeMs));
    this.#containers.delete(id);
  }

  /** Our own parent is not among them: it goes when the daemon ends. */
  #madeParents(cgroup: string): string[] {
    if (cgroup.startsWith(`${this.#cgroupParent}/`)) return [];
    const made = new Set(this.#containers.values().flatMap(container => container.facts.madeParents));
    for (const path of new Cgroup(this.cgroups.hierarchies, cgroup).missingParents()) made.add(path);
    return [...made].filter(path => cgroup.startsWith(`${path}/`)).toSorted((a, b) => a.length - b.length);
  }

  async removeExec(key: ProcessKey): Promise<void> {
    if (key.execId === undefined) throw invalidArgument(`removeExec needs an exec, got container ${key.containerId}`);
    const execs = this.#containers.get(key.containerId)?.execs;
    const exec = execs?.get(key.execId);
    if (exec !== undefined && !exec.hasEnded) throw failedPrecondition(`exec ${keyText(key)} still runs`);
    execs?.delete(key.execId);
    rmSync(this.#layout.directory(key), { recursive: true, force: true });
  }

  async recover(known: ReadonlySet<string>): Promise<RecoveredContainer[]> {
    return await recoverContainers({
      layout: this.#layout,
      hierarchies: this.cgroups.hierarchies,
      cgroupParent: this.#cgroupParent,
      eraser: this.#eraser,
      log: this.#log,
      known,
      supervise: (key, directory, io, pid, ended, facts) => this.#supervise(key, directory, io, pid, ended, facts),
      adopt: (id, container) => this.#containers.set(id, container),
    });
  }

  async close(): Promise<void> {
    const parent = new Cgroup(this.cgroups.hierarchies, this.#cgroupParent);
    if (parent.children().length === 0) await cleanUp('cgroup parent', this.#log, signal => parent.remove(signal));
    await this.cgroups.close();
  }

  /** crun gives its standard streams to the user of the container: where one is /dev/null, that has to stay root's of the host. */
  #standIn(program: OciProgram, isNeeded: boolean): Pick<MonitorRequest, 'nullDevice'> {
    return isNeeded && program.kind === 'crun' && this.#nullDevice !== undefined ? { nullDevice: this.#nullDevice } : {};
  }

  #spawnMonitor(program: OciProgram, request: Omit<MonitorRequest, 'conmonPath' | 'runtimePath' | 'runtimeArgs'>): WaitingMonitor {
    const runtimeArgs = program.args(this.#layout.runtimeRoot(program.name), `${request.directory}/${files.runtimeLog}`);
    return spawnMonitor({ ...request, conmonPath: this.#conmonPath, runtimePath: program.executable(), runtimeArgs });
  }

  async #begin(
    action: 'create' | 'exec',
    program: OciProgram,
    waiting: WaitingMonitor,
    directory: string,
    command: string,
  ): Promise<StartedMonitor> {
    try {
      return await waiting.begin();
    } catch (err) {
      if (err instanceof MonitorFailure) throw this.#failure(action, program, directory, err.reason, command);
      throw err;
    }
  }

  #failure(action: 'create' | 'start' | 'exec', program: OciProgram, directory: string, reason: string, command: string): Error {
    const words = lastLoggedError(readText(`${directory}/${files.runtimeLog}`) ?? '') ?? reason;
    return failedPrecondition(describeFailure(action, program.name, words, command), { cause: new Error(reason) });
  }

  #supervise(key: ProcessKey, directory: string, io: ProcessIo, pid: number, ended: Promise<void>, facts: ContainerFacts): Supervised {
    const cgroup = this.#cgroup(facts);
    const endRest = async (monitorKilled: boolean): Promise<void> => {
      if (monitorKilled) this.#log.warn('the monitor of a process was killed: ending the process', { process: keyText(key) });
      if (key.execId !== undefined || !(monitorKilled || facts.sharesPids)) return;
      await cleanUp(`processes of ${key.containerId}`, this.#log, signal => cgroup.killAll(signal));
    };
    const sawOutOfMemory = (): boolean => key.execId === undefined && cgroup.oomKills() > 0;
    return new Supervised({ key, directory, io, pid, ended, endRest, sawOutOfMemory });
  }

  async #setPaused(id: string, paused: boolean): Promise<void> {
    const { facts, program, main } = this.#container(id);
    const signal = AbortSignal.timeout(pauseMs);
    if (program.kind !== 'other') {
      await this.#cgroup(facts).setFrozen(paused, signal);
      return;
    }
    const args = program.args(this.#layout.runtimeRoot(program.name), `${main.directory}/${files.runtimeLog}`);
    const result = await runProgram([program.path, ...args, paused ? 'pause' : 'resume', id], signal);
    if (result.exitCode !== 0)
      throw failedPrecondition(`${program.name} could not ${paused ? 'pause' : 'resume'} container ${id}: ${result.stderr.trim()}`);
  }

  #cgroup(facts: ContainerFacts): Cgroup {
    return new Cgroup(this.cgroups.hierarchies, facts.cgroup);
  }

  #container(id: string): SupervisedContainer {
    const container = this.#containers.get(id);
    if (container === undefined) throw notFound(`container ${id} is not known to the runtime: it was not created, or was removed`);
    return container;
  }

  #process(key: ProcessKey): Supervised {
    const { main, execs } = this.#container(key.containerId);
    const process = key.execId === undefined ? main : execs.get(key.execId);
    if (process === undefined) throw notFound(`exec ${keyText(key)} is not known to the runtime`);
    return process;
  }
}

function logOf({ logPath, logMaxBytes }: CreateContainer): Pick<MonitorRequest, 'logPath' | 'logMaxBytes'> {
  return logMaxBytes === undefined ? { logPath } : { logPath, logMaxBytes };
}
