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
  /** Addresses that somebody else gave it stay. */
  readonly keepsAddresses: boolean;
  /** Somebody else's: its size of packets stays as well. Default: ours. */
  readonly isAdopted?: boolean;
}

/** An interface of the host that interfaces of containers share. */
export interface ParentLink {
  readonly name: string;
  /**
   * What to make when there is no such interface: a VLAN of another interface, or one that leads nowhere. Undefined: it must be there, and it is
   * never removed.
   */
  readonly made: { readonly kind: 'vlan'; readonly on: string; readonly vlan: number } | { readonly kind: 'dummy' } | undefined;
}

/** A VXLAN interface that joins a bridge to bridges of the same network on other hosts (RFC 7348). */
export interface TunnelLink {
  readonly name: string;
  readonly bridge: string;
  /** The number of the network: 1 to 16777215. */
  readonly vni: number;
  /** UDP. */
  readonly port: number;
  readonly mtu: number;
  /** This host's address among its peers; undefined: the kernel's choice for each peer. */
  readonly local: string | undefined;
  /** Of the addresses of hosts. Default: 4. */
  readonly family?: 4 | 6;
}

/** What makes a tunnel's packets unreadable between hosts. */
export interface TunnelEncryption {
  readonly vni: number;
  /** UDP; nothing else on this host may use it. */
  readonly port: number;
  readonly local: string | undefined;
  readonly hosts: readonly string[];
  /** Each of 32 bytes at least, known to all hosts. The first is for sending, all are for receiving. None: nothing is sent or received. */
  readonly keys: readonly Uint8Array[];
}

/** Where frames for other hosts go. */
export interface TunnelPeers {
  /** Addresses of hosts that get what is for everybody, and for whomever nobody has heard of yet. */
  readonly hosts: readonly string[];
  /** Interfaces that are known to be at a host. */
  readonly interfaces: readonly { readonly mac: string; readonly host: string }[];
}

interface InterfaceInside {
  /** The end inside: `eth0`. */
  readonly name: string;
  /** Undefined: its parent's. */
  readonly mtu: number | undefined;
  /** With prefix length. */
  readonly addresses: readonly string[];
  /** Kernel settings of this interface by path below /proc/sys, such as `net/ipv4/conf/eth0/log_martians`. */
  readonly settings: Readonly<Record<string, string>>;
}

/** One end of a pair whose other end is a port of a bridge. */
export interface BridgedInterface extends InterfaceInside {
  readonly kind: 'bridged';
  readonly mtu: number;
  /** The end on the host. */
  readonly hostName: string;
  readonly bridge: string;
  readonly mac: string;
  /** What the container sends to the host may come straight back to it (its own published port). */
  readonly hairpin: boolean;
  /** Talks to the host's side of the bridge only, not to other isolated interfaces. */
  readonly isolated: boolean;
}

export type MacvlanMode = 'bridge' | 'private' | 'vepa' | 'passthru';
export type IpvlanMode = 'l2' | 'l3' | 'l3s';
export type IpvlanFlag = 'bridge' | 'private' | 'vepa';

/** A second address of the link that an interface of the host is on. */
export interface MacvlanInterface extends InterfaceInside {
  readonly kind: 'macvlan';
  readonly parent: string;
  readonly mode: MacvlanMode;
  readonly mac: string;
}

/** Shares the link address of an interface of the host. */
export interface IpvlanInterface extends InterfaceInside {
  readonly kind: 'ipvlan';
  readonly parent: string;
  readonly mode: IpvlanMode;
  readonly flag: IpvlanFlag;
}

/** One interface of a container. */
export type ContainerInterface = BridgedInterface | MacvlanInterface | IpvlanInterface;

/** An interface of the host, made by somebody else, that becomes a container's. */
export interface TakenInterface {
  /** Its name on the host. */
  readonly hostName: string;
  readonly name: string;
  /** Empty: it keeps its own. */
  readonly mac: string;
  readonly addresses: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
  /** Beside the one that its addresses make. `nextHop` undefined: on the link itself. */
  readonly routes: readonly { readonly destination: string; readonly nextHop: string | undefined }[];
}

export interface DefaultRoute {
  readonly family: 4 | 6;
  /** Name inside the container. */
  readonly link: string;
  /** Undefined: whoever it is for answers on the link itself. */
  readonly gateway: string | undefined;
}

/**
 * Links, addresses, routes and network namespaces of the kernel. Calls are synchronous where they are system calls of microseconds, and because
 * a namespace change must not be interrupted. A refusal carries the kernel's words.
 */
export interface NetworkDriver {
  /** Makes a bridge, or changes what differs on the one that is there. Rejects with Conflict when the name belongs to something else. Says whether it made one or found it down. */
  putBridge(bridge: BridgeLink): 'made' | 'raised' | 'found';
  /** Makes the link if that is asked, and takes it up. Rejects with NotFound when there is none; with NotImplemented when the kernel has no such links. True when it made one. */
  putParent(parent: ParentLink): boolean;
  /** Makes the tunnel, or changes what differs. Rejects with Conflict when another tunnel has its number. True when it made one. */
  putTunnel(tunnel: TunnelLink): boolean;
  /** Rejects with NotImplemented when the kernel cannot encrypt tunnels. */
  checkEncryption(): void;
  /** Makes the encryption of a tunnel exactly this; what is right stays. To be called before there is a tunnel. True when something was missing. */
  putEncryption(encryption: TunnelEncryption): boolean;
  /** To be called when the tunnel has gone. None there is fine. */
  removeEncryption(tunnel: Pick<TunnelEncryption, 'vni' | 'port'>): void;
  /** Makes the peers of a tunnel exactly these; what the kernel has learnt by itself stays. */
  putTunnelPeers(name: string, peers: TunnelPeers): void;
  /** Addresses of a bridge with prefix length, without link-local ones. Undefined when there is no bridge of that name. */
  bridgeAddresses(name: string): readonly string[] | undefined;
  /** Takes these addresses from it and leaves it to whoever made it. Not there is fine. */
  releaseBridge(name: string, addresses: readonly string[]): void;
  /** False when there was none. Like every removal of a link it takes the kernel tens of milliseconds, in which this thread goes on. */
  removeBridge(name: string): Promise<boolean>;
  /** Names of what is connected to a bridge; empty when there is none. */
  bridgePorts(name: string): string[];
  /** Names of all bridges of the host, whoever made them. */
  bridges(): string[];
  /** Names of all links, so that a name can be known to be free. */
  linkNames(): string[];
  /**
   * Makes a namespace with these interfaces and default routes and returns its path. The key becomes its file name. When a step fails
   * everything is undone. A namespace that has this key already is removed first. A user namespace that owns it is made with it
   * or joined; its path comes along.
   */
  createSandbox(
    key: string,
    interfaces: readonly ContainerInterface[],
    routes: readonly DefaultRoute[],
    owner?: UserNamespace,
  ): Promise<{ readonly path: string; readonly userNamespace?: string }>;
  /** Takes addresses and name away; interfaces go when the last process inside has gone. False when there was none. */
  removeSandbox(key: string): boolean;
  sandboxPath(key: string): string;
  sandboxes(): string[];
  /** When a step fails the caller removes what was made. */
  addInterface(key: string, added: ContainerInterface): void;
  /** Not there is fine. By its end on the host; else by its name inside. */
  removeInterface(key: string, link: { readonly hostName: string | undefined; readonly name: string }): Promise<void>;
  /** Takes an interface of the host into a sandbox and up; returns its link address. Rejects with NotFound when the host has none of that name. */
  takeIn(key: string, taken: TakenInterface): { readonly mac: string };
  /** Puts it back on the host under the name that it had there. Not in the sandbox is fine. */
  giveBack(key: string, link: { readonly name: string; readonly hostName: string }): void;
  /** By the end on the host. Not there is fine. */
  removeLink(name: string): Promise<void>;
  /** Makes the interface again when it is gone, and a port of its bridge again when it is not. True when there was something to do. */
  mendInterface(key: string, wanted: ContainerInterface): boolean;
  /** Changes the size of packets of both ends of an interface that is there. */
  setMtu(key: string, changed: ContainerInterface): void;
  /** Replaces the default routes; a family without a route is left as it is. */
  setDefaultRoutes(key: string, routes: readonly DefaultRoute[]): void;
  /** Networks that the host reaches already, in CIDR form, except through these links. */
  routedNetworks(exceptLinks: ReadonlySet<string | undefined>): string[];
  /** The link that the host's default route leads out by, and its largest packet; the narrower one of two. Undefined without a default route. */
  egress(): { readonly name: string; readonly mtu: number } | undefined;
  /** This host's address for what leaves by the default route; IPv4 if there is one. Undefined without a default route. */
  egressAddress(): string | undefined;
  /** Lets the host pass packets between its interfaces. Returns the kernel settings that it changed for that, as `name=value`. */
  enableForwarding(family: 4 | 6): string[];
  /** The host's own addresses that others can use to reach it. */
  hostAddresses(): string[];
}
