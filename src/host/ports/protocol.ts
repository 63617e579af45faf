import type { HostListener } from '#core/host-ports.ts';

/**
 * What the daemon and its port proxy say to each other, one JSON object per packet. Ports are opened by whoever needs them and handed over as
 * descriptors beside `hold`, in the order of its listeners; the proxy answers `release` and `list`, each with the number of the request.
 */
export type ProxyRequest =
  | { readonly type: 'hold'; readonly listeners: readonly HostListener[] }
  | { readonly type: 'redirect'; readonly key: string; readonly listener: HostListener }
  | { readonly type: 'release'; readonly number: number; readonly keys: readonly string[] }
  | { readonly type: 'list'; readonly number: number };

export interface ProxyAnswer {
  readonly number: number;
  /** The answer to `list` comes in parts; the last one says so. */
  readonly listeners?: readonly HostListener[];
  readonly last: boolean;
}

/** The same port for another container is another listener. */
export const listenerKey = ({ protocol, hostIp, hostPort, address, port }: HostListener): string =>
  `${protocol} ${hostIp} ${String(hostPort)} ${address} ${String(port)}`;

export const encodePacket = (value: ProxyRequest | ProxyAnswer): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
export const decodePacket = <T>(data: Uint8Array): T => JSON.parse(new TextDecoder().decode(data)) as T;
