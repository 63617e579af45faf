import { statSync, writeFileSync } from 'node:fs';
import { cleanUp } from '#base/dispose.ts';
import { conflict, EngineError, failedPrecondition, internal, kindOf, messageOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { mountTable } from '#core/files.ts';
import { rootOwner, type UserNamespace } from '#core/id-map.ts';
import type { Sandbox, SandboxNamespace } from '#core/network.ts';
import type { RuntimeBinary } from '#core/runtime.ts';
import type { RuntimeSpec } from '#oci/runtime-spec.ts';
import { type Context, containerDir, publish } from './context.ts';
import { applyEdits, requestedEdits } from './device-requests.ts';
import type { Entry } from './entry.ts';
import { healthCheckOf, startingHealth } from './health.ts';
import { watchHealth } from './health-checks.ts';
import { prepareIpc, releaseIpc } from './ipc.ts';
import { closeLog, openLog } from './logs.ts';
import type { Container } from './model.ts';
import { mountSources, unmountSources } from './mounts.ts';
import { linkedEnvironment, linkedContainers, refreshLinksTo } from './links.ts';
import { parseNetworkMode, sandboxRequest } from './network-request.ts';
import { watchMemory } from './out-of-memory.ts';
import { errorOf, isRunning, noRun } from './state.ts';
import { buildSpec, usesInit } from './spec.ts';
import { toStartFailure } from './start-failure.ts';
import { type ResolvedUser, resolveUser } from './user.ts';
import { giveToRoot, idMapOf, userNamespaceOf } from './user-namespace.ts';

const accountFileBytes = 4 * 1024 * 1024;

/**
 * Brings a container that is down to run. Called with its lock held. When a step fails everything made is unmade, and the container keeps the reason and
 * the exit code that stands for it. `restoreFrom`: a checkpoint to go on from.
 *
 *   log ─ network ─────────────────────┐
 *      └─ root mount ─ user ─ volumes ─┴─ spec ─┐
 *   monitor gets ready ─────────────────────────┴─ runtime create ─ clients attached ─ record ─ runtime start
 */
export async function launch(ctx: Context, entry: Entry, signal: AbortSignal, restoreFrom?: string): Promise<void> {
  const { container } = entry;
  failpoint('container.start.begin');
  ctx.runtime.expectStart(50);
  try {
    if (restoreFrom !== undefined) await ctx.ahead.abandon(entry.id);
    if (!(await ctx.ahead.finish(entry.id, signal))) await bringUp(ctx, entry, signal, { restoreFrom });
  } catch (err) {
    const failure = toStartFailure(err);
    recordFailure(ctx, entry, failure.error.message, failure.exitCode);
    throw failure.error;
  }
  entry.run += 1;
  watchExit(ctx, entry);
  watchHealth(ctx, entry);
  publish(ctx, container, 'start');
  await cleanUp(`links to container ${entry.id}`, ctx.log, () => refreshLinksTo(ctx, container));
}

/**
 * Begins the start of a container that was just made. Not where readiness is something that others see, such as a connection to a receiver of logs, and not
 * when somebody is at the container already.
 */
export function launchAhead(ctx: Context, id: string): void {
  const entry = ctx.containers.get(id);
  if (entry === undefined || ctx.locks.isHeld(id) || ctx.closing.signal.aborted) return;
  if (entry.container.state.status !== 'created' || !localLogDrivers.has(entry.container.hostConfig.logConfig.type)) return;
  ctx.ahead.begin(id, (gate, signal) => bringUp(ctx, entry, signal, { gate }));
}

const localLogDrivers: ReadonlySet<string> = new Set(['json-file', 'local', 'none']);

/** Waits for the end of a run that has begun, and for want of memory before it, and has them dealt with. */
export function watchExit(ctx: Context, entry: Entry): void {
  const { run } = entry;
  watchMemory(ctx, entry);
  entry.exited = ctx.runtime.wait({ containerId: entry.id }).then(
    exit => ctx.handleExit(entry, run, exit),
    (err: unknown) => ctx.log.error('the end of a container cannot be seen', { container: entry.id, error: err }),
  );
}

interface BringUpOptions {
  readonly restoreFrom?: string | undefined;
  /** What only this container sees is done before it resolves, the rest after. */
  readonly gate?: Promise<void>;
}

async function bringUp(ctx: Context, entry: Entry, signal: AbortSignal, { restoreFrom, gate }: BringUpOptions): Promise<void> {
  const { container } = entry;
  const { id, config } = container;
  await using undo = new AsyncDisposableStack();
  const defer = (what: string, step: () => unknown): void => undo.defer(() => cleanUp(`${what} of container ${id}`, ctx.log, step));
  const runtime = runtimeOf(ctx, container);
  const userNamespace = userNamespaceOf(ctx, container);
  using pins = new DisposableStack();
  defer('log', () => closeLog(ctx, entry, { removesLog: false }));
  const log = await openLog(ctx, entry, false, signal);
  const prepared = async (): Promise<Prepared> => {
    log?.begin();
    failpoint('container.start.logged');
    return await prepare(ctx, container, userNamespace, { pins, defer, gate }, signal);
  };
  let preparing: Promise<Prepared> | undefined;
  const creating = ctx.runtime.create(
    {
      id,
      spec: async () => (await (preparing = prepared())).spec,
      runtime,
      hasUserNamespace: userNamespace !== undefined,
      ...(restoreFrom === undefined ? {} : { restoreFrom }),
      io: { tty: config.tty, stdin: config.openStdin, keepStdinOpen: config.openStdin && !config.stdinOnce },
      logPath: log?.capturePath,
      ...(log?.captureMaxBytes === undefined ? {} : { logMaxBytes: log.captureMaxBytes }),
    },
    signal,
  );
  // When it fails, so has what it waited for, or that was not begun.
  const { pid } = await creating;
  const sandbox = (await preparing)?.sandbox;
  if (sandbox === undefined) throw internal(`container ${id} was made without its specification`);
  defer('process', () => ctx.runtime.remove(id));
  failpoint('container.start.created');
  if (entry.hub?.isWanted === true) entry.hub.connect(await ctx.runtime.attach({ containerId: id }));
  const before = container.state;
  container.state = { status: 'running', pid, startedAt: new Date().toISOString(), paused: false };
  if (healthCheckOf(config) !== undefined) container.health = startingHealth(container.health);
  container.hasStarted = true;
  container.endpointStates = sandbox.endpoints;
  container.ports = sandbox.ports;
  container.sandboxKey = sandbox.namespace.kind === 'path' ? sandbox.namespace.path : '';
  ctx.containers.save(entry);
  failpoint('container.start.recorded');
  try {
    if (restoreFrom === undefined) await ctx.runtime.start(id, signal);
  } catch (err) {
    container.state = before;
    throw err;
  }
  failpoint('container.start.started');
  undo.move();
}

/** What the steps of a start share. */
interface Scope {
  readonly pins: DisposableStack;
  readonly defer: Defer;
  /** Before it resolves nothing is done that others see. Volumes are told of after networks, as by Docker. */
  readonly gate: Promise<unknown> | undefined;
}

interface Prepared {
  readonly sandbox: Network;
  readonly spec: RuntimeSpec;
}

async function prepare(
  ctx: Context,
  container: Container,
  userNamespace: UserNamespace | undefined,
  scope: Scope,
  signal: AbortSignal,
): Promise<Prepared> {
  const { defer, gate } = scope;
  const network = async (): Promise<Network> => {
    await gate;
    return await joinNetwork(ctx, container, userNamespace, defer, signal);
  };
  const joining = network();
  const [sandbox, root] = await both(joining, prepareRoot(ctx, container, { ...scope, gate: joining }));
  failpoint('container.start.prepared');
  signal.throwIfAborted();
  if (container.hostConfig.ipcMode === 'shareable') defer('shared memory', () => releaseIpc(ctx, container));
  return { sandbox, spec: specOf(ctx, container, userNamespace, sandbox, root) };
}

function recordFailure(ctx: Context, entry: Entry, error: string, exitCode: number): void {
  const { container } = entry;
  const { state } = container;
  if (isRunning(state)) throw internal(`container ${container.id} runs although its start failed: ${errorOf(state)}`);
  Object.assign(container, noRun);
  container.state =
    state.status === 'exited' || state.status === 'restarting'
      ? { ...state, status: 'exited', error, exitCode }
      : { status: 'created', error, exitCode };
  ctx.containers.save(entry);
}

/** Waits for both even when one fails, so that whatever they made is known to the undo. */
async function both<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([first, second]);
  if (a.status === 'rejected') throw a.reason;
  if (b.status === 'rejected') throw b.reason;
  return [a.value, b.value];
}

function runtimeOf(ctx: Context, { hostConfig }: Container): RuntimeBinary {
  const runtime = ctx.options.runtimes.get(hostConfig.runtime);
  if (runtime === undefined) throw failedPrecondition(`unknown or invalid runtime name: ${hostConfig.runtime}`);
  return runtime;
}

type Defer = (what: string, step: () => unknown) => void;

/** The sandbox, and where the three network files of the container are. */
type Network = Sandbox & { readonly files: ReadonlyMap<NetworkFile, string> };

async function joinNetwork(
  ctx: Context,
  container: Container,
  userNamespace: UserNamespace | undefined,
  defer: Defer,
  signal: AbortSignal,
): Promise<Network> {
  const mode = parseNetworkMode(container.hostConfig.networkMode);
  if (mode.mode === 'container') return shareNetwork(ctx, container, mode.container);
  defer('network', () => ctx.networks.teardown(container.id));
  const sandbox = await setUpNetwork(ctx, container, userNamespace, signal);
  failpoint('container.start.network');
  const files = networkFiles(containerDir(ctx, container.id));
  const texts = { '/etc/hosts': sandbox.hosts, '/etc/resolv.conf': sandbox.resolvConf, '/etc/hostname': `${container.config.hostname}\n` };
  for (const [path, file] of files) {
    writeFileSync(file, texts[path]);
    giveToRoot(userNamespace?.idMap, file);
  }
  return { ...sandbox, files };
}

async function setUpNetwork(
  ctx: Context,
  container: Container,
  userNamespace: UserNamespace | undefined,
  signal: AbortSignal,
): Promise<Sandbox> {
  try {
    return await ctx.networks.setup(sandboxRequest(container, linkedContainers(ctx, container), userNamespace), signal);
  } catch (err) {
    throw new EngineError(kindOf(err), `failed to set up container networking: ${messageOf(err)}`, { cause: err });
  }
}

/** The namespace for whoever joins a running container's network. */
export function networkNamespaceOf(ctx: Context, ref: string): SandboxNamespace {
  const { container, pid } = runningContainer(ctx, ref, 'network');
  if (container.hostConfig.networkMode === 'host') return { kind: 'host' };
  const isMapped = idMapOf(ctx.options, container.hostConfig) !== undefined;
  const path = `/proc/${String(pid)}/ns`;
  return { kind: 'path', path: `${path}/net`, ...(isMapped ? { userNamespace: `${path}/user` } : {}) };
}

function shareNetwork(ctx: Context, container: Container, ref: string): Network {
  const other = runningContainer(ctx, ref, 'network');
  container.config = { ...container.config, hostname: other.container.config.hostname, domainname: other.container.config.domainname };
  return {
    namespace: networkNamespaceOf(ctx, ref),
    endpoints: {},
    ports: {},
    hosts: '',
    resolvConf: '',
    files: networkFiles(containerDir(ctx, other.container.id)),
  };
}

type NetworkFile = '/etc/resolv.conf' | '/etc/hostname' | '/etc/hosts';

const networkFiles = (directory: string): ReadonlyMap<NetworkFile, string> =>
  new Map((['resolv.conf', 'hostname', 'hosts'] as const).map(name => [`/etc/${name}`, `${directory}/${name}`]));

interface PreparedRoot {
  readonly path: string;
  readonly user: ResolvedUser;
  readonly sources: ReadonlyMap<string, string>;
}

async function prepareRoot(ctx: Context, container: Container, { pins, defer, gate }: Scope): Promise<PreparedRoot> {
  const { id, config, hostConfig } = container;
  defer('root', () => ctx.snapshots.unmount(id));
  const path = await ctx.snapshots.mount(id, { volatile: hostConfig.autoRemove });
  failpoint('container.start.root');
  const owner = rootOwner(idMapOf(ctx.options, hostConfig));
  // Only once: what becomes of it then is the container's.
  if (!container.hasStarted) ctx.files.putLink(path, mountTable.path, mountTable.target, owner);
  const user = resolveUser(config.user, hostConfig.groupAdd, file => ctx.files.readText(path, file, accountFileBytes));
  if (config.workingDir !== '' && config.workingDir !== '/') {
    // Seen in what the container has changed.
    await gate;
    ctx.files.ensureDirectory(path, config.workingDir, owner);
  }
  if (container.mounts.length === 0) return { path, user, sources: new Map() };
  await gate;
  defer('mounts', () => unmountSources(ctx, container));
  const sources = await mountSources(ctx, container, pins);
  failpoint('container.start.volumes');
  return { path, user, sources };
}

function specOf(
  ctx: Context,
  container: Container,
  userNamespace: UserNamespace | undefined,
  sandbox: Network,
  root: PreparedRoot,
): RuntimeSpec {
  if (usesInit(container, ctx.options) && ctx.options.initPath === undefined) {
    throw failedPrecondition('there is no init program on this machine: install tini, or name one with --init-path');
  }
  const ipc = prepareIpc(ctx, container);
  failpoint('container.start.shared');
  const spec = buildSpec({
    container,
    rootPath: root.path,
    mountSources: root.sources,
    singleFiles: singleFiles(container),
    frozen: frozenMounts(ctx, container, root.sources),
    files: sandbox.files,
    user: root.user,
    linkedEnvironment: linkedEnvironment(ctx, container),
    network: sandbox.namespace,
    userNamespace,
    joined: { ...(ipc.namespace === undefined ? {} : { ipc: ipc.namespace }), ...joinedPid(ctx, container) },
    options: ctx.options,
    host: ctx.host,
    shmPath: ipc.shmPath,
  });
  return applyEdits(spec, requestedEdits(container.hostConfig.deviceRequests, ctx.devices), ctx.host);
}

/** What somebody has mounted read-only on the host stays so. */
function frozenMounts(ctx: Context, { mounts }: Container, sources: ReadonlyMap<string, string>): ReadonlySet<string> {
  const writable = mounts.filter(({ type, readWrite }) => readWrite && (type === 'bind' || type === 'volume'));
  const frozen = writable.filter(({ destination }) => ctx.host.isReadOnly(sources.get(destination) ?? ''));
  return new Set(frozen.map(({ destination }) => destination));
}

function singleFiles({ mounts }: Container): ReadonlySet<string> {
  const binds = mounts.filter(mount => mount.type === 'bind' && !mount.readWrite);
  const files = binds.filter(({ source }) => statSync(source, { throwIfNoEntry: false })?.isDirectory() === false);
  return new Set(files.map(mount => mount.destination));
}

function joinedPid(ctx: Context, { hostConfig: { pidMode } }: Container): { pid?: string } {
  if (!pidMode.startsWith('container:')) return {};
  const { pid } = runningContainer(ctx, pidMode.slice('container:'.length), 'pid');
  return { pid: `/proc/${String(pid)}/ns/pid` };
}

function runningContainer(ctx: Context, ref: string, what: string): { readonly container: Container; readonly pid: number } {
  const { container } = ctx.containers.find(ref);
  if (!isRunning(container.state)) throw conflict(`cannot join ${what} namespace of a non running container: ${container.id}`);
  return { container, pid: container.state.pid };
}
