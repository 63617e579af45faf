import type { EndpointConfig, PortMap, Protocol, SandboxRequest } from '#core/network.ts';
import type { IpvlanFlag, IpvlanMode, MacvlanMode, ParentLink } from '#core/network-driver.ts';
import type { JoinedEndpoint } from '#core/network-plugins.ts';

/** One subnet of a network (Engine API: IPAMConfig). Texts in canonical form; empty when not given. */
export interface IpamPool {
  readonly subnet: string;
  readonly ipRange: string;
  readonly gateway: string;
  /** Reserved addresses by the name they are reserved for. */
  readonly auxiliaryAddresses: Readonly<Record<string, string>>;
  /** Of a pool that a plugin keeps. */
  readonly remote?: RemotePoolSettings;
}

export interface RemotePoolSettings {
  readonly poolId: string;
  readonly addressSpace: string;
  /** Addresses that the network itself has taken. */
  readonly reserved: readonly string[];
}

/** The durable record of a network. */
export interface Network {
  readonly id: string;
  readonly name: string;
  /** ISO. */
  readonly created: string;
  /** `bridge`, `macvlan`, `ipvlan`, `overlay`, `host`, `null`, or a plugin's name. */
  readonly driver: string;
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly ipam: {
    /** `default`, `null` (no addresses at all), or a plugin's name. */
    readonly driver: string;
    readonly options: Readonly<Record<string, string>>;
    readonly pools: readonly IpamPool[];
    /** The user chose the subnets: only then may containers ask for addresses. */
    readonly chosenByUser: boolean;
  };
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** One of bridge, host and none, which always exist. */
  readonly predefined: boolean;
  /** Nothing but settings for other networks. */
  readonly configOnly: boolean;
  /** The name of the network that the settings come from; empty: its own. */
  readonly configFrom: string;
  /** What the options say, decided once. Undefined for the drivers without a bridge. */
  readonly bridge: BridgeSettings | undefined;
  /** Of macvlan and ipvlan. */
  readonly parent: ParentSettings | undefined;
  /** What joins the bridge to other hosts. */
  readonly overlay: OverlaySettings | undefined;
  /** Of networks whose driver is a plugin. Undefined in records of earlier daemons. */
  readonly plugin?: PluginSettings | undefined;
}

export interface PluginSettings {
  readonly scope: 'local' | 'global';
  /** `making`: the plugin may not know of it yet. `leaving`: it may know no more. Neither is anybody's network after a daemon's end. */
  readonly phase: 'making' | 'made' | 'leaving';
  /** The plugin was asked to allocate it, as a cluster would. */
  readonly allocated: boolean;
}

/**
 * How a bridge network leads out, for each family (Docker: gateway_mode). `nat`: behind the host's address, only published ports are reached from
 * outside. `nat-unprotected`: every port is, at the container's own address. `routed`: no translation, published ports are reached at the container's
 * own address. `isolated`: the host has no address on it.
 */
export type GatewayMode = 'nat' | 'nat-unprotected' | 'routed' | 'isolated';

export interface BridgeSettings {
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  /** Undefined `false` where the user said the size: otherwise it follows the host's way out. */
  readonly mtuFollows: boolean;
  readonly masquerade: boolean;
  readonly icc: boolean;
  /** Where ports are published that name no host address; empty: everywhere. */
  readonly hostBindingIpv4: string;
  readonly gatewayModes: Readonly<Record<4 | 6, GatewayMode>>;
  /** The bridge gets no IPv4 address, and keeps those that somebody gave it. */
  readonly inhibitIpv4: boolean;
  /** Interfaces of the host from which published ports may be reached at the container's own address. */
  readonly trustedInterfaces: readonly string[];
  /** Addresses that traffic leaves with, instead of that of the interface it leaves by; empty: none. */
  readonly hostAddresses: Readonly<Record<4 | 6, string>>;
  /** Somebody else made it, and it stays when the network goes. Undefined: ours. */
  readonly adopted?: {
    /** What it had before, with prefix length. */
    readonly addresses: readonly string[];
  };
}

export type ParentSettings = {
  readonly link: ParentLink;
  readonly mtu: number | undefined;
} & (
  | { readonly kind: 'macvlan'; readonly mode: MacvlanMode }
  | { readonly kind: 'ipvlan'; readonly mode: IpvlanMode; readonly flag: IpvlanFlag }
);

export interface OverlaySettings {
  readonly link: string;
  readonly vni: number;
  readonly port: number;
  /** Hosts that the user named; others may become known from elsewhere. */
  readonly peers: readonly string[];
  readonly local: string | undefined;
  /** Undefined: other hosts get packets that anybody can read. */
  readonly encryption?: {
    /** Empty: the keys come from the cluster. */
    readonly keyFile: string;
  };
}

/** A container's place on one network while its sandbox exists. */
export interface Attachment {
  readonly networkId: string;
  readonly endpointId: string;
  readonly config: EndpointConfig;
  /** Names by which the resolver of the network knows it. */
  readonly dnsNames: readonly string[];
  /** Undefined on the drivers without interfaces. */
  readonly link: AttachedLink | undefined;
  /** Made for the way out of networks that have none themselves; nobody asked for it and nobody sees it. */
  readonly implied: boolean;
  /** Of an endpoint of a plugin that the container has joined. */
  readonly joined?: JoinedAttachment;
}

export interface JoinedAttachment extends JoinedEndpoint {
  /** Published ports as the plugin tells of them. */
  readonly ports: PortMap;
}

export interface AttachedLink {
  /** The end on the host; undefined where there is none. */
  readonly hostName: string | undefined;
  /** The end in the container. */
  readonly name: string;
  /** Empty where it is its parent's. */
  readonly mac: string;
  readonly ipv4: AttachedAddress | undefined;
  readonly ipv6: AttachedAddress | undefined;
}

export interface AttachedAddress {
  readonly address: string;
  readonly prefixLength: number;
  /** Empty on an internal network without one. */
  readonly gateway: string;
}

/** Host ports that follow each other and lead to ports of a container that do. */
export interface PublishedPorts {
  readonly protocol: Protocol;
  readonly containerPort: number;
  /** `0.0.0.0`, `::` or one address of the host. */
  readonly hostIp: string;
  /** 0: none. The ports are reached at the container's own address. */
  readonly hostPort: number;
  readonly count: number;
}

/**
 * Everything that exists for one container's network, written before it is made and removed after it is gone: what a new daemon finds here it
 * keeps or takes away.
 */
export interface SandboxRecord {
  readonly request: SandboxRequest;
  /** By priority: the first that leads out gives the default route and carries the published ports. */
  readonly attachments: readonly Attachment[];
  readonly ports: readonly PublishedPorts[];
}
