import { conflict, invalidArgument, messageOf, notFound } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { newId } from '#base/id.ts';
import type { ExitStatus, ProcessStreams } from '#core/runtime.ts';
import type { ProcessSpec } from '#oci/runtime-spec.ts';
import type { AttachEnd, Attachment, ClientStream } from './attach-types.ts';
import { type Context, publish } from './context.ts';
import { cleanPath } from './config-merge.ts';
import { parseDetachKeys } from './detach-keys.ts';
import type { Entry } from './entry.ts';
import { execEnvironment } from './environment.ts';
import type { Exec } from './exec.ts';
import { linkedEnvironment } from './links.ts';
import type { ExecConfig, ExecDetails, ExecStartOptions } from './service.ts';
import { processLimits } from './spec.ts';
import { toStartFailure } from './start-failure.ts';
import { requireRunning, requireUnpaused } from './state.ts';
import { StreamHub } from './stream-hub.ts';
import { resolveUser } from './user.ts';

const accountFileBytes = 4 * 1024 * 1024;
/** An ended exec can be inspected for so long, and at most twice as long. */
const keepMs = 5 * 60_000;
/** No container has this id. */
const forgetting = 'execs';

export function createExec(ctx: Context, ref: string, config: ExecConfig): string {
  const entry = ctx.containers.find(ref);
  if (requireRunning(entry.container).paused) throw conflict(`Container ${ref} is paused, unpause the container before exec`);
  ctx.runtime.expectStart(20);
  if (config.cmd.length === 0 || config.cmd[0] === '') throw invalidArgument('No exec command specified');
  parseDetachKeys(config.detachKeys);
  if (config.workingDir !== '' && !config.workingDir.startsWith('/')) {
    throw invalidArgument(`the working directory '${config.workingDir}' is invalid, it needs to be an absolute path`);
  }
  for (const variable of config.env) {
    if (variable === '' || variable.startsWith('=')) throw invalidArgument(`invalid environment variable: ${variable}`);
  }
  return registerExec(ctx, entry, config).id;
}

/** Makes an exec known, for a configuration that was checked. One that is not kept is forgotten as soon as it ends. */
export function registerExec(ctx: Context, entry: Entry, config: ExecConfig, isKept = true): Exec {
  const exec: Exec = { id: newId(), containerId: entry.id, config, isKept, state: { status: 'created' }, hub: undefined };
  entry.execs ??= new Map();
  entry.execs.set(exec.id, exec);
  ctx.execs.set(exec.id, exec);
  publishExec(ctx, entry, exec, 'exec_create', true);
  return exec;
}

export function findExec(ctx: Context, id: string): { readonly exec: Exec; readonly entry: Entry } {
  const exec = ctx.execs.get(id) ?? [...ctx.execs.values()].find(candidate => id.length >= 4 && candidate.id.startsWith(id));
  const entry = exec === undefined ? undefined : ctx.containers.get(exec.containerId);
  if (exec === undefined || entry === undefined) throw notFound(`No such exec instance: ${id}`);
  return { exec, entry };
}

/** Rejects with Conflict when it runs, has run, or its container does not run any more. */
function requireStartable(exec: Exec, entry: Entry): void {
  if (exec.state.status === 'ended') throw conflict(`exec command ${exec.id} has already run`);
  if (exec.state.status !== 'created') throw conflict(`exec command ${exec.id} is already running`);
  requireUnpaused(entry.container);
}

export async function startExecDetached(ctx: Context, id: string, signal: AbortSignal): Promise<void> {
  const { exec, entry } = findExec(ctx, id);
  requireStartable(exec, entry);
  await runExec(ctx, entry, exec, {}, signal);
}

export function startExec(ctx: Context, id: string, options: ExecStartOptions): Attachment {
  const { exec, entry } = findExec(ctx, id);
  requireStartable(exec, entry);
  const detachKeys = parseDetachKeys(options.detachKeys === '' ? exec.config.detachKeys : options.detachKeys);
  return {
    tty: exec.config.tty,
    run: async client => {
      requireStartable(exec, entry);
      const hub = new StreamHub(ctx.log);
      exec.hub = hub;
      const { attachStdin, attachStdout, attachStderr, tty } = exec.config;
      const joined = hub.join(
        { write: (stream, chunk) => client.write(stream, chunk), input: attachStdin ? client.input : undefined, gone: client.gone },
        { stdout: attachStdout, stderr: attachStderr, tty, closesStdin: true, detachKeys },
      );
      let ended: Promise<void>;
      try {
        const { consoleSize } = options;
        ({ ended } = await runExec(ctx, entry, exec, { consoleSize, beforeOutput: streams => hub.connect(streams) }, ctx.closing.signal));
      } catch (err) {
        await tellFailure(client, err);
        await hub.end();
        return 'ended';
      }
      return await untilRecorded(ctx, entry, exec, joined, ended);
    },
  };
}

/** The exit code must be known before the client sees the end: it asks for it at once. */
async function untilRecorded(ctx: Context, entry: Entry, exec: Exec, joined: Promise<AttachEnd>, ended: Promise<void>): Promise<AttachEnd> {
  const how = await joined;
  if (how === 'ended') await ended;
  if (how === 'detached') publishExec(ctx, entry, exec, 'exec_detach');
  return how;
}

async function tellFailure(client: ClientStream, err: unknown): Promise<void> {
  try {
    await client.write('stdout', new TextEncoder().encode(`${messageOf(err)}\r\n`));
  } catch {
    // It has gone: there is nobody to tell.
  }
}

export interface RunExec {
  readonly consoleSize?: ExecStartOptions['consoleSize'];
  /** Called with its streams before its output flows; left out, its output goes nowhere. */
  readonly beforeOutput?: (streams: ProcessStreams) => void;
}

/** Starts an exec that was registered; `ended` resolves when its end has been recorded. Rejects when it cannot run. */
export async function runExec(
  ctx: Context,
  entry: Entry,
  exec: Exec,
  { consoleSize, beforeOutput }: RunExec,
  signal: AbortSignal,
): Promise<{ readonly ended: Promise<void> }> {
  const { config } = exec;
  exec.state = { status: 'starting' };
  publishExec(ctx, entry, exec, 'exec_start', true);
  const key = { containerId: entry.id, execId: exec.id };
  let pid: number;
  try {
    const runtime = ctx.options.runtimes.get(entry.container.hostConfig.runtime);
    if (runtime === undefined) throw invalidArgument(`unknown or invalid runtime name: ${entry.container.hostConfig.runtime}`);
    ({ pid } = await ctx.runtime.exec(
      {
        ...key,
        process: processOf(ctx, entry, exec, consoleSize),
        runtime,
        io: { tty: config.tty, stdin: config.attachStdin, keepStdinOpen: false },
        ...(beforeOutput === undefined ? {} : { beforeOutput }),
      },
      signal,
    ));
  } catch (err) {
    const failure = toStartFailure(err);
    // A program that was never come to cannot be run either.
    const exitCode = failure.exitCode === 128 ? 126 : failure.exitCode;
    exec.state = { status: 'ended', exitCode, pid: 0, endedMs: performance.now() };
    forgetLater(ctx, entry, exec);
    throw failure.error;
  }
  failpoint('container.exec.started');
  exec.state = { status: 'running', pid };
  return { ended: watchExec(ctx, entry, exec) };
}

function processOf(ctx: Context, entry: Entry, { config }: Exec, consoleSize: ExecStartOptions['consoleSize']): ProcessSpec {
  const { container } = entry;
  const root = ctx.snapshots.paths(container.id).mergedDir;
  const userText = config.user === '' ? container.config.user : config.user;
  const groupAdd = config.user === '' ? container.hostConfig.groupAdd : [];
  const user = resolveUser(userText, groupAdd, file => ctx.files.readText(root, file, accountFileBytes));
  const limits = processLimits(container, ctx.options, ctx.host);
  const all = [...ctx.host.capabilities];
  const size = consoleSize ?? config.consoleSize;
  return {
    terminal: config.tty,
    ...(size === undefined ? {} : { consoleSize: { height: size.height, width: size.width } }),
    user: { uid: user.uid, gid: user.gid, ...(user.additionalGids.length > 0 ? { additionalGids: [...user.additionalGids] } : {}) },
    args: [...config.cmd],
    env: execEnvironment(container.config, {
      hostname: container.config.hostname,
      home: user.home,
      tty: config.tty,
      env: config.env,
      linked: linkedEnvironment(ctx, container),
    }),
    cwd: config.workingDir === '' ? (container.config.workingDir === '' ? '/' : container.config.workingDir) : cleanPath(config.workingDir),
    ...limits,
    ...(config.privileged ? { capabilities: { bounding: all, effective: all, permitted: all, inheritable: [], ambient: [] } } : {}),
    oomScoreAdj: container.hostConfig.oomScoreAdj,
  };
}

/** Resolves when the end of a running exec has been recorded. */
export function watchExec(ctx: Context, entry: Entry, exec: Exec): Promise<void> {
  return ctx.runtime.wait({ containerId: entry.id, execId: exec.id }).then(
    exit => recordExit(ctx, entry, exec, exit),
    (err: unknown) => {
      ctx.log.debug('an exec went with its container', { container: entry.id, exec: exec.id, error: err });
      recordExit(ctx, entry, exec, { exitCode: 137, exitedAt: new Date(), oomKilled: false });
    },
  );
}

function recordExit(ctx: Context, entry: Entry, exec: Exec, exit: ExitStatus): void {
  const pid = exec.state.status === 'running' ? exec.state.pid : 0;
  exec.state = { status: 'ended', exitCode: exit.exitCode, pid, endedMs: performance.now() };
  exec.hub = undefined;
  publishExec(ctx, entry, exec, 'exec_die', false, { exitCode: String(exit.exitCode) });
  ctx.runtime
    .removeExec({ containerId: entry.id, execId: exec.id })
    .catch((err: unknown) => ctx.log.warn('the files of an exec stay until its container goes', { exec: exec.id, error: err }));
  forgetLater(ctx, entry, exec);
}

function forgetLater(ctx: Context, entry: Entry, exec: Exec): void {
  if (!exec.isKept) forgetExec(ctx, entry, exec);
  else if (!ctx.agenda.has(forgetting)) ctx.agenda.plan(forgetting, keepMs, () => forgetEnded(ctx));
}

/** All that ended long enough ago, in one go: no exec has a timer of its own. */
function forgetEnded(ctx: Context): void {
  const before = performance.now() - keepMs;
  let isMoreToCome = false;
  for (const exec of ctx.execs.values()) {
    if (exec.state.status !== 'ended') continue;
    if (exec.state.endedMs > before) isMoreToCome = true;
    else forgetExec(ctx, ctx.containers.get(exec.containerId), exec);
  }
  if (isMoreToCome) ctx.agenda.plan(forgetting, keepMs, () => forgetEnded(ctx));
}

function forgetExec(ctx: Context, entry: Entry | undefined, exec: Exec): void {
  ctx.execs.delete(exec.id);
  entry?.execs?.delete(exec.id);
}

/** With their container: nobody can ask about them any more. */
export function forgetExecsOf(ctx: Context, entry: Entry): void {
  for (const id of entry.execs?.keys() ?? []) ctx.execs.delete(id);
  entry.execs = undefined;
}

function publishExec(
  ctx: Context,
  entry: Entry,
  exec: Exec,
  action: string,
  withCommand = false,
  attributes: Readonly<Record<string, string>> = {},
): void {
  // Clients know it with the space after a program without arguments.
  const [program = '', ...args] = exec.config.cmd;
  const text = withCommand ? `${action}: ${program} ${args.join(' ')}` : action;
  publish(ctx, entry.container, text, { execID: exec.id, ...attributes });
}

export function inspectExec(ctx: Context, id: string): ExecDetails {
  const { exec } = findExec(ctx, id);
  const { state } = exec;
  return {
    id: exec.id,
    containerId: exec.containerId,
    config: exec.config,
    running: state.status === 'running',
    exitCode: state.status === 'ended' ? state.exitCode : undefined,
    pid: 'pid' in state ? state.pid : 0,
  };
}
