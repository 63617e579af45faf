import type { EndpointConfig, Protocol, SandboxRequest } from '#core/network.ts';

/** One subnet of a network (Engine API: IPAMConfig). Texts in canonical form; empty when not given. */
export interface IpamPool {
  readonly subnet: string;
  readonly ipRange: string;
  readonly gateway: string;
  /** Reserved addresses by the name they are reserved for. */
  readonly auxiliaryAddresses: Readonly<Record<string, string>>;
}

export type NetworkDriverName = 'bridge' | 'host' | 'null';

/** The durable record of a network. */
export interface Network {
  readonly id: string;
  readonly name: string;
  /** ISO. */
  readonly created: string;
  readonly driver: NetworkDriverName;
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly ipam: {
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
  /** What the options say, decided once. Undefined for the drivers without a bridge. */
  readonly bridge: BridgeSettings | undefined;
}

export interface BridgeSettings {
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  readonly masquerade: boolean;
  readonly icc: boolean;
  /** Where ports are published that name no host address; empty: everywhere. */
  readonly hostBindingIpv4: string;
  readonly gatewayMode: 'nat' | 'nat-unprotected' | 'isolated';
}

/** A container's place on one network while its sandbox exists. */
export interface Attachment {
  readonly networkId: string;
  readonly endpointId: string;
  readonly config: EndpointConfig;
  /** Names by which the resolver of the network knows it. */
  readonly dnsNames: readonly string[];
  /** Undefined on the drivers without a bridge. */
  readonly link: AttachedLink | undefined;
}

export interface AttachedLink {
  /** The end on the host. */
  readonly hostName: string;
  /** The end in the container. */
  readonly name: string;
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

/** A host port that leads to a container. */
export interface PublishedPort {
  readonly protocol: Protocol;
  readonly containerPort: number;
  /** `0.0.0.0`, `::` or one address of the host. */
  readonly hostIp: string;
  readonly hostPort: number;
}

/**
 * Everything that exists for one container's network, written before it is made and removed after it is gone: what a new daemon finds here it
 * keeps or takes away.
 */
export interface SandboxRecord {
  readonly request: SandboxRequest;
  /** By priority: the first that leads out gives the default route and carries the published ports. */
  readonly attachments: readonly Attachment[];
  readonly ports: readonly PublishedPort[];
}
