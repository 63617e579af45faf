import type { UserNamespace } from './id-map.ts';

/** Values that containers and networks exchange. Addresses are text in canonical form; prefix lengths are numbers. */

export interface EndpointConfig {
  readonly ipv4Address?: string;
  readonly ipv6Address?: string;
  readonly linkLocalIps?: readonly string[];
  readonly macAddress?: string;
  readonly aliases?: readonly string[];
  readonly links?: readonly string[];
  readonly driverOpts?: Readonly<Record<string, string>>;
  readonly gwPriority?: number;
}

/** An endpoint as inspect shows it; empty strings while the container does not run. */
export interface EndpointState {
  readonly networkId: string;
  readonly endpointId: string;
  readonly gateway: string;
  readonly ipAddress: string;
  readonly ipPrefixLength: number;
  readonly ipv6Gateway: string;
  readonly globalIpv6Address: string;
  readonly globalIpv6PrefixLength: number;
  readonly macAddress: string;
  readonly dnsNames: readonly string[];
}

export type Protocol = 'tcp' | 'udp' | 'sctp';

/** A host side of a published port as asked for: `hostPort` may be empty (any), one port or a range `8000-8010`. */
export interface PortBinding {
  readonly hostIp: string;
  readonly hostPort: string;
}

/** Keys look like `80/tcp`. */
export type PortMap = Readonly<Record<string, readonly PortBinding[]>>;

/** How a container is connected (Engine API: HostConfig.NetworkMode). */
export type NetworkMode =
  | { readonly mode: 'none' }
  | { readonly mode: 'host' }
  | { readonly mode: 'container'; readonly container: string }
  /** Networks by name or id; `default` and `bridge` name the default bridge. */
  | { readonly mode: 'networks' };

export interface SandboxRequest {
  readonly containerId: string;
  /** Without the leading slash. */
  readonly containerName: string;
  readonly hostname: string;
  readonly domainname: string;
  readonly mode: NetworkMode;
  /** By network name or id, as the user asked. */
  readonly endpoints: Readonly<Record<string, EndpointConfig>>;
  readonly portBindings: PortMap;
  /** Keys like `80/tcp` from image and container config. */
  readonly exposedPorts: readonly string[];
  readonly publishAllPorts: boolean;
  readonly dns: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly dnsSearch: readonly string[];
  /** `name:address`; the address may be `host-gateway`. */
  readonly extraHosts: readonly string[];
  /** Ids of containers on the default bridge whose exposed ports this one may reach whatever the bridge allows. */
  readonly linkedContainers?: readonly string[];
  /** Of the container, to own its network namespace. Undefined: the host's. */
  readonly userNamespace?: UserNamespace;
}

/**
 * Which network namespace a container runs in: a made one by its path (and that of the user namespace that owns it), a new one for the OCI runtime to
 * make (loopback only), or the host's.
 */
export type SandboxNamespace =
  | { readonly kind: 'path'; readonly path: string; readonly userNamespace?: string }
  | { readonly kind: 'new' }
  | { readonly kind: 'host' };

export interface Sandbox {
  /** The caller resolves `mode: 'container'` to the namespace of the other container itself. */
  readonly namespace: SandboxNamespace;
  /** By network name. */
  readonly endpoints: Readonly<Record<string, EndpointState>>;
  /** Published ports with the host ports that were chosen; exposed but unpublished ones map to an empty list. */
  readonly ports: PortMap;
  /** Contents for the container's /etc/hosts and /etc/resolv.conf. */
  readonly hosts: string;
  readonly resolvConf: string;
}
