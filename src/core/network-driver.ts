import type { UserNamespace } from './id-map.ts';

/** A bridge of the host and its own addresses. */
export interface BridgeLink {
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  /** With prefix length: `172.17.0.1/16`. */
  readonly addresses: readonly string[];
  /** Sends what its isolated interfaces have for each other through the host, where packet rules decide. */
  readonly routesNeighbours: boolean;
}

/** One interface of a container, with its other end on a bridge. */
export interface ContainerInterface {
  /** The end on the host. */
  readonly hostName: string;
  readonly bridge: string;
  /** The end inside: `eth0`. */
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  /** With prefix length. */
  readonly addresses: readonly string[];
  /** What the container sends to the host may come straight back to it (its own published port). */
  readonly hairpin: boolean;
  /** Talks to the host's side of the bridge only, not to other isolated interfaces. */
  readonly isolated: boolean;
}

/**
 * Links, addresses, routes and network namespaces of the kernel. Calls are synchronous where they are system calls of microseconds, and because
 * a namespace change must not be interrupted. A refusal carries the kernel's words.
 */
export interface NetworkDriver {
  /** Makes a bridge, or changes what differs on the one that is there. Rejects with Conflict when the name belongs to something else. */
  putBridge(bridge: BridgeLink): void;
  /** False when there was none. Like every removal of a link it takes the kernel tens of milliseconds, in which this thread goes on. */
  removeBridge(name: string): Promise<boolean>;
  /** Names of what is connected to a bridge; empty when there is none. */
  bridgePorts(name: string): string[];
  /** Names of all links, so that a name can be known to be free. */
  linkNames(): string[];
  /**
   * Makes a namespace with these interfaces and default gateways and returns its path. The key becomes its file name. When a step fails
   * everything is undone. A namespace that has this key already is removed first. A user namespace that owns it is made with it
   * or joined; its path comes along.
   */
  createSandbox(
    key: string,
    interfaces: readonly ContainerInterface[],
    gateways: readonly string[],
    owner?: UserNamespace,
  ): Promise<{ readonly path: string; readonly userNamespace?: string }>;
  /** Takes addresses and name away; interfaces go when the last process inside has gone. False when there was none. */
  removeSandbox(key: string): boolean;
  sandboxPath(key: string): string;
  sandboxes(): string[];
  /** When a step fails the caller removes what was made. */
  addInterface(key: string, added: ContainerInterface): void;
  /** Not there is fine. */
  removeInterface(hostName: string): Promise<void>;
  /** Replaces the default routes; a family without a gateway is left as it is. */
  setGateways(key: string, gateways: readonly string[]): void;
  /** Networks that the host reaches already, in CIDR form, except through these links. */
  routedNetworks(exceptLinks: ReadonlySet<string | undefined>): string[];
  /** Lets the host pass packets between its interfaces. Returns the kernel settings that it changed for that, as `name=value`. */
  enableForwarding(family: 4 | 6): string[];
  /** The host's own addresses that others can use to reach it. */
  hostAddresses(): string[];
}
