import { type Prefix, parseCidr } from '#base/ip.ts';
import type { BridgeRules } from '#core/firewall.ts';
import type { BridgeLink } from '#core/network-driver.ts';
import type { Context } from './context.ts';
import type { Network } from './model.ts';

/** What the kernel must have for a network; undefined for drivers without a bridge. */
export function bridgeLinkOf(network: Network): BridgeLink | undefined {
  const { bridge } = network;
  if (bridge === undefined) return undefined;
  const addresses = network.ipam.pools.flatMap(pool => {
    const length = parseCidr(pool.subnet)?.prefix.length;
    return pool.gateway === '' || length === undefined || bridge.gatewayMode === 'isolated' ? [] : [`${pool.gateway}/${String(length)}`];
  });
  // On the default bridge a link opens what containers may not reach otherwise.
  const routesNeighbours = network.predefined && !bridge.icc;
  return { name: bridge.name, mac: bridge.mac, mtu: bridge.mtu, addresses, routesNeighbours };
}

export function bridgeRulesOf(network: Network): BridgeRules | undefined {
  const { bridge, internal } = network;
  if (bridge === undefined) return undefined;
  return {
    bridge: bridge.name,
    subnets: network.ipam.pools.map(pool => pool.subnet),
    masquerade: bridge.masquerade,
    internal,
    icc: bridge.icc,
    open: bridge.gatewayMode === 'nat-unprotected',
  };
}

/** Everything a new subnet must keep clear of: other networks, and what the host reaches already. */
export function subnetsInUse(ctx: Context): Prefix[] {
  const networks = ctx.networks.list();
  const ours = new Set(networks.map(network => network.bridge?.name));
  const texts = [...networks.flatMap(network => network.ipam.pools.map(pool => pool.subnet)), ...ctx.driver.routedNetworks(ours)];
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
