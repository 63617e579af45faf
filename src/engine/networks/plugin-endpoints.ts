import { messageOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { parseCidr } from '#base/ip.ts';
import type { Protocol, SandboxRequest } from '#core/network.ts';
import { expandPortMap, expandPorts, parseNumbers, parsePortRange } from '#core/port-ranges.ts';
import type { EndpointAddresses, RemoteEndpoint, RemoteUndo, WantedPorts } from '#core/network-plugins.ts';
import { byPriority, insideName, remotePublishing } from './attachments.ts';
import type { Context } from './context.ts';
import { endpointSettings } from './endpoint-settings.ts';
import type { AttachedAddress, AttachedLink, Attachment, Network, SandboxRecord } from './model.ts';
import { bindingsOf } from './publish-ports.ts';

export const isOfPlugin = (ctx: Context, { networkId }: Attachment): boolean => ctx.networks.byId(networkId)?.plugin !== undefined;

/**
 * Lets plugins make the endpoints of a container that has a namespace, and takes their interfaces in. The record follows each step, so that a kill leaves
 * nothing that the next daemon does not know of. Returns the record as it has become.
 */
export async function joinPlugins(ctx: Context, undo: AsyncDisposableStack, before: SandboxRecord): Promise<SandboxRecord> {
  let record = before;
  for (const { endpointId } of before.attachments) {
    const attachment = record.attachments.find(one => one.endpointId === endpointId);
    const network = attachment && ctx.networks.byId(attachment.networkId);
    if (network?.plugin === undefined || attachment?.link === undefined || attachment.joined !== undefined) continue;
    record = await join(ctx, undo, record, network, attachment, attachment.link);
  }
  return record;
}

async function join(
  ctx: Context,
  undo: AsyncDisposableStack,
  before: SandboxRecord,
  network: Network,
  attachment: Attachment,
  link: AttachedLink,
): Promise<SandboxRecord> {
  const { request } = before;
  const driver = await ctx.plugins.network(network.driver);
  await ctx.owed.settle(network.driver);
  const endpoint = { networkId: network.id, endpointId: attachment.endpointId };
  const ports = wantedPorts(request);
  // Whether a plugin that failed has made half of it is not known: it is told in any case.
  undo.defer(() => takeBack(ctx, network, endpoint, 'DeleteEndpoint'));
  const chosen = await driver.createEndpoint(endpoint, givenAddresses(link), {
    ports: network.internal ? undefined : ports,
    driverOpts: attachment.config.driverOpts ?? {},
  });
  let record = withAttachment(ctx, before, { ...attachment, link: withChosen(link, chosen) });
  failpoint('network.plugin.endpoint');

  undo.defer(() => takeBack(ctx, network, endpoint, 'Leave'));
  const joined = await driver.join(endpoint, ctx.driver.sandboxPath(request.containerId), ports);
  const others = record.attachments.filter(one => one.endpointId !== attachment.endpointId);
  const name = joined.sourceName === '' ? '' : insideName(joined.prefix, attachment.config, others);
  const made: AttachedLink = { ...withChosen(link, chosen), name };
  record = withAttachment(ctx, record, { ...attachment, link: made, joined: { ...joined, ports: {} } });
  failpoint('network.plugin.joined');

  if (name !== '') {
    const addresses = [made.ipv4, made.ipv6].flatMap(one => (one === undefined ? [] : [`${one.address}/${String(one.prefixLength)}`]));
    undo.defer(() => ctx.driver.giveBack(request.containerId, { name, hostName: joined.sourceName }));
    const { mac } = ctx.driver.takeIn(request.containerId, {
      hostName: joined.sourceName,
      name,
      mac: made.mac,
      addresses,
      settings: endpointSettings(attachment.config, name),
      routes: joined.routes,
    });
    record = withAttachment(ctx, record, { ...attachment, link: { ...made, mac }, joined: { ...joined, ports: {} } });
  }
  return record;
}

/** Replaces an attachment in the record. */
function withAttachment(ctx: Context, record: SandboxRecord, changed: Attachment): SandboxRecord {
  const attachments = record.attachments.map(one => (one.endpointId === changed.endpointId ? changed : one));
  const next = { ...record, attachments };
  ctx.sandboxes.put(next);
  return next;
}

const givenAddresses = ({ ipv4, ipv6, mac }: AttachedLink): EndpointAddresses => ({ ipv4: cidrOf(ipv4), ipv6: cidrOf(ipv6), mac });

const cidrOf = (address: AttachedAddress | undefined): string =>
  address === undefined ? '' : `${address.address}/${String(address.prefixLength)}`;

function withChosen(link: AttachedLink, chosen: EndpointAddresses): AttachedLink {
  return { ...link, mac: chosen.mac, ipv4: link.ipv4 ?? attachedAddress(chosen.ipv4), ipv6: link.ipv6 ?? attachedAddress(chosen.ipv6) };
}

function attachedAddress(text: string): AttachedAddress | undefined {
  const cidr = parseCidr(text);
  return cidr === undefined ? undefined : { address: text.replace(/\/.*$/, ''), prefixLength: cidr.prefix.length, gateway: '' };
}

/** Takes the container off networks of plugins. What a plugin cannot be told now is told later. */
export async function leavePlugins(ctx: Context, { request, attachments }: SandboxRecord): Promise<void> {
  for (const attachment of attachments) if (isOfPlugin(ctx, attachment)) await leave(ctx, request.containerId, attachment);
}

/** The interface goes back to the host for the plugin to take away. */
export async function leave(ctx: Context, containerId: string, { networkId, endpointId, link, joined }: Attachment): Promise<void> {
  const network = ctx.networks.byId(networkId);
  if (network === undefined) return;
  const endpoint = { networkId, endpointId };
  await takeBack(ctx, network, endpoint, 'Leave');
  failpoint('network.plugin.left');
  if (joined !== undefined && joined.sourceName !== '' && link !== undefined && link.name !== '') {
    try {
      ctx.driver.giveBack(containerId, { name: link.name, hostName: joined.sourceName });
    } catch (err) {
      ctx.log.warn('an interface could not be given back to its plugin', { plugin: network.driver, error: messageOf(err) });
    }
  }
  await takeBack(ctx, network, endpoint, 'DeleteEndpoint');
}

async function takeBack(
  ctx: Context,
  network: Network,
  endpoint: RemoteEndpoint,
  call: Extract<RemoteUndo, RemoteEndpoint>['call'],
): Promise<void> {
  await ctx.owed.tell({ plugin: network.driver, undo: { call, ...endpoint } });
}

/** The plugin that gives the default route is told of the published ports, and the one that gave it no more that they are not its business. */
export async function moveRemotePorts(
  ctx: Context,
  undo: AsyncDisposableStack | undefined,
  request: SandboxRequest,
  before: readonly Attachment[],
  after: readonly Attachment[],
): Promise<readonly Attachment[]> {
  const [from, to] = [remotePublishing(ctx, before), remotePublishing(ctx, after)];
  if (from?.endpointId === to?.endpointId) return after;
  if (from !== undefined) await closeRemotePorts(ctx, from);
  const network = to && ctx.networks.byId(to.networkId);
  if (to?.joined === undefined || network === undefined) return after;
  const driver = await ctx.plugins.network(network.driver);
  undo?.defer(() => closeRemotePorts(ctx, to));
  const endpoint = { networkId: to.networkId, endpointId: to.endpointId };
  await driver.openPorts(endpoint, wantedPorts(request));
  const joined = { ...to.joined, ports: await driver.portsOf(endpoint) };
  return after.map(one => (one === to ? { ...to, joined } : one));
}

export async function closeRemotePorts(ctx: Context, { networkId, endpointId }: Attachment): Promise<void> {
  const network = ctx.networks.byId(networkId);
  if (network !== undefined) await takeBack(ctx, network, { networkId, endpointId }, 'RevokeExternalConnectivity');
}

/** Whether plugins have left the container without a way out that it should have. */
export function lacksWayOut(ctx: Context, attachments: readonly Attachment[]): boolean {
  const needs = attachments.some(({ networkId, joined }) => {
    const network = ctx.networks.byId(networkId);
    return network?.plugin !== undefined && !network.internal && joined?.isComplete !== true;
  });
  const has = byPriority(ctx, attachments).some(({ networkId, joined }) => {
    const network = ctx.networks.byId(networkId);
    if (network === undefined || network.internal || network.overlay !== undefined) return false;
    if (network.plugin === undefined) return true;
    return joined !== undefined && (joined.gateways[4] !== '' || joined.routes.some(({ destination }) => destination === '0.0.0.0/0'));
  });
  return needs && !has;
}

/** A plugin hears of ports one by one. */
function wantedPorts(request: SandboxRequest): WantedPorts {
  const exposed = new Set(expandPorts([...request.exposedPorts, ...Object.keys(request.portBindings)]));
  const bindings = Object.entries(expandPortMap(bindingsOf(request))).flatMap(([key, wanted]) =>
    portOf(key).flatMap(port =>
      wanted.map(({ hostIp, hostPort }) => {
        const { first, last } = parseNumbers(hostPort) ?? { first: 0, last: 0 };
        return { ...port, hostIp, hostPorts: [first, last] as const };
      }),
    ),
  );
  return { exposed: [...exposed].flatMap(portOf), bindings };
}

const portOf = (key: string): { readonly protocol: Protocol; readonly port: number }[] => {
  const range = parsePortRange(key);
  return range === undefined ? [] : [{ protocol: range.protocol, port: range.first }];
};
