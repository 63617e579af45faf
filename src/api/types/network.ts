export interface PortBinding {
  HostIp?: string | undefined;
  HostPort?: string | undefined;
}

/** Keys like `80/tcp`. A port that is exposed but not published has null. */
export type PortMap = Record<string, PortBinding[] | null>;

export interface EndpointIpamConfig {
  IPv4Address?: string | undefined;
  IPv6Address?: string | undefined;
  LinkLocalIPs?: string[] | null | undefined;
}

/** How a container is joined to a network: as asked in requests, as it is in responses. */
export interface EndpointSettings {
  IPAMConfig?: EndpointIpamConfig | null | undefined;
  Links?: string[] | null | undefined;
  Aliases?: string[] | null | undefined;
  MacAddress?: string | undefined;
  DriverOpts?: Record<string, string> | null | undefined;
  GwPriority?: number | undefined;
  NetworkID?: string | undefined;
  EndpointID?: string | undefined;
  Gateway?: string | undefined;
  IPAddress?: string | undefined;
  IPPrefixLen?: number | undefined;
  IPv6Gateway?: string | undefined;
  GlobalIPv6Address?: string | undefined;
  GlobalIPv6PrefixLen?: number | undefined;
  DNSNames?: string[] | null | undefined;
}

export interface NetworkingConfig {
  EndpointsConfig?: Record<string, EndpointSettings | null> | null | undefined;
}

export interface Address {
  Addr: string;
  PrefixLen: number;
}

/** ContainerInspect.NetworkSettings. The fields from `EndpointID` to `MacAddress` repeat the default bridge's endpoint. */
export interface NetworkSettings {
  Bridge: string;
  SandboxID: string;
  SandboxKey: string;
  Ports: PortMap;
  HairpinMode: boolean;
  LinkLocalIPv6Address: string;
  LinkLocalIPv6PrefixLen: number;
  SecondaryIPAddresses: Address[] | null;
  SecondaryIPv6Addresses: Address[] | null;
  EndpointID: string;
  Gateway: string;
  GlobalIPv6Address: string;
  GlobalIPv6PrefixLen: number;
  IPAddress: string;
  IPPrefixLen: number;
  IPv6Gateway: string;
  MacAddress: string;
  Networks: Record<string, EndpointSettings>;
}

export interface IpamConfig {
  Subnet?: string | undefined;
  IPRange?: string | undefined;
  Gateway?: string | undefined;
  AuxiliaryAddresses?: Record<string, string> | null | undefined;
}

export interface Ipam {
  Driver?: string | undefined;
  Options?: Record<string, string> | null | undefined;
  Config?: IpamConfig[] | null | undefined;
}

/** POST /networks/create. */
export interface NetworkCreateRequest {
  Name: string;
  Driver?: string | undefined;
  Scope?: string | undefined;
  EnableIPv4?: boolean | null | undefined;
  EnableIPv6?: boolean | null | undefined;
  IPAM?: Ipam | null | undefined;
  Internal?: boolean | undefined;
  Attachable?: boolean | undefined;
  Ingress?: boolean | undefined;
  ConfigOnly?: boolean | undefined;
  ConfigFrom?: { Network?: string | undefined } | null | undefined;
  Options?: Record<string, string> | null | undefined;
  Labels?: Record<string, string> | null | undefined;
  /** Ignored: names are unique. */
  CheckDuplicate?: boolean | undefined;
}

export interface NetworkCreateResponse {
  Id: string;
  Warning: string;
}

/** A container joined to a network. Addresses carry their prefix length: `172.17.0.2/16`. */
export interface EndpointResource {
  Name: string;
  EndpointID: string;
  MacAddress: string;
  IPv4Address: string;
  IPv6Address: string;
}

/** GET /networks and /networks/{id}; the list leaves `Containers` empty from API 1.28 on. */
export interface Network {
  Name: string;
  Id: string;
  Created: string;
  Scope: string;
  Driver: string;
  EnableIPv4: boolean;
  EnableIPv6: boolean;
  IPAM: { Driver: string; Options: Record<string, string> | null; Config: IpamConfig[] | null };
  Internal: boolean;
  Attachable: boolean;
  Ingress: boolean;
  ConfigFrom: { Network: string };
  ConfigOnly: boolean;
  Options: Record<string, string> | null;
  Labels: Record<string, string> | null;
  Containers: Record<string, EndpointResource>;
}

export interface NetworkConnectRequest {
  Container: string;
  EndpointConfig?: EndpointSettings | null | undefined;
}

export interface NetworkDisconnectRequest {
  Container: string;
  Force?: boolean | undefined;
}

export interface NetworkPruneResponse {
  NetworksDeleted: string[] | null;
}
