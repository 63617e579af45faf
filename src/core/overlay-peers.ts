import type { TunnelPeers } from './network-driver.ts';

interface OverlayNetwork {
  readonly id: string;
  readonly name: string;
  readonly vni: number;
}

/** Where the hosts of overlay networks come from that no user named, and what they encrypt with: a cluster's store. */
export interface OverlayPeers {
  /** The other hosts of a network and the interfaces known to be at each. Never this host. */
  peersOf(network: OverlayNetwork): TunnelPeers;
  /**
   * What the hosts of an encrypted network share, of 32 bytes at least each: the first is for sending, all are for receiving. To change it, every host
   * first learns the new one behind the old, then has it first, then forgets the old.
   */
  keysOf(network: OverlayNetwork): readonly Uint8Array[];
  /** Calls with a network's id when its peers or keys have changed, until disposed. */
  watch(changed: (networkId: string) => void): Disposable;
}

/** Keys that an operator keeps in files. */
export interface KeyFiles {
  /** In the file's order. Rejects with NotFound, PermissionDenied when others can read it, InvalidArgument when it does not have keys. */
  read(path: string): readonly Uint8Array[];
  /** Calls with the path of a file that was read before and has changed since, until disposed. */
  watch(changed: (path: string) => void): Disposable;
}
