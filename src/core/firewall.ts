import type { Protocol } from './network.ts';

/** What the firewall has to know about one bridge. */
export interface BridgeRules {
  readonly bridge: string;
  readonly subnets: readonly SubnetRules[];
  /** No way out and no way in. */
  readonly internal: boolean;
  /** Containers may talk to each other. */
  readonly icc: boolean;
  /** Interfaces of the host behind which published ports may be reached at the container's own address. */
  readonly trustedInterfaces: readonly string[];
}

export interface SubnetRules {
  /** In CIDR form. */
  readonly subnet: string;
  /** The address that traffic leaves with: that of the interface it leaves by, or a fixed one. Undefined: the container's own. */
  readonly leavesAs: 'interface' | { readonly address: string } | undefined;
  /**
   * What arrives from outside for a container's own address: nothing but from trusted interfaces, the ports that may be reached so, those and ICMP, or
   * everything.
   */
  readonly direct: 'closed' | 'published' | 'routed' | 'everything';
}

/** Published ports that follow each other: what arrives for `hostAddress:hostPort + i` goes to `address:port + i`. */
export interface PortRule {
  readonly protocol: Protocol;
  /** An address of the host; `0.0.0.0` or `::` for all of that family. */
  readonly hostAddress: string;
  /** 0: the ports have no number on the host, and are reached at the container's own address. */
  readonly hostPort: number;
  /** Of the same family as `hostAddress`. */
  readonly address: string;
  readonly port: number;
  readonly count: number;
  /** May be reached at the container's own address by who gets that far. */
  readonly direct: boolean;
}

/** What one container may begin with another on a bridge whose containers may not talk to each other. IPv4 addresses. */
export interface LinkRule {
  readonly from: string;
  readonly to: string;
  readonly protocol: Protocol;
  readonly port: number;
}

export interface FirewallState {
  readonly bridges: readonly BridgeRules[];
  readonly ports: readonly PortRule[];
  readonly links: readonly LinkRule[];
}

/**
 * Packet rules of one daemon. Every change is one transaction: it happens as a whole or not at all, and no packet sees a half. Rules of others
 * are never touched; where their chains drop what they do not know, rules of ours say that our bridges may pass. Calls are synchronous: a change takes the kernel well under a millisecond.
 */
export interface Firewall {
  /** Adds or changes what holds for a bridge. */
  putBridge(rules: BridgeRules): void;
  /** Unknown is fine. */
  removeBridge(bridge: string): void;
  publish(ports: readonly PortRule[]): void;
  /** Unknown ones are fine. Flows that a removed port had opened for a connectionless protocol are forgotten. */
  unpublish(ports: readonly PortRule[]): void;
  /** Lets exactly these pass, and no others that were let before. */
  setLinks(links: readonly LinkRule[]): void;
  /** Makes the rules exactly these, changing nothing that is right; existing flows go on. Returns what was not as it should be, in words. */
  reconcile(state: FirewallState): string[];
  /** The same with what the rules should hold anyway. */
  mend(): string[];
  /**
   * Looks for chains of others that end what a bridge's containers forward, and lets it pass them where that is allowed, but to bridges of others
   * about which those chains have rules. Returns in words what it opened and, where it may not, what the operator can do.
   */
  openWay(bridge: string, othersBridges: readonly string[]): { readonly opened: readonly string[]; readonly closed: readonly string[] };
  /** Whether tables that somebody changed are ours, or such as may drop what ours let through. */
  concerns(tables: readonly string[]): { readonly own: boolean; readonly others: boolean };
  /** Removes every rule. None there is fine. */
  remove(): void;
}
