import type { HostListener } from '#core/host-ports.ts';

/**
 * What the daemon and its port proxy say to each other, one JSON object per packet. Ports are opened by whoever needs them and handed over as
 * descriptors beside `hold`, in their order, as many packets as that takes; the proxy answers `release` and `list`, each with the number of the request.
 */
export type ProxyRequest =
  | { readonly type: 'hold'; readonly listener: HostListener }
  | { readonly type: 'redirect'; readonly key: string; readonly listener: HostListener }
  | { readonly type: 'release'; readonly number: number; readonly keys: readonly string[] }
  | { readonly type: 'list'; readonly number: number };

export interface ProxyAnswer {
  readonly number: number;
  /** The answer to `list` comes in parts; the last one says so. */
  readonly listeners?: readonly HeldListener[];
  readonly last: boolean;
}

export interface HeldListener {
  readonly listener: HostListener;
  /** All of its ports are here: a daemon that was killed may have handed over a part. */
  readonly complete: boolean;
}

/** The same ports for another container are another listener. */
export const listenerKey = ({ protocol, hostIp, hostPort, count, addresses, port }: HostListener): string =>
  [protocol, hostIp, hostPort, count, addresses[4], addresses[6], port].join(' ');

export const encodePacket = (value: ProxyRequest | ProxyAnswer): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
export const decodePacket = <T>(data: Uint8Array): T => JSON.parse(new TextDecoder().decode(data)) as T;
