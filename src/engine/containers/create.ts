import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname as hostName } from 'node:os';
import { cleanUp } from '#base/dispose.ts';
import { invalidArgument, kindOf, messageOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { newId, shortId } from '#base/id.ts';
import type { IdMap } from '#core/id-map.ts';
import type { EndpointConfig } from '#core/network.ts';
import { checkRequest } from './check-config.ts';
import { mergeLogConfig } from './log-config.ts';
import { commandLine, mergeConfig } from './config-merge.ts';
import { type Context, containerDir, publish } from './context.ts';
import { resolveDevices } from './devices.ts';
import { checkLinks } from './links.ts';
import type { Container, ContainerConfig, HostConfig, MountPoint } from './model.ts';
import { acquireMount, checkSources, fillVolumes, releaseVolumes } from './mounts.ts';
import { parseName, randomName } from './names.ts';
import { discardedPorts, normalizeNetworkMode, parseNetworkMode, requestedEndpoints } from './network-request.ts';
import { type PlannedMount, parseVolumesFrom, planMounts } from './plan-mounts.ts';
import type { ResolvedImage } from './ports.ts';
import type { CreateRequest, CreateResult } from './service.ts';
import { systemPaths } from './spec.ts';
import { explainSize, storageSize } from './storage-size.ts';
import { giveToRoot, idMapOf, letPass } from './user-namespace.ts';

/** Programs look for it to tell whether they run in a container. */
const containerMark = '/.dockerenv';

/** Everything is checked before anything is made; what is made is unmade when a later step fails. The record comes last: it makes the rest real. */
export async function createContainer(ctx: Context, request: CreateRequest, signal: AbortSignal): Promise<CreateResult> {
  const normalized = { ...request.hostConfig, networkMode: normalizeNetworkMode(request.hostConfig.networkMode) };
  const { limits: asked, warnings: ofLimits } = checkRequest(request.config, normalized, ctx);
  const warnings = [...ofLimits, ...discardedPorts(asked)];
  const wantedName = request.name === undefined || request.name === '' ? undefined : parseName(request.name);
  if (request.config.image === '') throw invalidArgument('no image specified: name the image to make the container from');
  ctx.runtime.expectStart(20);
  const image = await ctx.images.resolve(request.config.image, request.platform);
  const id = newId();
  const merged = mergeConfig(request.config, image.config);
  const [path, ...args] = commandLine(merged);
  const hostConfig = withJoinedIds(ctx, withDefaults(asked, ctx));
  const config = { ...merged, hostname: defaultHostname(merged, hostConfig, id) };
  resolveDevices(hostConfig, ctx.host);
  checkLinks(ctx, { hostConfig });
  const endpoints = checkedEndpoints(ctx, hostConfig, request.endpoints);
  const plan = planMounts(config, hostConfig, inheritedMounts(ctx, hostConfig));
  checkSources(plan);
  signal.throwIfAborted();

  const name = wantedName ?? randomName(taken => ctx.containers.isNameTaken(taken), shortId(id));
  using _name = ctx.containers.reserveName(name, id);
  await using undo = new AsyncDisposableStack();
  const defer = (what: string, step: () => unknown): void => undo.defer(() => cleanUp(`${what} of container ${id}`, ctx.log, step));
  defer('writable layer', async () => {
    await ctx.snapshots.remove(id);
    await ctx.images.released(image.id);
  });
  const idMap = idMapOf(ctx.options, hostConfig);
  const limits = { mapped: idMap !== undefined, sizeBytes: storageSize(hostConfig.storageOpt) ?? ctx.options.defaultStorageSizeBytes };
  const { isFramed } = await ctx.snapshots.prepare(id, image.chainId, { ...limits, framed: true }).catch((err: unknown) => {
    throw explainSize(err, hostConfig.storageOpt);
  });
  if (!isFramed) writeMark(ctx, id, idMap);
  failpoint('container.create.layer');
  const directory = containerDir(ctx, id);
  defer('directory', () => rmSync(directory, { recursive: true, force: true }));
  mkdirSync(directory, { recursive: true, mode: 0o710 });
  letPass(idMap, directory);
  writeFileSync(`${directory}/hostname`, `${config.hostname}\n`);
  failpoint('container.create.directory');
  const mounts = await makeMounts(ctx, { id, hostConfig }, plan, defer, signal);
  failpoint('container.create.mounts');
  signal.throwIfAborted();

  const container = newContainer({ id, name, image, path, args, config, hostConfig, mounts, endpoints, platform: image.os });
  ctx.containers.add(container);
  undo.move();
  failpoint('container.create.recorded');
  publish(ctx, container, 'create');
  return { id, warnings };
}

function writeMark(ctx: Context, id: string, idMap: IdMap | undefined): void {
  const mark = `${ctx.snapshots.paths(id).upperDir}${containerMark}`;
  writeFileSync(mark, '', { mode: 0o755 });
  giveToRoot(idMap, mark);
}

type NewContainer = Pick<Container, 'id' | 'name' | 'path' | 'args' | 'config' | 'hostConfig' | 'mounts' | 'endpoints' | 'platform'> & {
  readonly image: ResolvedImage;
};

function newContainer({ image, ...made }: NewContainer): Container {
  return {
    ...made,
    created: new Date().toISOString(),
    imageId: image.id,
    state: { status: 'created' },
    restartCount: 0,
    manuallyStopped: false,
    hasStarted: false,
    endpointStates: {},
    ports: {},
    sandboxKey: '',
  };
}

async function makeMounts(
  ctx: Context,
  { id, hostConfig }: Pick<Container, 'id' | 'hostConfig'>,
  plan: readonly PlannedMount[],
  defer: (what: string, step: () => unknown) => void,
  signal: AbortSignal,
): Promise<MountPoint[]> {
  const made: [PlannedMount, MountPoint][] = [];
  if (plan.length === 0) return [];
  defer('volumes', () => releaseVolumes(ctx, { id, mounts: made.map(([, mount]) => mount) }, { removeAnonymous: true }));
  for (const mount of plan) made.push([mount, await acquireMount(ctx, { id, hostConfig }, mount).catch(asInvalid)]);
  failpoint('container.create.volumes');
  await fillVolumes(ctx, id, made, signal);
  return made.map(([, mount]) => mount);
}

function withDefaults(asked: HostConfig, { options, host }: Context): HostConfig {
  const paths = systemPaths(asked.privileged, asked.securityOpt, host);
  const unlimitedSwap = asked.memoryBytes > 0 && asked.memorySwapBytes === 0;
  return {
    ...asked,
    memorySwapBytes: unlimitedSwap ? asked.memoryBytes * 2 : asked.memorySwapBytes,
    shmSizeBytes: asked.shmSizeBytes === 0 ? options.defaultShmSizeBytes : asked.shmSizeBytes,
    ipcMode: asked.ipcMode === '' ? options.defaultIpcMode : asked.ipcMode,
    cgroupnsMode: asked.cgroupnsMode === '' ? options.defaultCgroupnsMode : asked.cgroupnsMode,
    runtime: asked.runtime === '' ? options.defaultRuntime : asked.runtime,
    logConfig: mergeLogConfig(asked.logConfig, options.defaultLog),
    maskedPaths: asked.privileged ? [] : (asked.maskedPaths ?? paths.maskedPaths),
    readonlyPaths: asked.privileged ? [] : (asked.readonlyPaths ?? paths.readonlyPaths),
  };
}

function defaultHostname(config: ContainerConfig, hostConfig: HostConfig, id: string): string {
  if (config.hostname !== '') return config.hostname;
  return hostConfig.networkMode === 'host' || hostConfig.utsMode === 'host' ? hostName() : shortId(id);
}

/**
 * A container that another is to share something with must exist; a client must not take its absence for that of the image. It may get another
 * name later, so its id is kept.
 */
function withJoinedIds(ctx: Context, config: HostConfig): HostConfig {
  const withId = (mode: string): string =>
    mode.startsWith('container:') ? `container:${findOther(ctx, mode.slice('container:'.length)).id}` : mode;
  return { ...config, networkMode: withId(config.networkMode), ipcMode: withId(config.ipcMode), pidMode: withId(config.pidMode) };
}

/** The endpoints by the names of their networks. A network may still be made until the start, which says so when it was not. */
function checkedEndpoints(ctx: Context, hostConfig: HostConfig, asked: CreateRequest['endpoints']): Container['endpoints'] {
  const mode = parseNetworkMode(hostConfig.networkMode);
  const endpoints = requestedEndpoints(hostConfig, asked);
  if (mode.mode !== 'networks') {
    ctx.networks.check(mode, endpoints);
    return endpoints;
  }
  const named = Object.entries(endpoints).map(([ref, endpoint]) => ({ ref, endpoint, name: networkName(ctx, ref, endpoint) }));
  ctx.networks.check(mode, Object.fromEntries(named.flatMap(({ ref, endpoint, name }) => (name === undefined ? [] : [[ref, endpoint]]))));
  return Object.fromEntries(named.map(({ ref, endpoint, name }) => [name ?? ref, endpoint]));
}

/** Undefined when there is no such network. */
function networkName(ctx: Context, ref: string, endpoint: EndpointConfig): string | undefined {
  try {
    return ctx.networks.check({ mode: 'networks' }, { [ref]: endpoint })[0]?.name;
  } catch (err) {
    if (kindOf(err) === 'NotFound') return undefined;
    throw err;
  }
}

function inheritedMounts(ctx: Context, hostConfig: HostConfig): MountPoint[] {
  return hostConfig.volumesFrom.flatMap(text => {
    const { container, mode } = parseVolumesFrom(text);
    const words = mode.split(',');
    return findOther(ctx, container).mounts.map(mount => ({ ...mount, readWrite: mount.readWrite && !words.includes('ro') }));
  });
}

const findOther = (ctx: Context, ref: string): Container => orInvalid(() => ctx.containers.find(ref).container);

/** Only a missing image may be NotFound at create: it makes clients pull. Everything else that is not there is a bad request. */
function orInvalid<T>(look: () => T): T {
  try {
    return look();
  } catch (err) {
    return asInvalid(err);
  }
}

function asInvalid(err: unknown): never {
  throw kindOf(err) === 'NotFound' ? invalidArgument(messageOf(err), { cause: err }) : err;
}
