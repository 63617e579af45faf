import type { TunnelPeers } from '#core/network-driver.ts';
import type { Context } from './context.ts';
import type { Network, OverlaySettings } from './model.ts';

/** Outer Ethernet and IP, UDP, VXLAN and the inner Ethernet header (RFC 7348, 5): what a frame of the network is longer on its way. */
export const tunnelBytes = ({ peers }: OverlaySettings): number => (peers.some(peer => peer.includes(':')) ? 70 : 50);

/** Every link that carries IPv6 carries packets of this size (RFC 8200, 5). */
export const smallestMtu = 1280;

/** The hosts that the user named and those that the store knows. */
export function peersOf(ctx: Context, { id, name, overlay }: Network): TunnelPeers {
  if (overlay === undefined) return { hosts: [], interfaces: [] };
  const known = ctx.overlayPeers?.peersOf({ id, name, vni: overlay.vni }) ?? { hosts: [], interfaces: [] };
  return { hosts: [...new Set([...overlay.peers, ...known.hosts])], interfaces: known.interfaces };
}

/** Tells the kernel about other hosts as they come and go. */
export function followPeers(ctx: Context): Disposable | undefined {
  return ctx.overlayPeers?.watch(id => {
    const network = ctx.networks.byId(id);
    if (network?.overlay === undefined) return;
    try {
      ctx.driver.putTunnelPeers(network.overlay.link, peersOf(ctx, network));
    } catch (err) {
      ctx.log.error('the hosts of an overlay network could not be told to the kernel', { network: network.name, error: err });
    }
  });
}
