import type { Options } from './option-values.ts';
import type { PoolOptions } from './subnets.ts';

export interface NetworkOptions extends PoolOptions {
  /** Interface of the default bridge network; undefined: there is no such network, and who asks for it gets a loopback interface only. */
  readonly bridgeName: string | undefined;
  /** The operator chose it: a bridge of the host that has that name is used as it is, and stays. */
  readonly bridgeIsGiven: boolean;
  /** Address and prefix length of the default bridge; undefined: chosen from the pools. */
  readonly bip: string | undefined;
  /** Part of the default bridge's subnet that containers get addresses from. */
  readonly fixedCidr: string | undefined;
  /** The same for IPv6, where that is turned on. Without either the subnet is derived from the engine's id. */
  readonly bip6: string | undefined;
  readonly fixedCidrV6: string | undefined;
  /** The default bridge has IPv6. */
  readonly ipv6: boolean;
  /** Where containers of the default bridge send what leads out, if not to the bridge. */
  readonly defaultGateways: Readonly<Record<4 | 6, string | undefined>>;
  /** Undefined: as the link that the host's default route leads out by. */
  readonly mtu: number | undefined;
  readonly icc: boolean;
  readonly masquerade: boolean;
  /** Turn on forwarding where it is off. */
  readonly forwarding: boolean;
  /** Where ports of the default bridge are published that name no address. */
  readonly hostBinding: string;
  /** Options of new networks that do not have them, by driver. */
  readonly defaultNetworkOptions: Readonly<Record<string, Options>>;
  /** Published ports are reached at the container's own address too by whoever routes there. */
  readonly allowDirectRouting: boolean;
  /** What `host-gateway` stands for; empty: the gateways of the default bridge. */
  readonly hostGateways: readonly string[];
  /** For containers that name none. */
  readonly dns: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly dnsSearch: readonly string[];
}

/** The host's own files, read anew at each call. */
export interface HostFiles {
  hosts(): string;
  resolvConf(): string;
}
