import { EngineError, type ErrorOptions } from '#base/errors.ts';
import type { PortMap, Protocol } from './network.ts';

/** A pool of addresses as the driver of a network hears of it. Texts with prefix length; empty where there is none. */
export interface RemotePool {
  readonly addressSpace: string;
  readonly pool: string;
  readonly gateway: string;
  /** Reserved addresses by the name they are reserved for. */
  readonly auxiliary: Readonly<Record<string, string>>;
}

export interface RemoteNetwork {
  readonly id: string;
  readonly options: Readonly<Record<string, string>>;
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  readonly internal: boolean;
  readonly pools: Readonly<Record<4 | 6, readonly RemotePool[]>>;
}

export interface RemoteEndpoint {
  readonly networkId: string;
  readonly endpointId: string;
}

/** With prefix length; empty where there is none. */
export interface EndpointAddresses {
  readonly ipv4: string;
  readonly ipv6: string;
  readonly mac: string;
}

/** Ports that a container wants to be reached at. */
export interface WantedPorts {
  readonly exposed: readonly { readonly protocol: Protocol; readonly port: number }[];
  readonly bindings: readonly {
    readonly protocol: Protocol;
    readonly port: number;
    /** Empty: every address of the host. */
    readonly hostIp: string;
    /** First and last; 0: any. */
    readonly hostPorts: readonly [first: number, last: number];
  }[];
}

/** What a driver says of an endpoint that a container has joined. */
export interface JoinedEndpoint {
  /** The interface of the host that becomes the container's; empty: the driver has seen to it itself. */
  readonly sourceName: string;
  /** What its name in the container begins with. */
  readonly prefix: string;
  /** Empty: none. */
  readonly gateways: Readonly<Record<4 | 6, string>>;
  readonly routes: readonly { readonly destination: string /** Undefined: on the link itself. */; readonly nextHop: string | undefined }[];
  /** The container needs no way out by another network. */
  readonly isComplete: boolean;
}

/** A call that takes something back. Telling it twice does no harm. */
export type RemoteUndo =
  | { readonly call: 'DeleteNetwork' | 'FreeNetwork'; readonly networkId: string }
  | { readonly call: 'RevokeExternalConnectivity' | 'Leave' | 'DeleteEndpoint'; readonly networkId: string; readonly endpointId: string }
  | { readonly call: 'ReleaseAddress'; readonly poolId: string; readonly address: string }
  | { readonly call: 'ReleasePool'; readonly poolId: string };

/**
 * A plugin has refused (kind FailedPrecondition), or is not there, breaks off or takes too long (Unavailable). The message names the plugin and the
 * call.
 */
export class PluginFailure extends EngineError {
  constructor(kind: 'FailedPrecondition' | 'Unavailable', message: string, options: ErrorOptions = {}) {
    super(kind, message, options);
    this.name = 'PluginFailure';
  }
}

/** Networks of a plugin (Docker: remote network driver). Every call rejects with PluginFailure. */
export interface RemoteNetworkDriver {
  readonly name: string;
  /** `global`: its networks are the same on every host. */
  readonly scope: 'local' | 'global';
  /** What a cluster would ask for a global network, with options that go along with `createNetwork`. Undefined: the plugin does not do that. */
  allocateNetwork(network: RemoteNetwork): Promise<Readonly<Record<string, string>> | undefined>;
  /** For which families no gateway has to be reserved. */
  withoutGateway(network: Omit<RemoteNetwork, 'pools'>): Promise<Readonly<Record<4 | 6, boolean>>>;
  createNetwork(network: RemoteNetwork): Promise<void>;
  /** Returns what it has chosen where nothing was given. Rejects when it wants to change what was given. */
  createEndpoint(
    endpoint: RemoteEndpoint,
    given: EndpointAddresses,
    /** `ports` undefined: the network leads nowhere. */
    options: { readonly ports: WantedPorts | undefined; readonly driverOpts: Readonly<Record<string, string>> },
  ): Promise<EndpointAddresses>;
  join(endpoint: RemoteEndpoint, sandboxPath: string, ports: WantedPorts): Promise<JoinedEndpoint>;
  /** Makes the published ports reachable; a plugin that does not know the call has nothing to do with ports. */
  openPorts(endpoint: RemoteEndpoint, ports: WantedPorts): Promise<void>;
  /** Published ports as the plugin tells of them; empty where it does not. */
  portsOf(endpoint: RemoteEndpoint): Promise<PortMap>;
  undo(call: RemoteUndo): Promise<void>;
}

/** Addresses of a plugin (Docker: remote IPAM driver). Every call rejects with PluginFailure. */
export interface RemoteIpam {
  readonly name: string;
  /** Wants to know the link address that an address is for. */
  readonly needsMac: boolean;
  /** Keeps nothing: what is in use is asked for again when the daemon starts. */
  readonly needsReplay: boolean;
  readonly addressSpaces: { readonly local: string; readonly global: string };
  /** `gateway`: what the plugin has reserved for it, with prefix length; empty: it is asked for like any other address. */
  requestPool(wanted: {
    readonly addressSpace: string;
    readonly subnet: string;
    readonly range: string;
    readonly options: Readonly<Record<string, string>>;
    readonly family: 4 | 6;
  }): Promise<{ readonly poolId: string; readonly subnet: string; readonly gateway: string }>;
  /** With prefix length. `address` empty: any. */
  requestAddress(poolId: string, address: string, purpose: { readonly gateway?: boolean; readonly mac?: string }): Promise<string>;
  undo(call: RemoteUndo): Promise<void>;
}

/** Plugins for networks and addresses: they come and go. */
export interface NetworkPlugins {
  /** Rejects with NotFound when nothing of that name is there, or it is for something else; with PluginFailure when it does not answer. */
  network(name: string, options?: { readonly isPatient?: boolean }): Promise<RemoteNetworkDriver>;
  ipam(name: string, options?: { readonly isPatient?: boolean }): Promise<RemoteIpam>;
}
