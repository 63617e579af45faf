import type { AddressPoolSource } from './subnets.ts';

export interface NetworkOptions {
  /** Interface of the default bridge network; undefined: there is no such network, and who asks for it gets a loopback interface only. */
  readonly bridgeName: string | undefined;
  /** Address and prefix length of the default bridge; undefined: chosen from the pools. */
  readonly bip: string | undefined;
  /** Part of the default bridge's subnet that containers get addresses from. */
  readonly fixedCidr: string | undefined;
  readonly mtu: number;
  readonly icc: boolean;
  readonly masquerade: boolean;
  /** Turn on forwarding where it is off. */
  readonly forwarding: boolean;
  /** Where ports of the default bridge are published that name no address. */
  readonly hostBinding: string;
  /** Empty: the built-in ones. */
  readonly addressPools: readonly AddressPoolSource[];
  /** From which the IPv6 subnets of this engine are derived. */
  readonly engineId: string;
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
