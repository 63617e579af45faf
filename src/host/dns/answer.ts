import * as dns from 'dns-packet';
import { formatIp, ipFromBytes } from '#base/ip.ts';
import type { NameLookup } from '#core/name-server.ts';

const ttlSeconds = 600;
const rcodeServfail = 2;
const rcodeFormatError = 1;
const smallestUdpPayload = 512;

/** What a packet asks. */
export interface Query {
  readonly packet: dns.DecodedPacket;
  readonly name: string;
  readonly type: string;
  /** How large an answer in one datagram may be. */
  readonly udpBytes: number;
  readonly hasEdns: boolean;
}

/** What we take in one datagram passes every link of IPv6 (DNS flag day 2020). */
const ednsOption: dns.OptAnswer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: 1232,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

/** Undefined for what is not a question. */
export function parseQuery(bytes: Uint8Array): Query | undefined {
  let packet: dns.DecodedPacket;
  try {
    packet = dns.decode(Buffer.from(bytes));
  } catch {
    return undefined;
  }
  const [question] = packet.questions ?? [];
  if (packet.type !== 'query' || question === undefined) return undefined;
  const options = packet.additionals?.find(record => record.type === 'OPT');
  const udpBytes = Math.max(smallestUdpPayload, options?.type === 'OPT' ? options.udpPayloadSize : 0);
  return { packet, name: question.name, type: question.type, udpBytes, hasEdns: options !== undefined };
}

/** The answer if the name is one of the container's networks; undefined: somebody else has to be asked. */
export function answerLocally(query: Query, containerId: string, lookup: NameLookup): Uint8Array | undefined {
  const name = query.name.replace(/\.$/, '');
  if (query.type === 'PTR') {
    const address = reversedAddress(name);
    const target = address === undefined ? undefined : lookup.nameOf(containerId, address);
    return target === undefined ? undefined : respond(query, [{ type: 'PTR', name: query.name, ttl: ttlSeconds, data: target }]);
  }
  const ipv4 = lookup.addresses(containerId, name, 4);
  if (ipv4 === undefined) return undefined;
  // A name that is known is known for every type: what it lacks is an empty answer, never a question to somebody else.
  switch (query.type) {
    case 'A':
      return respond(
        query,
        shuffle(ipv4).map(data => ({ type: 'A', name: query.name, ttl: ttlSeconds, data })),
      );
    case 'AAAA': {
      const ipv6 = lookup.addresses(containerId, name, 6) ?? [];
      return respond(
        query,
        shuffle(ipv6).map(data => ({ type: 'AAAA', name: query.name, ttl: ttlSeconds, data })),
      );
    }
    default:
      return respond(query, []);
  }
}

/** A question for addresses of a name without a dot. */
export const isSingleLabel = ({ name, type }: Query): boolean =>
  (type === 'A' || type === 'AAAA') && !name.replace(/\.$/, '').includes('.');

/** No error, and no answer: as Docker's resolver says it, so that clients go on with their search list. */
export const nothingKnown = (query: Query): Uint8Array => respond(query, []);

export const serverFailure = (query: Query): Uint8Array => respond(query, [], rcodeServfail);

/** To bytes that are not a question: at least the number they begin with comes back. */
export function formatError(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length < 12) return undefined;
  const answer = new Uint8Array(12);
  answer.set(bytes.subarray(0, 2));
  answer[2] = 0x80;
  answer[3] = rcodeFormatError;
  return answer;
}

/** A datagram that is too long says so and carries nothing; the client then asks over TCP. */
export function fitDatagram(query: Query, answer: Uint8Array): Uint8Array {
  return answer.length <= query.udpBytes ? answer : respond(query, [], 0, dns.TRUNCATED_RESPONSE);
}

function respond(query: Query, answers: readonly dns.Answer[], rcode = 0, extraFlags = 0): Uint8Array {
  const { id, flags = 0, questions = [] } = query.packet;
  return dns.encode({
    type: 'response',
    ...(id === undefined ? {} : { id }),
    flags: (flags & dns.RECURSION_DESIRED) | dns.RECURSION_AVAILABLE | extraFlags | rcode,
    questions,
    answers: [...answers],
    // Who speaks EDNS hears that we do (RFC 6891, 6.1.1).
    additionals: query.hasEdns ? [ednsOption] : [],
  });
}

/** The address in a name below in-addr.arpa or ip6.arpa. */
function reversedAddress(name: string): string | undefined {
  const lower = name.toLowerCase();
  if (lower.endsWith('.in-addr.arpa')) return lower.slice(0, -'.in-addr.arpa'.length).split('.').reverse().join('.');
  if (!lower.endsWith('.ip6.arpa')) return undefined;
  const digits = lower.slice(0, -'.ip6.arpa'.length).split('.').reverse().join('');
  return /^[0-9a-f]{32}$/.test(digits) ? formatIp(ipFromBytes(Uint8Array.fromHex(digits))) : undefined;
}

/** So that clients that take the first spread over all. */
function shuffle<T>(items: readonly T[]): T[] {
  const shuffled = [...items];
  for (let at = shuffled.length - 1; at > 0; at--) {
    const other = Math.floor(Math.random() * (at + 1));
    [shuffled[at], shuffled[other]] = [shuffled[other] as T, shuffled[at] as T];
  }
  return shuffled;
}
