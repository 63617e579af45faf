import { kindOf } from '#base/errors.ts';
import { type Context, containerDir } from './context.ts';
import type { Entry } from './entry.ts';
import { shownLinks } from './links.ts';
import { compileFilters } from './list-filters.ts';
import type { Container } from './model.ts';
import type { ContainerDetails, ContainerSummary, ListOptions } from './service.ts';
import { isActive, isRunning } from './state.ts';
import { statusText } from './status-text.ts';

/** Newest first. Without `all`, a limit or a filter that asks for others, only those that run. */
export async function listContainers(ctx: Context, options: ListOptions): Promise<ContainerSummary[]> {
  const filter = compileFilters(ctx, options.filters);
  const showsAll = options.all || options.limit > 0 || filter.impliesAll;
  const newestFirst = ctx.containers
    .all()
    .toReversed()
    .toSorted((a, b) => compareText(b.container.created, a.container.created));
  const matching: Container[] = [];
  const now = Date.now();
  for (const entry of newestFirst) {
    if (!showsAll && !isActive(entry.container.state)) continue;
    if (!filter.matches(entry.container)) continue;
    matching.push(entry.container);
    if (options.limit > 0 && matching.length >= options.limit) break;
  }
  return await Promise.all(matching.map(container => summarize(ctx, container, now, options.size)));
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

async function summarize(ctx: Context, container: Container, now: number, withSize: boolean | 'on-disk'): Promise<ContainerSummary> {
  const { config, imageId } = container;
  return {
    container,
    image: ctx.images.idOf(config.image) === imageId ? config.image : imageId,
    command: commandText(container),
    statusText: statusText(container, now),
    ...(withSize === false ? {} : await sizes(ctx, container, withSize === 'on-disk')),
  };
}

/** Arguments with spaces are quoted, so that their ends can be seen. */
function commandText({ path, args }: Container): string {
  return [path, ...args.map(arg => (arg.includes(' ') ? `'${arg}'` : arg))].join(' ');
}

/** Undefined parts for a container whose layer is being removed. */
async function sizes(ctx: Context, container: Container, onDisk = false): Promise<{ sizeRwBytes?: number; sizeRootFsBytes?: number }> {
  try {
    const own = await ctx.snapshots.usage(container.id, { onDisk });
    return { sizeRwBytes: own, sizeRootFsBytes: own + (ctx.images.sizeOf(container.imageId) ?? 0) };
  } catch (err) {
    if (kindOf(err) === 'NotFound') return {};
    throw err;
  }
}

export async function inspectContainer(ctx: Context, entry: Entry, withSize: boolean): Promise<ContainerDetails> {
  const { container } = entry;
  const directory = containerDir(ctx, container.id);
  const mode = container.hostConfig.networkMode;
  const shared = mode.startsWith('container:') ? sharedDirectory(ctx, mode.slice('container:'.length)) : directory;
  const file = (name: string): string => (container.hasStarted && shared !== undefined ? `${shared}/${name}` : '');
  return {
    container:
      container.hostConfig.links.length === 0
        ? container
        : { ...container, hostConfig: { ...container.hostConfig, links: shownLinks(container) } },
    resolvConfPath: file('resolv.conf'),
    hostnamePath: file('hostname'),
    hostsPath: file('hosts'),
    logPath: ctx.logs.path(container.id, container.hostConfig.logConfig.type) ?? '',
    sandboxKey: container.sandboxKey,
    appArmorProfile: '',
    driver: ctx.snapshots.name,
    snapshot: ctx.snapshots.paths(container.id),
    execIds: isRunning(container.state)
      ? [...(entry.execs?.values() ?? [])].filter(exec => exec.state.status === 'running').map(exec => exec.id)
      : [],
    ...(withSize ? await sizes(ctx, container) : {}),
  };
}

function sharedDirectory(ctx: Context, ref: string): string | undefined {
  try {
    return containerDir(ctx, ctx.containers.find(ref).id);
  } catch (err) {
    if (['NotFound', 'InvalidArgument'].includes(kindOf(err))) return undefined;
    throw err;
  }
}
