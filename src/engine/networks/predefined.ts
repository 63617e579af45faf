import { newId } from '#base/id.ts';
import { formatIp, formatPrefix, parseCidr } from '#base/ip.ts';
import { invalidArgument } from '#base/errors.ts';
import { type Context } from './context.ts';
import { optionName } from './bridge-options.ts';
import { bridgeMac, subnetsInUse } from './kernel-state.ts';
import type { IpamPool, Network } from './model.ts';
import { firstAddress } from './address-pool.ts';
import { takeFromKernel } from './remove.ts';
import { chooseSubnet, defaultAddressPools } from './subnets.ts';

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
    bridge: undefined,
  };
}

function defaultBridge(ctx: Context, bridgeName: string, before: Network | undefined): Network {
  const { bip, fixedCidr, mtu, icc, masquerade, hostBinding } = ctx.options;
  const id = before?.id ?? newId();
  const pool = poolOf(ctx, before?.ipam.pools[0], bip, fixedCidr);
  return {
    ...plainNetwork('bridge', 'host'),
    id,
    created: before?.created ?? new Date().toISOString(),
    driver: 'bridge',
    ipam: { driver: 'default', options: {}, pools: [pool], chosenByUser: false },
    options: {
      [optionName.defaultBridge]: 'true',
      [optionName.icc]: String(icc),
      [optionName.masquerade]: String(masquerade),
      [optionName.hostBinding]: hostBinding,
      [optionName.bridgeName]: bridgeName,
      [optionName.mtu]: String(mtu),
    },
    bridge: { name: bridgeName, mac: bridgeMac(id), mtu, masquerade, icc, hostBindingIpv4: hostBinding, gatewayMode: 'nat' },
  };
}

/** What the operator says; else what it was; else the first free subnet of the pools. */
function poolOf(ctx: Context, before: IpamPool | undefined, bip: string | undefined, fixedCidr: string | undefined): IpamPool {
  const given = bip === undefined ? undefined : parseCidr(bip);
  if (bip !== undefined && given === undefined) {
    throw invalidArgument(`invalid --bip "${bip}": want an address of the bridge and a prefix length, such as 172.17.0.1/16`);
  }
  if (given !== undefined) {
    return { subnet: formatPrefix(given.prefix), gateway: formatIp(given.address), ipRange: fixedCidr ?? '', auxiliaryAddresses: {} };
  }
  if (before !== undefined) return { ...before, ipRange: fixedCidr ?? '' };
  const pools = ctx.options.addressPools.length > 0 ? ctx.options.addressPools : defaultAddressPools;
  const subnet = chooseSubnet(pools, 4, subnetsInUse(ctx));
  return { subnet: formatPrefix(subnet), gateway: formatIp(firstAddress(subnet)), ipRange: fixedCidr ?? '', auxiliaryAddresses: {} };
}
