import { formatIp, ipFromBytes } from '#base/ip.ts';
import type { Logger } from '#base/log.ts';
import type { PortRule } from '#core/firewall.ts';
import { NetlinkSocket, netlinkFamily } from '#host/sys/netlink.ts';
import { attribute, concat, parseAttributes } from './attributes.ts';
import { flags } from './rtnetlink.ts';

const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
const NLA_F_NESTED = 0x8000;
const headerBytes = 4;
const familyNumber = { 4: 2, 6: 10 } as const;
const protocolNumber = { tcp: 6, udp: 17, sctp: 132 } as const;

interface Tuple {
  readonly protocol: number;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

interface Flow {
  readonly family: number;
  /** The attribute as the kernel gave it, by which a flow is named. */
  readonly original: Uint8Array;
  readonly out: Tuple;
  readonly back: Tuple;
}

const collectMs = 20;

/** Forgets flows a moment later, for all that came until then at once: to look at every flow of the host takes milliseconds. */
export function createFlowForgetter(options: { readonly hostAddresses: () => readonly string[]; readonly log: Logger }) {
  let pending: PortRule[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const run = (): void => {
    const ports = pending;
    pending = [];
    timer = undefined;
    try {
      forgetFlows(ports, options.hostAddresses);
    } catch (err) {
      options.log.warn('flows of published ports could not be forgotten', { error: err });
    }
  };
  return (ports: readonly PortRule[]): void => {
    const udp = ports.filter(port => port.protocol === 'udp');
    if (udp.length === 0) return;
    pending.push(...udp);
    timer ??= setTimeout(run, collectMs);
  };
}

/**
 * Makes the kernel forget UDP flows of published ports: those that lead to these containers, and those to these ports of the host that were not
 * translated because they began before. Otherwise a client that keeps sending would keep its old way for ever. TCP ends by itself.
 */
export function forgetFlows(ports: readonly PortRule[], hostAddresses: () => readonly string[]): void {
  const udp = ports.filter(port => port.protocol === 'udp');
  if (udp.length === 0) return;
  using socket = new NetlinkSocket(netlinkFamily.netfilter);
  const own = new Set(hostAddresses());
  for (const family of [4, 6] as const) {
    if (!udp.some(port => port.address.includes(':') === (family === 6))) continue;
    for (const flow of listFlows(socket, family)) {
      if (udp.some(port => isTranslated(flow, port) || isUntranslated(flow, port, own))) deleteFlow(socket, flow);
    }
  }
}

const isTranslated = ({ out, back }: Flow, rule: PortRule): boolean =>
  out.protocol === protocolNumber.udp &&
  back.source === rule.address &&
  isWithin(back.sourcePort, rule.port, rule.count) &&
  isWithin(out.destinationPort, rule.hostPort, rule.count);

const isUntranslated = ({ out, back }: Flow, rule: PortRule, own: ReadonlySet<string>): boolean =>
  out.protocol === protocolNumber.udp &&
  isWithin(out.destinationPort, rule.hostPort, rule.count) &&
  out.destination === back.source &&
  (own.has(out.destination) || out.destination.startsWith('127.'));

const isWithin = (port: number, first: number, count: number): boolean => port >= first && port < first + count;

function listFlows(socket: NetlinkSocket, family: 4 | 6): Flow[] {
  const type = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET;
  const payload = Uint8Array.of(familyNumber[family], 0, 0, 0);
  return socket.request({ type, flags: flags.dump, payload }, 'list flows').flatMap(answer => {
    const found = parseAttributes(answer.subarray(headerBytes));
    const original = found.get(CTA_TUPLE_ORIG);
    const out = original === undefined ? undefined : parseTuple(original);
    const reply = found.get(CTA_TUPLE_REPLY);
    const back = reply === undefined ? undefined : parseTuple(reply);
    if (original === undefined || out === undefined || back === undefined) return [];
    return [{ family: familyNumber[family], original, out, back }];
  });
}

/** One that has ended meanwhile is fine. */
function deleteFlow(socket: NetlinkSocket, { family, original }: Flow): void {
  const type = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE;
  const payload = concat(Uint8Array.of(family, 0, 0, 0), attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, original));
  try {
    socket.request({ type, flags: flags.change, payload }, 'forget a flow');
  } catch (err) {
    if (!(err instanceof Error && 'code' in err && err.code === 'ENOENT')) throw err;
  }
}

function parseTuple(bytes: Uint8Array): Tuple | undefined {
  const found = parseAttributes(bytes);
  const ip = parseAttributes(found.get(CTA_TUPLE_IP) ?? new Uint8Array());
  const proto = parseAttributes(found.get(CTA_TUPLE_PROTO) ?? new Uint8Array());
  // Addresses of both families have their own numbers: source 1 or 3, destination 2 or 4.
  const source = ip.get(1) ?? ip.get(3);
  const destination = ip.get(2) ?? ip.get(4);
  if (source === undefined || destination === undefined) return undefined;
  return {
    protocol: proto.get(CTA_PROTO_NUM)?.[0] ?? 0,
    source: formatIp(ipFromBytes(source)),
    sourcePort: portOf(proto.get(CTA_PROTO_SRC_PORT)),
    destination: formatIp(ipFromBytes(destination)),
    destinationPort: portOf(proto.get(CTA_PROTO_DST_PORT)),
  };
}

/** Network byte order. */
const portOf = (data: Uint8Array | undefined): number => ((data?.[0] ?? 0) << 8) | (data?.[1] ?? 0);
