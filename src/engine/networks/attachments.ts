import { conflict, failedPrecondition, invalidArgument, permissionDenied } from '#base/errors.ts';
import { newId, shortId } from '#base/id.ts';
import { formatIp, type IpAddress, parseIp } from '#base/ip.ts';
import type { ContainerInterface, DefaultRoute } from '#core/network-driver.ts';
import type { EndpointConfig, EndpointState, SandboxRequest } from '#core/network.ts';
import type { Context } from './context.ts';
import { endpointSettings } from './endpoint-settings.ts';
import { hasInterfaces, interfaceMac, leadsOut } from './kernel-state.ts';
import type { AttachedAddress, AttachedLink, Attachment, Network } from './model.ts';
import { interfaceName, optionName } from './option-values.ts';

/**
 * Takes addresses on a network for a container that has these attachments already. Undone by `releaseAttachment`. Rejects with InvalidArgument,
 * Conflict, ResourceExhausted.
 */
export function attach(
  ctx: Context,
  { network, config, implied = false }: Wanted,
  request: SandboxRequest,
  others: readonly Attachment[],
): Attachment {
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
  checkPassthru(ctx, network);
  const name = insideName(network, config, others);
  const ipv4 = network.enableIpv4 ? takeAddress(ctx, network, 4, config.ipv4Address) : undefined;
  try {
    const ipv6 = network.enableIpv6 ? takeAddress(ctx, network, 6, config.ipv6Address) : undefined;
    const sharesMac = network.parent?.kind === 'ipvlan';
    const link: AttachedLink = {
      hostName: network.bridge === undefined ? undefined : `veth${newId().slice(0, 7)}`,
      name,
      mac: sharesMac ? '' : (macOf(config) ?? interfaceMac(network.id, (ipv4 ?? ipv6)?.address ?? attachment.endpointId)),
      ipv4,
      ipv6,
    };
    return { ...attachment, link };
  } catch (err) {
    if (ipv4 !== undefined) releaseAddress(ctx, network, ipv4);
    throw err;
  }
}

/** Such a parent's link belongs to one interface. */
function checkPassthru(ctx: Context, network: Network): void {
  const [user] = network.parent?.mode === 'passthru' ? ctx.sandboxes.on(network.id) : [];
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
function insideName(network: Network, config: EndpointConfig, others: readonly Attachment[]): string {
  const used = new Set(others.map(({ link }) => link?.name));
  const asked = config.driverOpts?.[optionName.interfaceName];
  if (asked !== undefined) {
    if (used.has(asked)) throw conflict(`invalid ${optionName.interfaceName} "${asked}": the container has an interface of that name`);
    return interfaceName(optionName.interfaceName, asked);
  }
  const prefix = network.options[optionName.interfacePrefix] ?? 'eth';
  let index = 0;
  while (used.has(`${prefix}${String(index)}`)) index++;
  return `${prefix}${String(index)}`;
}

/** Gives the addresses back. Already back is fine. */
export function releaseAttachment(ctx: Context, attachment: Attachment): void {
  const network = ctx.networks.byId(attachment.networkId);
  if (network === undefined) return;
  for (const address of [attachment.link?.ipv4, attachment.link?.ipv6]) if (address !== undefined) releaseAddress(ctx, network, address);
}

/** Marks addresses as taken that a record says are. */
export function retakeAttachment(ctx: Context, attachment: Attachment): void {
  const network = ctx.networks.byId(attachment.networkId);
  if (network === undefined) return;
  for (const taken of [attachment.link?.ipv4, attachment.link?.ipv6]) {
    const address = taken === undefined ? undefined : parseIp(taken.address);
    if (address !== undefined) poolFor(ctx, network, address)?.takeThis(address);
  }
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
  const routeOf = ({ networkId, link }: Attachment, family: 4 | 6): DefaultRoute | undefined => {
    const network = ctx.networks.byId(networkId);
    const address = family === 4 ? link?.ipv4 : link?.ipv6;
    if (network === undefined || link === undefined || address === undefined || !leadsOut(network)) return undefined;
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

/** The attachment that published ports lead to: the first that leads out by a bridge. On the others every port is reached at the container's address. */
export function publishingAttachment(ctx: Context, attachments: readonly Attachment[]): Attachment | undefined {
  return attachments.find(({ networkId, link }) => {
    const network = ctx.networks.byId(networkId);
    return link !== undefined && network?.bridge !== undefined && leadsOut(network);
  });
}

export function endpointStateOf({ networkId, endpointId, dnsNames, link }: Attachment): EndpointState {
  return {
    networkId,
    endpointId,
    gateway: link?.ipv4?.gateway ?? '',
    ipAddress: link?.ipv4?.address ?? '',
    ipPrefixLength: link?.ipv4?.prefixLength ?? 0,
    ipv6Gateway: link?.ipv6?.gateway ?? '',
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

function takeAddress(ctx: Context, network: Network, family: 4 | 6, wanted: string | undefined): AttachedAddress | undefined {
  const pools = ctx.networks.pools(network).filter(pool => pool.subnet.family === family);
  const asked = wanted === undefined || wanted === '' ? undefined : parseIp(wanted);
  const [first] = pools;
  if (first === undefined) {
    if (asked !== undefined) throw invalidArgument(`no configured subnet or ip-range contain the IP address ${formatIp(asked)}`);
    return undefined;
  }
  const pool = asked === undefined ? first : (poolFor(ctx, network, asked) ?? first);
  if (asked !== undefined) pool.takeThis(asked);
  const address = asked ?? pool.takeNext();
  const own = pool.gateway === undefined || network.bridge?.gatewayModes[family] === 'isolated' ? '' : formatIp(pool.gateway);
  const gateway = network.predefined ? (ctx.options.defaultGateways[family] ?? own) : own;
  return { address: formatIp(address), prefixLength: pool.subnet.length, gateway };
}

function releaseAddress(ctx: Context, network: Network, { address: text }: AttachedAddress): void {
  const address = parseIp(text);
  if (address !== undefined) poolFor(ctx, network, address)?.release(address);
}

function poolFor(ctx: Context, network: Network, address: IpAddress) {
  return ctx.networks.pools(network).find(({ subnet }) => {
    const hostBits = BigInt((subnet.family === 4 ? 32 : 128) - subnet.length);
    return subnet.family === address.family && subnet.value >> hostBits === address.value >> hostBits;
  });
}
