import { alreadyExists, invalidArgument, notFound, permissionDenied } from '#base/errors.ts';
import { cleanUp } from '#base/dispose.ts';
import { failpoint } from '#base/failpoint.ts';
import { newId } from '#base/id.ts';
import { contains, formatIp, formatPrefix, overlaps, type Prefix, parseCidr, parseIp } from '#base/ip.ts';
import { firstAddress } from './address-pool.ts';
import { readBridgeOptions } from './bridge-options.ts';
import { type Context, publish } from './context.ts';
import { bridgeLinkOf, bridgeMac, bridgeRulesOf, subnetsInUse } from './kernel-state.ts';
import type { IpamPool, Network } from './model.ts';
import { predefinedNames } from './predefined.ts';
import { takeFromKernel } from './remove.ts';
import { chooseSubnet, defaultAddressPools, parsePrefix, uniqueLocalPool } from './subnets.ts';

export interface CreateNetwork {
  readonly name: string;
  /** Empty: `bridge`. */
  readonly driver: string;
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly ipam: {
    /** Empty: `default`. */
    readonly driver: string;
    readonly options: Readonly<Record<string, string>>;
    /** Empty texts where nothing was asked. */
    readonly pools: readonly IpamPool[];
  };
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}

/** Makes a bridge network. Rejects with PermissionDenied, AlreadyExists, InvalidArgument, NotFound for an unknown driver. */
export async function createNetwork(ctx: Context, request: CreateNetwork): Promise<Network> {
  checkRequest(ctx, request);
  const id = newId();
  const inUse = subnetsInUse(ctx);
  const pools = request.ipam.pools.map(pool => completePool(ctx, pool, inUse));
  for (const family of familiesMissing(request, pools)) pools.push(choosePool(ctx, family, inUse));
  const bridge = readBridgeOptions(request.options, {
    name: `br-${id.slice(0, 12)}`,
    mac: bridgeMac(id),
    mtu: ctx.options.mtu,
    masquerade: true,
    icc: true,
    hostBindingIpv4: '',
    gatewayMode: 'nat',
  });
  checkBridgeName(ctx, bridge.name);
  const network: Network = {
    id,
    name: request.name,
    created: new Date().toISOString(),
    driver: 'bridge',
    enableIpv4: request.enableIpv4,
    enableIpv6: request.enableIpv6,
    internal: request.internal,
    attachable: request.attachable,
    ipam: {
      driver: request.ipam.driver === '' ? 'default' : request.ipam.driver,
      options: request.ipam.options,
      pools,
      chosenByUser: request.ipam.pools.some(pool => pool.subnet !== ''),
    },
    options: request.options,
    labels: request.labels,
    predefined: false,
    bridge,
  };
  ctx.networks.put(network);
  failpoint('network.create.recorded');
  try {
    putInKernel(ctx, network);
  } catch (err) {
    ctx.networks.hide(network);
    await cleanUp(`bridge of network ${network.name}`, ctx.log, () => takeFromKernel(ctx, network));
    ctx.networks.delete(network);
    throw err;
  }
  failpoint('network.create.done');
  warnOfObstacles(ctx, network);
  publish(ctx, network, 'create');
  return network;
}

/** The bridge and its packet rules; what is there already is brought in line. */
function putInKernel(ctx: Context, network: Network): void {
  putBridge(ctx, network);
  failpoint('network.create.bridge');
  const rules = bridgeRulesOf(network);
  if (rules !== undefined) ctx.firewall.putBridge(rules);
}

/** Whoever set those rules up has to decide: they are not ours to change. */
export function warnOfObstacles(ctx: Context, { name, bridge, internal }: Network): void {
  if (bridge === undefined || internal) return;
  try {
    for (const what of ctx.firewall.obstacles(bridge.name))
      ctx.log.warn('a network is cut off by packet rules of others', { network: name, what });
  } catch (err) {
    ctx.log.debug('rules of others could not be read', { network: name, error: err });
  }
}

/** The bridge without its packet rules. */
export function putBridge(ctx: Context, network: Network): void {
  const link = bridgeLinkOf(network);
  if (link === undefined) return;
  ctx.driver.putBridge(link);
  if (ctx.options.forwarding && !network.internal) enableForwarding(ctx, network);
}

function enableForwarding(ctx: Context, network: Network): void {
  for (const family of [4, 6] as const) {
    if (family === 6 && !network.enableIpv6) continue;
    const settings = ctx.driver.enableForwarding(family);
    if (settings.length === 0) continue;
    ctx.log.info(
      'changed settings of this host that containers need to reach other hosts; they stay, because others may rely on them then',
      {
        settings: settings.join(' '),
      },
    );
  }
}

function checkRequest(ctx: Context, request: CreateNetwork): void {
  const { name, driver, ipam } = request;
  if (predefinedNames.includes(name)) throw permissionDenied(`operation is not permitted on predefined ${name} network `);
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) {
    throw invalidArgument(`invalid network name: "${name}": use letters, digits, "_", "." and "-", beginning with a letter or digit`);
  }
  if (ctx.networks.byName(name) !== undefined) throw alreadyExists(`network with name ${name} already exists`);
  if (driver === 'host' || driver === 'null') throw permissionDenied(`only one instance of "${driver}" network is allowed`);
  if (driver !== '' && driver !== 'bridge') throw notFound(`could not find plugin ${driver} in v1 plugin registry: plugin not found`);
  if (ipam.driver !== '' && ipam.driver !== 'default') throw notFound(`could not find ipam plugin ${ipam.driver}: plugin not found`);
  if (!request.enableIpv4 && !request.enableIpv6) throw invalidArgument('IPv4 or IPv6 must be enabled');
}

function checkBridgeName(ctx: Context, name: string): void {
  const other = ctx.networks.list().find(network => network.bridge?.name === name);
  if (other !== undefined) {
    throw alreadyExists(`cannot create network with bridge name ${name}: networks have same bridge name as network ${other.name}`);
  }
  if (ctx.driver.linkNames().includes(name))
    throw alreadyExists(`cannot create network with bridge name ${name}: an interface of this host has that name`);
}

/** Checks one pool and chooses what it leaves open. */
function completePool(ctx: Context, asked: IpamPool, inUse: readonly Prefix[]): IpamPool {
  if (asked.subnet === '') {
    if (asked.gateway !== '' || asked.ipRange !== '') throw invalidArgument('invalid network config: a gateway or ip-range needs a subnet');
    return choosePool(ctx, 4, inUse);
  }
  const subnet = parseCidr(asked.subnet);
  if (subnet === undefined)
    throw invalidArgument(`invalid subnet ${asked.subnet}: invalid CIDR address: want an address and a prefix length, such as 10.1.0.0/16`);
  if (subnet.address.value !== subnet.prefix.value) {
    throw invalidArgument(`invalid network config:\ninvalid subnet ${asked.subnet}: it should be ${formatPrefix(subnet.prefix)}`);
  }
  const networks = ctx.networks.list().flatMap(network => network.ipam.pools.map(pool => parsePrefix(pool.subnet)));
  if (networks.some(other => overlaps(other, subnet.prefix))) {
    throw permissionDenied('invalid pool request: Pool overlaps with other one on this address space');
  }
  const gateway = asked.gateway === '' ? formatIp(firstAddress(subnet.prefix)) : asked.gateway;
  checkInside('gateway', gateway, subnet.prefix);
  for (const [name, address] of Object.entries(asked.auxiliaryAddresses)) checkInside(`auxiliary address ${name}`, address, subnet.prefix);
  if (asked.ipRange !== '') checkRange(asked.ipRange, subnet.prefix);
  return { ...asked, subnet: formatPrefix(subnet.prefix), gateway };
}

function checkInside(what: string, text: string, subnet: Prefix): void {
  const address = parseIp(text);
  if (address === undefined) throw invalidArgument(`invalid network config:\ninvalid ${what} ${text}: not an IP address`);
  if (!contains(subnet, address))
    throw invalidArgument(`invalid network config:\ninvalid ${what} ${text}: parent subnet is ${formatPrefix(subnet)}`);
}

function checkRange(text: string, subnet: Prefix): void {
  const range = parseCidr(text);
  if (range === undefined) throw invalidArgument(`invalid network config:\ninvalid ip-range ${text}: invalid CIDR address: ${text}`);
  if (!contains(subnet, range.prefix) || range.prefix.length < subnet.length) {
    throw invalidArgument(`invalid network config:\ninvalid ip-range ${text}: parent subnet is ${formatPrefix(subnet)}`);
  }
}

function familiesMissing(request: CreateNetwork, pools: readonly IpamPool[]): (4 | 6)[] {
  const has = (family: 4 | 6): boolean => pools.some(pool => parsePrefix(pool.subnet).family === family);
  const missing: (4 | 6)[] = [];
  if (request.enableIpv4 && !has(4)) missing.push(4);
  if (request.enableIpv6 && !has(6)) missing.push(6);
  return missing;
}

function choosePool(ctx: Context, family: 4 | 6, inUse: readonly Prefix[]): IpamPool {
  const configured = ctx.options.addressPools.length > 0 ? ctx.options.addressPools : defaultAddressPools;
  const hasFamily = configured.some(pool => parsePrefix(pool.base).family === family);
  const sources = hasFamily ? configured : family === 6 ? [uniqueLocalPool(ctx.options.engineId)] : defaultAddressPools;
  const subnet = chooseSubnet(sources, family, inUse);
  return { subnet: formatPrefix(subnet), gateway: formatIp(firstAddress(subnet)), ipRange: '', auxiliaryAddresses: {} };
}
