import { invalidArgument } from '#base/errors.ts';
import type { Context } from './context.ts';
import type { Container } from './model.ts';
import type { Filters } from './service.ts';
import { exitCodeOf, isActive, statusOf } from './state.ts';

export interface ListFilter {
  /** Whether a filter asks for containers that do not run. */
  readonly impliesAll: boolean;
  matches(container: Container): boolean;
}

type Test = (container: Container) => boolean;

const statuses = ['created', 'restarting', 'running', 'removing', 'paused', 'exited', 'dead'];
const healths = ['none', 'starting', 'healthy', 'unhealthy'];

/** Reads the filters once. Different keys must all hold; of several values of one key one must, but for labels all. Rejects with InvalidArgument. */
export function compileFilters(ctx: Context, filters: Filters): ListFilter {
  const tests: Test[] = [];
  for (const [key, values] of filters) {
    const compile = compilers[key];
    if (compile === undefined) throw invalidArgument(`invalid filter '${key}'`);
    const each = values.map(value => compile(value, ctx));
    tests.push(allOf.has(key) ? container => each.every(test => test(container)) : container => each.some(test => test(container)));
  }
  return {
    impliesAll: ['status', 'exited', 'before', 'since'].some(key => (filters.get(key)?.length ?? 0) > 0),
    matches: container => tests.every(test => test(container)),
  };
}

const allOf = new Set(['label', 'before', 'since']);

const compilers: Readonly<Record<string, (value: string, ctx: Context) => Test>> = {
  ancestor: (value, ctx) => {
    const id = ctx.images.idOf(value);
    return container => (id !== undefined && container.imageId === id) || container.config.image === value;
  },
  before: (value, ctx) => createdOn(ctx, value, (own, other) => own < other),
  since: (value, ctx) => createdOn(ctx, value, (own, other) => own > other),
  exited: value => {
    if (!/^-?\d+$/.test(value)) throw invalidArgument(`invalid filter 'exited=${value}': it must be an exit code`);
    return ({ state }) => state.status === 'exited' && exitCodeOf(state) === Number(value);
  },
  expose: value => portTest(value, container => container.config.exposedPorts.map(withProtocol)),
  publish: value =>
    portTest(value, container =>
      Object.entries(container.ports)
        .filter(([, bindings]) => bindings.length > 0)
        .map(([port]) => port),
    ),
  health: value => {
    if (!healths.includes(value)) throw invalidArgument(`invalid value for health (${value}): must be one of ${healths.join(', ')}`);
    return container => (container.health?.status ?? 'none') === value;
  },
  id: value => container => container.id.startsWith(value) || matchesText(container.id, value),
  'is-task': value => {
    if (!/^(true|false|1|0)$/i.test(value)) throw invalidArgument(`invalid filter 'is-task=${value}'`);
    return () => /^(false|0)$/i.test(value);
  },
  isolation: value => container => value === (container.hostConfig.isolation === '' ? 'default' : container.hostConfig.isolation),
  label: value => {
    const at = value.indexOf('=');
    const key = at < 0 ? value : value.slice(0, at);
    return ({ config }) => key in config.labels && (at < 0 || config.labels[key] === value.slice(at + 1));
  },
  name: value => {
    const wanted = value.replace(/^\//, '');
    return container => matchesText(`/${container.name}`, value) || matchesText(container.name, wanted);
  },
  network: value => container =>
    Object.keys(container.endpoints).includes(value) ||
    container.hostConfig.networkMode === value ||
    Object.entries(container.endpointStates).some(([name, state]) => name === value || state.networkId.startsWith(value)) ||
    (!isActive(container.state) && Object.values(container.lastNetworkIds ?? {}).some(id => id.startsWith(value))),
  status: value => {
    if (!statuses.includes(value)) throw invalidArgument(`invalid filter 'status=${value}'`);
    return container => statusOf(container.state) === value;
  },
  volume: value => container =>
    container.mounts.some(mount => [mount.name, mount.source, mount.destination].includes(value) && value !== ''),
};

/** A value is a regular expression; one that is not counts as plain text. */
function matchesText(text: string, value: string): boolean {
  if (text === value) return true;
  try {
    return new RegExp(value).test(text);
  } catch {
    return text.includes(value);
  }
}

function createdOn(ctx: Context, ref: string, compare: (own: string, other: string) => boolean): Test {
  const other = ctx.containers.find(ref).container;
  return container => container.id !== other.id && compare(container.created, other.created);
}

const withProtocol = (port: string): string => (port.includes('/') ? port : `${port}/tcp`);

/** `80`, `80/udp`, `8000-8010/tcp`. */
function portTest(value: string, ports: (container: Container) => readonly string[]): Test {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(value);
  if (match?.[1] === undefined) throw invalidArgument(`invalid filter port '${value}': it must look like 80, 80/udp or 8000-8010/tcp`);
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  const protocol = match[3] ?? 'tcp';
  return container =>
    ports(container).some(port => {
      const [range = '', portProtocol] = port.split('/');
      const [low = '', high = low] = range.split('-');
      return portProtocol === protocol && Number(low) <= last && Number(high) >= first;
    });
}
