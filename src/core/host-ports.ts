import type { Protocol } from './network.ts';

/** A port of the host that leads to a container. */
export interface HostListener {
  readonly protocol: Protocol;
  /** `0.0.0.0`, `::` or one address of the host. */
  readonly hostIp: string;
  readonly hostPort: number;
  readonly address: string;
  readonly port: number;
}

export interface ListenerMove {
  readonly from: HostListener;
  readonly to: HostListener;
}

/**
 * Holds host ports so that no other process can take them, and carries what packet rules cannot translate (IPv6 clients of an IPv4 container).
 * Ports stay held while the daemon is dead.
 */
export interface HostPorts {
  /** Throws Conflict when another process has the port, FailedPrecondition when the address is not this host's. */
  open(listener: HostListener): void;
  /** What a port that is held leads to from now on: the same port with another container address. Connections under way go on. */
  redirect(moves: readonly ListenerMove[]): void;
  /** Resolves when the ports are free for others. Unknown ones are fine. */
  close(listeners: readonly HostListener[]): Promise<void>;
  /** After a daemon restart: holds exactly these. Returns in words what it could not hold any more and what it let go. */
  reconcile(listeners: readonly HostListener[]): Promise<string[]>;
  /** Whether IPv6 can be listened on at all. */
  readonly ipv6: boolean;
  /** Ports that are chosen from when none is given, first and last. */
  ephemeralRange(): readonly [first: number, last: number];
  /** Ports that the operator has reserved: never chosen, but allowed when asked for. */
  isReserved(port: number): boolean;
  /** Lets go of the proxy, which ends itself unless ports are still held. */
  stop(): Promise<void>;
}
