import { newId } from '#base/id.ts';
import { contains, formatIp, formatPrefix, parseCidr, parseIp, type Prefix } from '#base/ip.ts';
import { invalidArgument } from '#base/errors.ts';
import { readBridgeOptions } from './bridge-options.ts';
import { type Context } from './context.ts';
import { bridgeMac, egressMtu, subnetsInUse } from './kernel-state.ts';
import type { BridgeSettings, IpamPool, Network } from './model.ts';
import { firstAddress } from './address-pool.ts';
import { takeFromKernel } from './network-links.ts';
import { optionName } from './option-values.ts';
import { choosePool, parsePrefix } from './subnets.ts';

/** The bridge network by which containers of overlay networks reach the outside. */
export const gatewayNetworkName = 'docker_gwbridge';

/** Names that no other network can have; `default` means the default bridge. */
export const predefinedNames: readonly string[] = ['bridge', 'host', 'none', 'default'];

/** Makes the records of the networks that always exist, and brings the default bridge in line with the options. */
export function ensurePredefined(ctx: Context): void {
  for (const [name, driver] of [
    ['host', 'host'],
    ['none', 'null'],
  ] as const) {
    if (ctx.networks.byName(name) === undefined) ctx.networks.put(plainNetwork(name, driver));
  }
  const { bridgeName } = ctx.options;
  if (bridgeName !== undefined) ctx.networks.put(defaultBridge(ctx, bridgeName, ctx.networks.byName('bridge')));
}

/** Takes the default bridge away when the operator has turned it off and the last container has left it. */
export async function retireDefaultBridge(ctx: Context): Promise<void> {
  const bridge = ctx.networks.byName('bridge');
  if (ctx.options.bridgeName !== undefined || bridge === undefined || ctx.sandboxes.on(bridge.id).length > 0) return;
  await takeFromKernel(ctx, bridge);
  ctx.networks.delete(bridge);
}

function plainNetwork(name: string, driver: 'host' | 'null'): Network {
  return {
    id: newId(),
    name,
    created: new Date().toISOString(),
    driver,
    enableIpv4: true,
    enableIpv6: false,
    internal: false,
    attachable: false,
    ipam: { driver: 'default', options: {}, pools: [], chosenByUser: false },
    options: {},
    labels: {},
    predefined: true,
    configOnly: false,
    configFrom: '',
    bridge: undefined,
    parent: undefined,
    overlay: undefined,
  };
}

function defaultBridge(ctx: Context, bridgeName: string, before: Network | undefined): Network {
  const { icc, masquerade, hostBinding, ipv6 } = ctx.options;
  const id = before?.id ?? newId();
  const mtu = ctx.options.mtu ?? egressMtu(ctx);
  const earlier = (family: 4 | 6): IpamPool | undefined => before?.ipam.pools.find(pool => parsePrefix(pool.subnet).family === family);
  const given = ctx.options.defaultNetworkOptions.bridge ?? {};
  const options = {
    ...given,
    [optionName.defaultBridge]: 'true',
    [optionName.icc]: String(icc),
    [optionName.masquerade]: String(masquerade),
    [optionName.hostBinding]: hostBinding,
    [optionName.bridgeName]: bridgeName,
    [optionName.mtu]: given[optionName.mtu] ?? String(mtu),
  };
  const defaults: BridgeSettings = {
    name: bridgeName,
    mac: bridgeMac(id),
    mtu,
    mtuFollows: false,
    masquerade,
    icc,
    hostBindingIpv4: hostBinding,
    gatewayModes: { 4: 'nat', 6: 'nat' },
    inhibitIpv4: false,
    trustedInterfaces: [],
    hostAddresses: { 4: '', 6: '' },
  };
  // A bridge that is there before there is a record of it is the operator's.
  const isKnown = before?.bridge?.name === bridgeName;
  const found = isKnown
    ? before.bridge?.adopted?.addresses
    : ctx.options.bridgeIsGiven
      ? ctx.driver.bridgeAddresses(bridgeName)
      : undefined;
  const pools = [poolOf(ctx, 4, earlier(4), found), ...(ipv6 ? [poolOf(ctx, 6, earlier(6), found)] : [])];
  return {
    ...plainNetwork('bridge', 'host'),
    id,
    created: before?.created ?? new Date().toISOString(),
    driver: 'bridge',
    enableIpv6: ipv6,
    ipam: {
      driver: 'default',
      options: {},
      pools,
      chosenByUser: false,
    },
    options,
    bridge: {
      ...readBridgeOptions(options, defaults, false),
      mtuFollows: ctx.options.mtu === undefined && given[optionName.mtu] === undefined,
      ...(found === undefined ? {} : { adopted: { addresses: found } }),
    },
  };
}

/** What the operator says; else what the bridge has; else what it was; else the first free subnet of the pools. `found`: addresses of a bridge of the operator's. */
function poolOf(ctx: Context, family: 4 | 6, before: IpamPool | undefined, found: readonly string[] | undefined): IpamPool {
  const [address, range, flagName] =
    family === 4
      ? ([ctx.options.bip, ctx.options.fixedCidr, '--bip'] as const)
      : ([ctx.options.bip6, ctx.options.fixedCidrV6, '--bip6'] as const);
  const given = address === undefined ? undefined : parseCidr(address);
  if (address !== undefined && given?.prefix.family !== family) {
    const example = family === 4 ? '172.17.0.1/16' : 'fd00:17::1/64';
    throw invalidArgument(`invalid ${flagName} "${address}": want an address of the bridge and a prefix length, such as ${example}`);
  }
  const own = { ipRange: range === undefined ? '' : formatPrefix(rangeOf(range, family)), auxiliaryAddresses: {} };
  const had = found?.map(text => parseCidr(text)).find(one => one?.prefix.family === family);
  const chosen = given ?? had;
  if (chosen !== undefined)
    return checkedPool(ctx, family, { ...own, subnet: formatPrefix(chosen.prefix), gateway: formatIp(chosen.address) });
  // As in Docker the IPv6 range is the subnet, unless the bridge has an address of its own.
  const whole = family === 6 && range !== undefined ? rangeOf(range, 6) : undefined;
  if (whole !== undefined)
    return checkedPool(ctx, family, { ...own, ipRange: '', subnet: formatPrefix(whole), gateway: formatIp(firstAddress(whole)) });
  const kept = before ?? choosePool(ctx.options, family, subnetsInUse(ctx), 'bridge');
  return checkedPool(ctx, family, { ...own, subnet: kept.subnet, gateway: kept.gateway });
}

function rangeOf(text: string, family: 4 | 6): Prefix {
  const prefix = parseCidr(text)?.prefix;
  if (prefix?.family === family) return prefix;
  const example = family === 4 ? '172.17.128.0/17' : 'fd00:17::/64';
  throw invalidArgument(`invalid ${family === 4 ? '--fixed-cidr' : '--fixed-cidr-v6'} "${text}": want a subnet such as ${example}`);
}

/** Reserves the gateway that the operator names; it and the range have to be in the subnet. */
function checkedPool(ctx: Context, family: 4 | 6, pool: IpamPool): IpamPool {
  const subnet = parsePrefix(pool.subnet);
  const suffix = family === 4 ? '' : '-v6';
  if (pool.ipRange !== '' && !contains(subnet, parsePrefix(pool.ipRange)))
    throw invalidArgument(`invalid --fixed-cidr${suffix} ${pool.ipRange}: it has to be part of the default bridge's subnet ${pool.subnet}`);
  const text = ctx.options.defaultGateways[family];
  const gateway = text === undefined ? undefined : parseIp(text);
  if (gateway === undefined) return pool;
  if (!contains(subnet, gateway))
    throw invalidArgument(`invalid --default-gateway${suffix} ${String(text)}: it has to be in the default bridge's subnet ${pool.subnet}`);
  return formatIp(gateway) === pool.gateway
    ? pool
    : { ...pool, auxiliaryAddresses: { [`DefaultGatewayIPv${String(family)}`]: formatIp(gateway) } };
}
