import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { cleanUp } from '#base/dispose.ts';
import { failedPrecondition } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { Logger } from '#base/log.ts';
import type { BuildStep, BuildStepMount, BuildStepRunner, OnStepOutput } from '#core/build-steps.ts';
import { rootOwner, type UserNamespace } from '#core/id-map.ts';
import type { Sandbox, SandboxNamespace } from '#core/network.ts';
import type { ContainerRuntime, ExitStatus } from '#core/runtime.ts';
import type { RuntimeSpec } from '#oci/runtime-spec.ts';
import type { Container, ContainerConfig, HostConfig, MountPoint } from './model.ts';
import { noLinks, normalizeNetworkMode, parseNetworkMode, sandboxRequest } from './network-request.ts';
import type { ContainerOptions } from './options.ts';
import type { ContainerNetworks, HostFacts, RootFiles } from './ports.ts';
import { buildSpec, systemPaths } from './spec.ts';
import { toStartFailure } from './start-failure.ts';
import { resolveUser } from './user.ts';
import { checkUserNamespace, giveToRoot, letPass } from './user-namespace.ts';

export interface BuildStepDependencies {
  readonly runtime: ContainerRuntime;
  readonly networks: Pick<ContainerNetworks, 'setup' | 'teardown'>;
  /** The network namespace of a running container. Rejects with NotFound, Conflict. */
  namespaceOf(container: string): SandboxNamespace;
  readonly files: RootFiles & {
    /** Disposing removes the mount points that were made in a root since. */
    rememberMountPoints(root: string, destinations: readonly string[]): Disposable;
  };
  readonly host: HostFacts;
  readonly options: ContainerOptions;
  /** One directory per step below it, while it runs. */
  readonly workDir: string;
  readonly log: Logger;
}

const accountFileBytes = 4 * 1024 * 1024;

export function createBuildStepRunner(dependencies: BuildStepDependencies): BuildStepRunner {
  return {
    idMap: dependencies.options.idMap,
    run: (step, onOutput, signal) => runStep(dependencies, step, onOutput, signal),
    owner(rootPath, text) {
      const { uid, gid } = resolveUser(text, [], file => dependencies.files.readText(rootPath, file, accountFileBytes));
      // A number that no account has stands for the group too.
      return { uid, gid: !text.includes(':') && /^\d+$/.test(text) && gid === 0 ? uid : gid };
    },
  };
}

async function runStep(deps: BuildStepDependencies, step: BuildStep, onOutput: OnStepOutput, signal: AbortSignal): Promise<ExitStatus> {
  const { runtime, log } = deps;
  const { id } = step;
  const defer = (what: string, undo: () => unknown): void => made.defer(() => cleanUp(`${what} of build step ${id}`, log, undo));
  await using made = new AsyncDisposableStack();
  signal.throwIfAborted();
  runtime.expectStart(50);
  const container = containerOf(step, deps);
  const { idMap } = deps.options;
  checkUserNamespace(container.hostConfig, deps.options);
  const directory = `${deps.workDir}/${id}`;
  defer('directory', () => rmSync(directory, { recursive: true, force: true }));
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  letPass(idMap, directory);
  const specMade = prepareSpec(deps, step, container, { directory, defer }, signal);
  try {
    // The monitor gets ready while the network is made.
    const created = runtime.create(
      {
        id,
        spec: specMade,
        runtime: runtimeOf(deps),
        io: processIo,
        logPath: undefined,
        endsWithDaemon: true,
        hasUserNamespace: idMap !== undefined,
      },
      signal,
    );
    const [spec, process] = await Promise.allSettled([specMade, created]);
    if (process.status === 'fulfilled') defer('process', () => runtime.remove(id));
    if (spec.status === 'rejected') throw spec.reason;
    if (process.status === 'rejected') throw process.reason;
    failpoint('build.step.created');
    using streams = await runtime.attach({ containerId: id });
    streams.onOutput(onOutput);
    await runtime.start(id, signal);
    failpoint('build.step.started');
    const exit = await endOf(runtime, id, signal);
    await streams.closed;
    failpoint('build.step.ended');
    return exit;
  } catch (err) {
    signal.throwIfAborted();
    throw toStartFailure(err).error;
  }
}

async function prepareSpec(
  deps: BuildStepDependencies,
  step: BuildStep,
  container: Container,
  { directory, defer }: { readonly directory: string; readonly defer: (what: string, undo: () => unknown) => void },
  signal: AbortSignal,
): Promise<RuntimeSpec> {
  const { networks, files, host } = deps;
  const { id, rootPath } = step;
  const { idMap } = deps.options;
  const userNamespace = idMap === undefined ? undefined : { idMap };
  defer('network', () => networks.teardown(id));
  const { namespace, files: networkFiles } = await joinNetwork(deps, container, userNamespace, directory, signal);
  failpoint('build.step.network');
  const user = resolveUser(step.user, [], file => files.readText(rootPath, file, accountFileBytes));
  if (step.cwd !== '' && step.cwd !== '/') files.ensureDirectory(rootPath, step.cwd, rootOwner(idMap));
  const spec = buildSpec({
    container,
    userNamespace,
    rootPath,
    mountSources: new Map(),
    singleFiles: new Set(),
    frozen: new Set(),
    files: networkFiles,
    user,
    linkedEnvironment: [],
    network: namespace,
    joined: {},
    shmPath: undefined,
    options: deps.options,
    host,
  });
  const mountPoints = files.rememberMountPoints(
    rootPath,
    spec.mounts.map(mount => mount.destination),
  );
  defer('mount points', () => mountPoints[Symbol.dispose]());
  return spec;
}

const processIo = { tty: false, stdin: false, keepStdinOpen: false };

/** Waits for the end; ends the process when the signal aborts. */
async function endOf(runtime: ContainerRuntime, id: string, signal: AbortSignal): Promise<ExitStatus> {
  const onAbort = (): void => void runtime.kill(id, 9).catch(() => undefined);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    const exit = await runtime.wait({ containerId: id });
    signal.throwIfAborted();
    return exit;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function runtimeOf({ options }: BuildStepDependencies) {
  const runtime = options.runtimes.get(options.defaultRuntime);
  if (runtime === undefined) throw failedPrecondition(`unknown or invalid runtime name: ${options.defaultRuntime}`);
  return runtime;
}

async function joinNetwork(
  { networks, namespaceOf }: BuildStepDependencies,
  container: Container,
  userNamespace: UserNamespace | undefined,
  directory: string,
  signal: AbortSignal,
): Promise<{ readonly namespace: SandboxNamespace; readonly files: ReadonlyMap<string, string> }> {
  const mode = parseNetworkMode(container.hostConfig.networkMode);
  if (mode.mode === 'container') return { namespace: namespaceOf(mode.container), files: new Map() };
  const sandbox = await networks.setup(sandboxRequest(container, noLinks, userNamespace), signal);
  const files = writeNetworkFiles(directory, sandbox, container.config.hostname);
  for (const file of files.values()) giveToRoot(userNamespace?.idMap, file);
  return { namespace: sandbox.namespace, files };
}

function writeNetworkFiles(directory: string, { hosts, resolvConf }: Sandbox, hostname: string): ReadonlyMap<string, string> {
  const texts = { hosts, 'resolv.conf': resolvConf, hostname: `${hostname}\n` };
  for (const [name, text] of Object.entries(texts)) writeFileSync(`${directory}/${name}`, text);
  return new Map(Object.keys(texts).map(name => [`/etc/${name}`, `${directory}/${name}`]));
}

/** The step as the container whose spec it gets; nothing is recorded of it. */
function containerOf(step: BuildStep, { options, host }: BuildStepDependencies): Container {
  const hostConfig = hostConfigOf(step, options, host);
  const [path = '', ...args] = step.args;
  const mode = parseNetworkMode(hostConfig.networkMode);
  return {
    id: step.id,
    name: step.id.slice(0, 12),
    created: new Date().toISOString(),
    imageId: '',
    platform: 'linux',
    config: configOf(step),
    hostConfig,
    mounts: step.mounts.flatMap(mount => (mount.type === 'bind' ? [mountPointOf(mount)] : [])),
    path,
    args,
    state: { status: 'created' },
    restartCount: 0,
    manuallyStopped: false,
    hasStarted: false,
    endpoints: mode.mode === 'container' ? {} : { [mode.mode === 'networks' ? hostConfig.networkMode : mode.mode]: {} },
    endpointStates: {},
    ports: {},
    sandboxKey: '',
  };
}

const configOf = (step: BuildStep): ContainerConfig => ({
  hostname: step.hostname,
  domainname: '',
  user: step.user,
  attachStdin: false,
  attachStdout: true,
  attachStderr: true,
  exposedPorts: [],
  tty: false,
  openStdin: false,
  stdinOnce: false,
  env: step.env,
  cmd: step.args,
  entrypoint: undefined,
  image: '',
  volumes: [],
  workingDir: step.cwd,
  networkDisabled: false,
  macAddress: '',
  onBuild: undefined,
  labels: {},
  stopSignal: undefined,
  stopTimeoutSeconds: undefined,
  shell: undefined,
  healthcheck: undefined,
});

function hostConfigOf(
  { limits, mounts, network, insecure, isRootReadOnly = false }: BuildStep,
  options: ContainerOptions,
  host: HostFacts,
): HostConfig {
  const { maskedPaths, readonlyPaths } = systemPaths(insecure, [], host);
  const tmpfs = mounts.flatMap(mount =>
    mount.type === 'tmpfs' ? [[mount.target, mount.sizeBytes > 0 ? `exec,size=${String(mount.sizeBytes)}` : 'exec']] : [],
  );
  return {
    cpuShares: limits.cpuShares,
    memoryBytes: limits.memoryBytes,
    nanoCpus: 0,
    cgroupParent: limits.cgroupParent,
    blkioWeight: 0,
    blkioWeightDevice: [],
    blkioDeviceReadBps: [],
    blkioDeviceWriteBps: [],
    blkioDeviceReadIops: [],
    blkioDeviceWriteIops: [],
    cpuPeriod: limits.cpuPeriod,
    cpuQuota: limits.cpuQuota,
    cpuRealtimePeriod: 0,
    cpuRealtimeRuntime: 0,
    cpusetCpus: limits.cpusetCpus,
    cpusetMems: limits.cpusetMems,
    devices: [],
    deviceCgroupRules: [],
    deviceRequests: [],
    memoryReservationBytes: 0,
    memorySwapBytes: limits.memoryBytes > 0 && limits.memorySwapBytes === 0 ? limits.memoryBytes * 2 : limits.memorySwapBytes,
    memorySwappiness: undefined,
    oomKillDisable: undefined,
    init: false,
    pidsLimit: undefined,
    ulimits: limits.ulimits,
    binds: [],
    containerIdFile: '',
    logConfig: { type: 'none', config: {} },
    networkMode: normalizeNetworkMode(network),
    portBindings: {},
    restartPolicy: { name: 'no', maximumRetryCount: 0 },
    autoRemove: true,
    volumeDriver: '',
    volumesFrom: [],
    mounts: [],
    consoleSize: [0, 0],
    annotations: {},
    capAdd: [],
    capDrop: [],
    cgroupnsMode: options.defaultCgroupnsMode,
    dns: [],
    dnsOptions: [],
    dnsSearch: [],
    extraHosts: limits.extraHosts,
    groupAdd: [],
    ipcMode: 'private',
    cgroup: '',
    links: [],
    oomScoreAdj: 0,
    pidMode: '',
    privileged: insecure,
    publishAllPorts: false,
    readonlyRootfs: isRootReadOnly,
    securityOpt: [],
    storageOpt: {},
    tmpfs: Object.fromEntries(tmpfs) as Record<string, string>,
    utsMode: '',
    usernsMode: '',
    shmSizeBytes: limits.shmSizeBytes === 0 ? options.defaultShmSizeBytes : limits.shmSizeBytes,
    sysctls: {},
    runtime: options.defaultRuntime,
    isolation: '',
    maskedPaths,
    readonlyPaths,
  };
}

const mountPointOf = (mount: Extract<BuildStepMount, { type: 'bind' }>): MountPoint => ({
  type: 'bind',
  name: '',
  source: mount.source,
  destination: mount.target,
  driver: '',
  mode: '',
  readWrite: !mount.readOnly,
  propagation: '',
  anonymous: false,
  recursiveReadOnly: false,
  nonRecursive: true,
  subpath: '',
});
