import { failedPrecondition, invalidArgument } from '#base/errors.ts';
import { newId, shortId } from '#base/id.ts';
import { formatIp, type IpAddress, parseIp } from '#base/ip.ts';
import type { ContainerInterface } from '#core/network-driver.ts';
import type { EndpointConfig, EndpointState, SandboxRequest } from '#core/network.ts';
import { interfaceName, optionName } from './bridge-options.ts';
import type { Context } from './context.ts';
import { interfaceMac } from './kernel-state.ts';
import type { AttachedAddress, AttachedLink, Attachment, Network } from './model.ts';

/** Takes addresses on a network for a container. Undone by `releaseAttachment`. Rejects with InvalidArgument, Conflict, ResourceExhausted. */
export function attach(ctx: Context, network: Network, config: EndpointConfig, request: SandboxRequest, name: string): Attachment {
  const attachment: Attachment = {
    networkId: network.id,
    endpointId: newId(),
    config,
    dnsNames: dnsNamesOf(network, config, request),
    link: undefined,
  };
  if (network.bridge === undefined) return attachment;
  checkStatic(network, config);
  const mac = macOf(config);
  const ipv4 = network.enableIpv4 ? takeAddress(ctx, network, 4, config.ipv4Address) : undefined;
  try {
    const ipv6 = network.enableIpv6 ? takeAddress(ctx, network, 6, config.ipv6Address) : undefined;
    const link: AttachedLink = {
      hostName: `veth${newId().slice(0, 7)}`,
      name: interfaceName(optionName.interfaceName, config.driverOpts?.[optionName.interfaceName] ?? name),
      mac: mac ?? interfaceMac(network.id, (ipv4 ?? ipv6)?.address ?? attachment.endpointId),
      ipv4,
      ipv6,
    };
    return { ...attachment, link };
  } catch (err) {
    if (ipv4 !== undefined) releaseAddress(ctx, network, ipv4);
    throw err;
  }
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

/** What the kernel makes of an attachment; undefined on drivers without a bridge. */
export function interfaceOf(network: Network, { link }: Attachment, publishes: boolean): ContainerInterface | undefined {
  const { bridge } = network;
  if (bridge === undefined || link === undefined) return undefined;
  return {
    hostName: link.hostName,
    bridge: bridge.name,
    name: link.name,
    mac: link.mac,
    mtu: bridge.mtu,
    addresses: [link.ipv4, link.ipv6].flatMap(one => (one === undefined ? [] : [`${one.address}/${String(one.prefixLength)}`])),
    hairpin: publishes,
    isolated: !bridge.icc,
  };
}

/** Default gateways: the first network of each family that leads out. */
export function gatewaysOf(ctx: Context, attachments: readonly Attachment[]): string[] {
  const leading = attachments.filter(({ networkId }) => ctx.networks.byId(networkId)?.internal === false);
  const first = (pick: (link: AttachedLink) => AttachedAddress | undefined): string[] =>
    leading
      .map(({ link }) => (link === undefined ? undefined : pick(link)?.gateway))
      .filter(gateway => gateway !== undefined && gateway !== '')
      .slice(0, 1) as string[];
  return [...first(link => link.ipv4), ...first(link => link.ipv6)];
}

/** Whether a container asks for published ports: then its interfaces must be able to send back what they sent out. */
export const publishesPorts = ({ publishAllPorts, portBindings }: SandboxRequest): boolean =>
  publishAllPorts || Object.values(portBindings).some(bindings => bindings.length > 0);

/** The order in which networks are asked for a default route and for a way in: priority first, then name. */
export function byPriority(ctx: Context, attachments: readonly Attachment[]): Attachment[] {
  const nameOf = ({ networkId }: Attachment): string => ctx.networks.byId(networkId)?.name ?? '';
  return attachments.toSorted((a, b) => (b.config.gwPriority ?? 0) - (a.config.gwPriority ?? 0) || (nameOf(a) < nameOf(b) ? -1 : 1));
}

/** The attachment that published ports lead to: the first that leads out. */
export function publishingAttachment(ctx: Context, attachments: readonly Attachment[]): Attachment | undefined {
  return attachments.find(({ networkId, link }) => link !== undefined && ctx.networks.byId(networkId)?.internal === false);
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
  macOf(config);
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
  const gateway = pool.gateway === undefined || network.bridge?.gatewayMode === 'isolated' ? '' : formatIp(pool.gateway);
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
