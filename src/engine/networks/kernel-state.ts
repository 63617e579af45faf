import { type Prefix, parseCidr } from '#base/ip.ts';
import type { BridgeRules, SubnetRules } from '#core/firewall.ts';
import type { BridgeLink } from '#core/network-driver.ts';
import type { Context } from './context.ts';
import type { BridgeSettings, Network } from './model.ts';

/** What the kernel must have for a network; undefined for drivers without a bridge. */
export function bridgeLinkOf(network: Network): BridgeLink | undefined {
  const { bridge } = network;
  if (bridge === undefined) return undefined;
  const addresses = network.ipam.pools.flatMap(pool => {
    const prefix = parseCidr(pool.subnet)?.prefix;
    if (prefix === undefined || pool.gateway === '' || bridge.gatewayModes[prefix.family] === 'isolated') return [];
    return prefix.family === 4 && bridge.inhibitIpv4 ? [] : [`${pool.gateway}/${String(prefix.length)}`];
  });
  // On the default bridge a link opens what containers may not reach otherwise.
  const routesNeighbours = network.predefined && !bridge.icc;
  const isAdopted = bridge.adopted !== undefined;
  const { name, mac, mtu, inhibitIpv4 } = bridge;
  return { name, mac, mtu, addresses, routesNeighbours, keepsAddresses: inhibitIpv4 || isAdopted, isAdopted };
}

export function bridgeRulesOf(ctx: Context, network: Network): BridgeRules | undefined {
  const { bridge, internal } = network;
  if (bridge === undefined) return undefined;
  return {
    bridge: bridge.name,
    subnets: network.ipam.pools.map(({ subnet }) => subnetRules(ctx, bridge, subnet)),
    internal: internal || network.overlay !== undefined,
    icc: bridge.icc,
    trustedInterfaces: bridge.trustedInterfaces,
  };
}

const directWays = { nat: 'closed', isolated: 'closed', 'nat-unprotected': 'everything', routed: 'routed' } as const;

function subnetRules(ctx: Context, bridge: BridgeSettings, subnet: string): SubnetRules {
  const family = subnet.includes(':') ? 6 : 4;
  const mode = bridge.gatewayModes[family];
  const address = bridge.hostAddresses[family];
  const translates = bridge.masquerade && (mode === 'nat' || mode === 'nat-unprotected');
  const direct = mode === 'nat' && ctx.options.allowDirectRouting ? 'published' : directWays[mode];
  return { subnet, leavesAs: !translates ? undefined : address === '' ? 'interface' : { address }, direct };
}

/** Whether published ports may be reached at the container's own address by somebody outside. */
export function reachedDirectly(ctx: Context, bridge: BridgeSettings, family: 4 | 6): boolean {
  const mode = bridge.gatewayModes[family];
  return mode === 'routed' || (mode === 'nat' && (ctx.options.allowDirectRouting || bridge.trustedInterfaces.length > 0));
}

/** Containers on it have interfaces of their own. */
export const hasInterfaces = ({ bridge, parent, plugin }: Network): boolean =>
  bridge !== undefined || parent !== undefined || plugin !== undefined;

/** Containers on it reach other hosts through it. */
export const leadsOut = ({ internal, overlay, configOnly }: Network): boolean => !internal && overlay === undefined && !configOnly;

const usualMtu = 1500;

/** What fits into the link by which the host's default route leads out. */
export const egressMtu = (ctx: Context): number => ctx.driver.egress()?.mtu ?? usualMtu;

/** Everything a new subnet must keep clear of: other networks, and what the host reaches already. */
export function subnetsInUse(ctx: Context): Prefix[] {
  const networks = ctx.networks.list();
  const ours = new Set(networks.flatMap(({ bridge, overlay }) => [bridge?.name, overlay?.link]));
  const texts = [
    ...networks.flatMap(({ ipam }) => (ipam.driver === 'null' ? [] : ipam.pools.map(pool => pool.subnet))),
    ...ctx.driver.routedNetworks(ours),
  ];
  return texts.flatMap(text => parseCidr(text)?.prefix ?? []);
}

/** Always the same for a network, so that what others remember about its gateway stays true when the bridge is made again. */
export const bridgeMac = (networkId: string): string => macFrom(networkId);

/** Always the same for an address on a network: whoever remembers the one by the other is right even when another container has it now. */
export const interfaceMac = (networkId: string, address: string): string => macFrom(`${networkId} ${address}`);

/** Locally administered, unicast. */
function macFrom(text: string): string {
  const bytes = new Uint8Array(new Bun.CryptoHasher('sha256').update(text).digest().subarray(0, 6));
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(':');
}
