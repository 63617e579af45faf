import { readFileSync, writeFileSync } from 'node:fs';
import { failedPrecondition, invalidArgument, kindOf, messageOf, notFound } from '#base/errors.ts';
import { expandPorts } from '#core/port-ranges.ts';
import { type Context, containerDir } from './context.ts';
import type { Entry } from './entry.ts';
import type { Container } from './model.ts';
import { defaultNetwork, type LinkedContainers } from './network-request.ts';
import { isRunning } from './state.ts';

/** Links of the default bridge, which resolves no names: the other container gets its names in the hosts file. Elsewhere the resolver knows them. */
const linksOf = ({ hostConfig }: Pick<Container, 'hostConfig'>): readonly (readonly [target: string, alias: string])[] =>
  hostConfig.networkMode !== defaultNetwork
    ? []
    : hostConfig.links.map(link => {
        const [target = '', alias = target] = link.replace(/^\//, '').split(':');
        return [target, alias.slice(alias.lastIndexOf('/') + 1)] as const;
      });

/** Rejects with InvalidArgument when a link leads to no container. */
export function checkLinks(ctx: Context, container: Pick<Container, 'hostConfig'>): void {
  for (const [target] of linksOf(container)) linked(ctx, target);
}

/** What the links lead to now: `names:address` of each, and their ids. Rejects with FailedPrecondition when one does not run. */
export function linkedContainers(ctx: Context, container: Container): LinkedContainers {
  const links = linksOf(container);
  const hosts = links.flatMap(([target, alias]) => {
    const { container: other } = linked(ctx, target);
    if (!isRunning(other.state)) {
      throw failedPrecondition(`Cannot link to a non running container: /${other.name} AS /${container.name}/${alias}`);
    }
    const address = other.endpointStates[defaultNetwork]?.ipAddress ?? '';
    const names = [...new Set([alias, other.config.hostname, other.name])].join(' ');
    return address === '' ? [] : [`${names}:${address}`];
  });
  return { hosts, ids: links.map(([target]) => linked(ctx, target).id) };
}

/** The variables that tell a container what its links lead to: `DB_PORT`, `DB_PORT_5432_TCP_ADDR`, `DB_ENV_USER`, … Links that lead nowhere tell nothing. */
export function linkedEnvironment(ctx: Context, container: Container): string[] {
  return linksOf(container).flatMap(([target, alias]) => {
    const other = find(ctx, target)?.container;
    return other === undefined ? [] : describeLink(`/${container.name}/${alias}`, alias, other);
  });
}

function describeLink(name: string, alias: string, { config, endpointStates, ports }: Container): string[] {
  const prefix = alias.toUpperCase().replaceAll('-', '_');
  const address = endpointStates[defaultNetwork]?.ipAddress ?? '';
  const open = [...new Set(expandPorts([...config.exposedPorts, ...Object.keys(ports)]))].map(parsePort).toSorted(byProtocolAndNumber);
  const [first] = open;
  return [
    ...(first === undefined ? [] : [`${prefix}_PORT=${first.protocol}://${address}:${first.port}`]),
    ...open.flatMap(({ port, protocol }) => {
      const own = `${prefix}_PORT_${port}_${protocol.toUpperCase()}`;
      return [`${own}=${protocol}://${address}:${port}`, `${own}_ADDR=${address}`, `${own}_PORT=${port}`, `${own}_PROTO=${protocol}`];
    }),
    `${prefix}_NAME=${name}`,
    ...config.env.filter(variable => /^(?!HOME=|PATH=)[^=]+=/.test(variable)).map(variable => `${prefix}_ENV_${variable}`),
  ];
}

interface OpenPort {
  readonly port: string;
  readonly protocol: string;
}

function parsePort(text: string): OpenPort {
  const [port = '', protocol = 'tcp'] = text.split('/');
  return { port, protocol };
}

/** TCP comes first: the first port is the one that the other container is known by. */
const byProtocolAndNumber = (a: OpenPort, b: OpenPort): number =>
  Number(b.protocol === 'tcp') - Number(a.protocol === 'tcp') || Number(a.port) - Number(b.port);

/** As inspect shows them: `/db:/web/alias`. */
export const shownLinks = (container: Container): readonly string[] =>
  container.hostConfig.networkMode === defaultNetwork
    ? linksOf(container).map(([target, alias]) => `/${target}:/${container.name}/${alias}`)
    : container.hostConfig.links;

/** Takes the link `parent/alias` away, from the parent's hosts file too when it runs. Rejects with InvalidArgument, NotFound. */
export function removeLink(ctx: Context, ref: string): void {
  const [parentName = '', alias = ''] = ref.replace(/^\//, '').split('/', 2);
  if (alias === '') throw invalidArgument('Conflict, cannot remove the default link name of the container');
  const parent = find(ctx, parentName);
  if (parent === undefined) throw notFound(`Cannot get parent /${parentName} for link name /${parentName}/${alias}`);
  const { container } = parent;
  const at = linksOf(container).findIndex(([, own]) => own === alias);
  if (at < 0) throw notFound(`No such container: ${ref}`);
  container.hostConfig = { ...container.hostConfig, links: container.hostConfig.links.toSpliced(at, 1) };
  ctx.containers.save(parent);
  if (!isRunning(container.state)) return;
  rewriteHosts(ctx, parent.id, alias, () => []);
  ctx.networks.relink(
    parent.id,
    linksOf(container).flatMap(([target]) => find(ctx, target)?.id ?? []),
  );
}

/** Tells running containers that are linked to this one, which has just started, where it is now. */
export function refreshLinksTo(ctx: Context, { id, endpointStates }: Container): void {
  const address = endpointStates[defaultNetwork]?.ipAddress;
  if (address === undefined || address === '') return;
  for (const { container } of ctx.containers.all()) {
    if (container.hostConfig.links.length === 0 || !isRunning(container.state)) continue;
    for (const [target, alias] of linksOf(container)) {
      if (find(ctx, target)?.id === id) rewriteHosts(ctx, container.id, alias, line => [line.replace(/^\S+/, address)]);
    }
  }
}

/** In place: inside the container it is a mount of this very file. */
function rewriteHosts(ctx: Context, id: string, alias: string, replace: (line: string) => string[]): void {
  const file = `${containerDir(ctx, id)}/hosts`;
  const lines = readFileSync(file, 'utf8').split('\n');
  writeFileSync(file, lines.flatMap(line => (line.split(/\s+/)[1] === alias ? replace(line) : [line])).join('\n'));
}

function find(ctx: Context, target: string): Entry | undefined {
  try {
    return ctx.containers.find(target);
  } catch (err) {
    if (kindOf(err) === 'NotFound') return undefined;
    throw err;
  }
}

function linked(ctx: Context, target: string): Entry {
  if (target === '') throw invalidArgument('could not get container for : invalid name or ID supplied: ""');
  try {
    return ctx.containers.find(target);
  } catch (err) {
    if (kindOf(err) !== 'NotFound') throw err;
    throw invalidArgument(`could not get container for ${target}: ${messageOf(err)}`, { cause: err });
  }
}
