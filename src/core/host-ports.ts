import type { Protocol } from './network.ts';

/** Ports of the host that follow each other and lead to ports of a container that do. */
export interface HostListener {
  readonly protocol: Protocol;
  /** `0.0.0.0`, `::`, one address of the host, or `*` for every address of both families. */
  readonly hostIp: string;
  readonly hostPort: number;
  readonly count: number;
  /** Of the container, by the family that clients speak. */
  readonly addresses: Readonly<Record<4 | 6, string>>;
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
  /** All of its ports or none. Throws Conflict when another process has one, FailedPrecondition when the address is not this host's. */
  open(listener: HostListener): void;
  /** What ports that are held lead to from now on: the same ports with another container address. Connections under way go on. */
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
  reservedRanges(): readonly (readonly [first: number, last: number])[];
  /** Lets go of the proxy, which ends itself unless ports are still held. */
  stop(): Promise<void>;
}
