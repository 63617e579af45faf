import type { TunnelPeers } from './network-driver.ts';

/** Where the hosts of overlay networks come from that no user named: a cluster's store. */
export interface OverlayPeers {
  /** The other hosts of a network and the interfaces known to be at each. Never this host. */
  peersOf(network: { readonly id: string; readonly name: string; readonly vni: number }): TunnelPeers;
  /** Calls with a network's id when its peers have changed, until disposed. */
  watch(changed: (networkId: string) => void): Disposable;
}
