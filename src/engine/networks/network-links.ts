import { failpoint } from '#base/failpoint.ts';
import type { Context } from './context.ts';
import { bridgeLinkOf } from './kernel-state.ts';
import type { BridgeSettings, Network } from './model.ts';
import { peersOf, putEncryption } from './overlay-peers.ts';

/** What was not as it should be, by name. */
export interface MendedLinks {
  readonly made: readonly string[];
  readonly raised: readonly string[];
}

/** The links of a network that containers' interfaces need, without packet rules; what is there already is brought in line. */
export function putLinks(ctx: Context, network: Network): MendedLinks {
  const made: string[] = [];
  const raised: string[] = [];
  if (network.parent !== undefined && ctx.driver.putParent(network.parent.link)) made.push(network.parent.link.name);
  const link = bridgeLinkOf(network);
  if (link === undefined) return { made, raised };
  const bridge = ctx.driver.putBridge(link);
  if (bridge !== 'found') (bridge === 'made' ? made : raised).push(link.name);
  if (putTunnel(ctx, network)) made.push(String(network.overlay?.link));
  if (ctx.options.forwarding && !network.internal && network.overlay === undefined) enableForwarding(ctx, network);
  return { made, raised };
}

function putTunnel(ctx: Context, network: Network): boolean {
  const { overlay, bridge } = network;
  if (overlay === undefined || bridge === undefined) return false;
  // Before there is anything that could be sent.
  putEncryption(ctx, network);
  failpoint('network.create.tunnel');
  const { link: name, vni, port, local } = overlay;
  const peers = peersOf(ctx, network);
  const family = peers.hosts.some(host => host.includes(':')) ? 6 : 4;
  const made = ctx.driver.putTunnel({ name, vni, port, local, family, bridge: bridge.name, mtu: bridge.mtu });
  ctx.driver.putTunnelPeers(name, peers);
  return made;
}

/** Rules first: without them nothing passes that should not. */
export async function takeFromKernel(ctx: Context, network: Network): Promise<void> {
  const { bridge, parent, overlay } = network;
  if (bridge !== undefined) ctx.firewall.removeBridge(bridge.name);
  failpoint('network.remove.rules');
  if (overlay !== undefined) await ctx.driver.removeLink(overlay.link);
  if (overlay?.encryption !== undefined) ctx.driver.removeEncryption(overlay);
  if (bridge !== undefined) await removeBridge(ctx, network, bridge);
  if (parent?.link.made !== undefined) await ctx.driver.removeLink(parent.link.name);
  failpoint('network.remove.bridge');
}

async function removeBridge(ctx: Context, network: Network, { name, adopted }: BridgeSettings): Promise<void> {
  if (adopted === undefined) return void (await ctx.driver.removeBridge(name));
  const added = bridgeLinkOf(network)?.addresses.filter(address => !adopted.addresses.includes(address)) ?? [];
  ctx.driver.releaseBridge(name, added);
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
