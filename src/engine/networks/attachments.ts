import { conflict, failedPrecondition, invalidArgument, permissionDenied } from '#base/errors.ts';
import { newId, shortId } from '#base/id.ts';
import { parseIp } from '#base/ip.ts';
import type { ContainerInterface, DefaultRoute } from '#core/network-driver.ts';
import type { EndpointConfig, EndpointState, SandboxRequest } from '#core/network.ts';
import type { Context } from './context.ts';
import { endpointSettings } from './endpoint-settings.ts';
import { ipamOf, releaseAddress, retakeAddress, takeAddress } from './ipam.ts';
import { hasInterfaces, interfaceMac, leadsOut } from './kernel-state.ts';
import type { AttachedLink, Attachment, Network } from './model.ts';
import { interfaceName, optionName } from './option-values.ts';

/**
 * Takes addresses on a network for a container that has these attachments already. Undone by `releaseAttachment`. Rejects with InvalidArgument,
 * PermissionDenied, Unavailable, PluginFailure.
 */
export async function attach(
  ctx: Context,
  { network, config, implied = false }: Wanted,
  request: SandboxRequest,
  others: readonly Attachment[],
): Promise<Attachment> {
  const attachment: Attachment = {
    networkId: network.id,
    endpointId: newId(),
    config,
    dnsNames: implied ? [] : dnsNamesOf(network, config, request),
    link: undefined,
    implied,
  };
  if (!hasInterfaces(network)) return attachment;
  checkStatic(network, config);
  checkPassthru(ctx, network, request.containerId);
  const ipam = await ipamOf(ctx, network);
  const sharesMac = network.parent?.kind === 'ipvlan';
  const known = macOf(config) ?? (ipam?.needsMac === true && !sharesMac ? interfaceMac(network.id, attachment.endpointId) : undefined);
  const macForIpam = ipam?.needsMac === true ? known : undefined;
  const ipv4 = network.enableIpv4 ? await takeAddress(ctx, network, 4, config.ipv4Address, ipam, macForIpam) : undefined;
  try {
    const ipv6 = network.enableIpv6 ? await takeAddress(ctx, network, 6, config.ipv6Address, ipam, macForIpam) : undefined;
    // A plugin makes the interface, and names it when the container joins.
    const derived = (): string =>
      network.plugin === undefined ? interfaceMac(network.id, (ipv4 ?? ipv6)?.address ?? attachment.endpointId) : '';
    const link: AttachedLink = {
      hostName: network.bridge === undefined ? undefined : `veth${newId().slice(0, 7)}`,
      name: network.plugin === undefined ? insideName(network.options[optionName.interfacePrefix], config, others) : '',
      mac: sharesMac ? '' : (known ?? derived()),
      ipv4,
      ipv6,
    };
    return { ...attachment, link };
  } catch (err) {
    if (ipv4 !== undefined) await releaseAddress(ctx, network, ipv4);
    throw err;
  }
}

/** Such a parent's link belongs to one interface. */
export function checkPassthru(ctx: Context, network: Network, containerId: string): void {
  const users = network.parent?.mode === 'passthru' ? ctx.sandboxes.on(network.id) : [];
  const user = users.find(one => one.sandbox.request.containerId !== containerId);
  if (user === undefined) return;
  throw conflict(
    `network ${network.name} (macvlan_mode=passthru) gives ${String(network.parent?.link.name)} to one container, and ${user.sandbox.request.containerName} has it`,
  );
}

/** A network a container asks for, with what it asks of it. */
export interface Wanted {
  readonly network: Network;
  readonly config: EndpointConfig;
  readonly implied?: boolean;
}

/** The name asked for, or the first that is free: `eth0`, or with the network's own beginning. */
export function insideName(prefix: string | undefined, config: EndpointConfig, others: readonly Attachment[]): string {
  const used = new Set(others.map(({ link }) => link?.name));
  const asked = config.driverOpts?.[optionName.interfaceName];
  if (asked !== undefined) {
    if (used.has(asked)) throw conflict(`invalid ${optionName.interfaceName} "${asked}": the container has an interface of that name`);
    return interfaceName(optionName.interfaceName, asked);
  }
  const beginning = prefix ?? 'eth';
  let index = 0;
  while (used.has(`${beginning}${String(index)}`)) index++;
  return `${beginning}${String(index)}`;
}

/** Gives the addresses back. Already back is fine. */
export async function releaseAttachment(ctx: Context, attachment: Attachment): Promise<void> {
  const network = ctx.networks.byId(attachment.networkId);
  if (network === undefined) return;
  for (const address of [attachment.link?.ipv4, attachment.link?.ipv6])
    if (address !== undefined) await releaseAddress(ctx, network, address);
}

/** Marks addresses as taken that a record says are. */
export function retakeAttachment(ctx: Context, attachment: Attachment): void {
  const network = ctx.networks.byId(attachment.networkId);
  if (network === undefined) return;
  for (const taken of [attachment.link?.ipv4, attachment.link?.ipv6]) if (taken !== undefined) retakeAddress(ctx, network, taken);
}

/** What the kernel makes of an attachment; undefined on drivers without interfaces. */
export function interfaceOf(network: Network, { config, link }: Attachment, publishes: boolean): ContainerInterface | undefined {
  const { bridge, parent } = network;
  if (link === undefined) return undefined;
  const inside = {
    name: link.name,
    addresses: [
      ...[link.ipv4, link.ipv6].flatMap(one => (one === undefined ? [] : [`${one.address}/${String(one.prefixLength)}`])),
      ...(config.linkLocalIps ?? []).map(address => `${address}/${address.includes(':') ? '64' : '16'}`),
    ],
    settings: endpointSettings(config, link.name),
  };
  if (bridge !== undefined && link.hostName !== undefined) {
    const { hostName, mac } = link;
    return { ...inside, kind: 'bridged', hostName, mac, bridge: bridge.name, mtu: bridge.mtu, hairpin: publishes, isolated: !bridge.icc };
  }
  if (parent === undefined) return undefined;
  const shared = { ...inside, parent: parent.link.name, mtu: parent.mtu };
  return parent.kind === 'macvlan'
    ? { ...shared, kind: parent.kind, mode: parent.mode, mac: link.mac }
    : { ...shared, kind: parent.kind, mode: parent.mode, flag: parent.flag };
}

/** The first network of each family that leads out. With a parent that routes by itself there is nobody to send things to but the link. */
export function defaultRoutesOf(ctx: Context, attachments: readonly Attachment[]): DefaultRoute[] {
  const routeOf = ({ networkId, link, joined }: Attachment, family: 4 | 6): DefaultRoute | undefined => {
    const network = ctx.networks.byId(networkId);
    const address = family === 4 ? link?.ipv4 : link?.ipv6;
    if (network === undefined || link === undefined || !leadsOut(network)) return undefined;
    if (network.plugin !== undefined) {
      const gateway = joined?.gateways[family] ?? '';
      return gateway === '' || link.name === '' ? undefined : { family, link: link.name, gateway };
    }
    if (address === undefined) return undefined;
    if (network.parent?.kind === 'ipvlan' && network.parent.mode !== 'l2') return { family, link: link.name, gateway: undefined };
    return address.gateway === '' ? undefined : { family, link: link.name, gateway: address.gateway };
  };
  return ([4, 6] as const).flatMap(family => {
    for (const attachment of attachments) {
      const route = routeOf(attachment, family);
      if (route !== undefined) return [route];
    }
    return [];
  });
}

/** Whether a container asks for published ports: then its interfaces must be able to send back what they sent out. */
export const publishesPorts = ({ publishAllPorts, portBindings }: SandboxRequest): boolean =>
  publishAllPorts || Object.values(portBindings).some(bindings => bindings.length > 0);

/** The order in which networks are asked for a default route and for a way in: priority first, then name. */
export function byPriority(ctx: Context, attachments: readonly Attachment[]): Attachment[] {
  const nameOf = ({ networkId }: Attachment): string => ctx.networks.byId(networkId)?.name ?? '';
  return attachments.toSorted((a, b) => (b.config.gwPriority ?? 0) - (a.config.gwPriority ?? 0) || (nameOf(a) < nameOf(b) ? -1 : 1));
}

/**
 * The attachment that published ports lead to: the first that leads out by a bridge. On the others every port is reached at the container's address. A
 * plugin that gives the default route sees to the ports itself.
 */
export function publishingAttachment(ctx: Context, attachments: readonly Attachment[]): Attachment | undefined {
  const first = firstWayOut(ctx, attachments);
  return first?.joined === undefined ? first : undefined;
}

/** The endpoint of a plugin that published ports are the business of. */
export function remotePublishing(ctx: Context, attachments: readonly Attachment[]): Attachment | undefined {
  const first = firstWayOut(ctx, attachments);
  return first?.joined === undefined ? undefined : first;
}

function firstWayOut(ctx: Context, attachments: readonly Attachment[]): Attachment | undefined {
  return attachments.find(({ networkId, link, joined }) => {
    const network = ctx.networks.byId(networkId);
    if (link === undefined || network === undefined || !leadsOut(network)) return false;
    return network.bridge !== undefined || (joined !== undefined && (joined.gateways[4] !== '' || joined.gateways[6] !== ''));
  });
}

export function endpointStateOf({ networkId, endpointId, dnsNames, link, joined }: Attachment): EndpointState {
  return {
    networkId,
    endpointId,
    gateway: joined?.gateways[4] ?? link?.ipv4?.gateway ?? '',
    ipAddress: link?.ipv4?.address ?? '',
    ipPrefixLength: link?.ipv4?.prefixLength ?? 0,
    ipv6Gateway: joined?.gateways[6] ?? link?.ipv6?.gateway ?? '',
    globalIpv6Address: link?.ipv6?.address ?? '',
    globalIpv6PrefixLength: link?.ipv6?.prefixLength ?? 0,
    macAddress: link?.mac ?? '',
    dnsNames,
  };
}

/** Container name, aliases, short id and hostname; the default bridge resolves no names. */
export function dnsNamesOf(network: Network, config: EndpointConfig, request: SandboxRequest): string[] {
  if (network.predefined) return [];
  const { containerName, containerId, hostname } = request;
  return [...new Set([containerName, ...(config.aliases ?? []), shortId(containerId), hostname].filter(name => name !== ''))];
}

/** Checks what a user asks of an endpoint before anything is made. Rejects with InvalidArgument, FailedPrecondition. */
export function checkStatic(network: Network, config: EndpointConfig): void {
  if (network.configOnly) {
    throw permissionDenied(
      `container cannot be connected to network ${network.name}: it holds settings for other networks only (--config-only)`,
    );
  }
  if (macOf(config) !== undefined && network.parent?.kind === 'ipvlan') {
    throw invalidArgument('ipvlan interfaces do not support custom mac address assignment: they have the address of their parent');
  }
  const asked = config.driverOpts?.[optionName.interfaceName];
  endpointSettings(config, asked === undefined ? 'eth0' : interfaceName(optionName.interfaceName, asked));
  for (const [text, family] of [
    [config.ipv4Address, 4],
    [config.ipv6Address, 6],
  ] as const) {
    if (text === undefined || text === '') continue;
    if (parseIp(text)?.family !== family) throw invalidArgument(`invalid IPv${String(family)} address: ${text}`);
    if (network.predefined) throw invalidArgument('user specified IP address is supported on user defined networks only');
    if (!network.ipam.chosenByUser) {
      throw failedPrecondition('user specified IP address is supported only when connecting to networks with user configured subnets');
    }
  }
  for (const text of config.linkLocalIps ?? []) {
    if (parseIp(text) === undefined) throw invalidArgument(`invalid link-local IP address: ${text}`);
  }
}

function macOf({ macAddress }: EndpointConfig): string | undefined {
  if (macAddress === undefined || macAddress === '') return undefined;
  const parts = macAddress.toLowerCase().split(/[:-]/);
  if (parts.length !== 6 || !parts.every(part => /^[0-9a-f]{2}$/.test(part))) throw invalidArgument(`invalid MAC address: ${macAddress}`);
  return parts.join(':');
}
