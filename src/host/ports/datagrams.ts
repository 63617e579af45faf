import { closeSync } from 'node:fs';
import { connectTo, type Endpoint, familyOf, receive, sendDatagram, setOption } from '#host/sys/inet-socket.ts';
import { type ControlMessage, type Packet, receivePacket, sendPacket } from '#host/sys/message-socket.ts';

const IPPROTO_IP = 0;
const IP_PKTINFO = 8;
const IPPROTO_IPV6 = 41;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
/** A client that was silent for so long has to be taken for gone. */
const idleMs = 90_000;
const packetsAtOnce = 64;

interface Session {
  readonly fd: number;
  readonly client: Uint8Array;
  /** Which of the host's addresses the client wrote to: answers must come from it. */
  readonly answerFrom: ControlMessage | undefined;
  lastUsedMs: number;
}

/** What is read is passed on before anything else is read. */
const buffer = new Uint8Array(64 * 1024);

interface SessionEvents {
  /** With the descriptor of a new session, and what to do when it is readable. */
  began(fd: number, ready: () => boolean): void;
  ended(fd: number): void;
}

/** One published UDP port: a socket of its own towards the container for each client, by which answers find back. */
export class DatagramRelay {
  readonly #fd: number;
  readonly #targetFor: (family: 4 | 6) => Endpoint;
  readonly #byClient = new Map<string, Session>();
  readonly #sessionEvents: SessionEvents;

  /** `fd`: as `tellDestination` has made it; the caller closes it. */
  constructor(fd: number, targetFor: (family: 4 | 6) => Endpoint, sessionEvents: SessionEvents) {
    this.#fd = fd;
    this.#targetFor = targetFor;
    this.#sessionEvents = sessionEvents;
  }

  /** Passes on what clients sent. True when there is more than one turn allows. */
  advance(): boolean {
    for (let count = 0; count < packetsAtOnce; count++) {
      const packet = receivePacket(this.#fd);
      if (packet === undefined) return false;
      const session = this.#sessionOf(packet);
      if (session === undefined) continue;
      session.lastUsedMs = performance.now();
      sendDatagram(session.fd, packet.data);
    }
    return true;
  }

  get sessions(): number {
    return this.#byClient.size;
  }

  endIdle(): void {
    const oldest = performance.now() - idleMs;
    for (const [key, session] of this.#byClient) if (session.lastUsedMs < oldest) this.#end(key, session);
  }

  /** Every client begins anew: its old way leads to where nobody is any more. */
  restart(): void {
    for (const [key, session] of this.#byClient) this.#end(key, session);
  }

  #sessionOf(packet: Packet): Session | undefined {
    const answerFrom = packet.control.map(sourceFor).find(control => control !== undefined);
    const key = `${packet.from.toHex()} ${answerFrom?.data.toHex() ?? ''}`;
    const known = this.#byClient.get(key);
    if (known !== undefined) return known;
    try {
      const session = {
        fd: connectTo('udp', this.#targetFor(familyOf(packet.from))),
        client: packet.from,
        answerFrom,
        lastUsedMs: performance.now(),
      };
      this.#byClient.set(key, session);
      this.#sessionEvents.began(session.fd, () => this.#answer(key, session));
      return session;
    } catch {
      // No way to the container now: the datagram is lost, as datagrams may be.
      return undefined;
    }
  }

  /** Passes on what the container answered. */
  #answer(key: string, session: Session): boolean {
    try {
      for (let count = 0; count < packetsAtOnce; count++) {
        const length = receive(session.fd, buffer);
        if (length === undefined) return false;
        session.lastUsedMs = performance.now();
        const data = buffer.subarray(0, length);
        sendPacket(this.#fd, data, { to: session.client, ...(session.answerFrom === undefined ? {} : { control: session.answerFrom }) });
      }
      return true;
    } catch {
      // The container refuses, or the client cannot be reached: a new datagram begins anew.
      this.#end(key, session);
      return false;
    }
  }

  #end(key: string, session: Session): void {
    if (!this.#byClient.delete(key)) return;
    this.#sessionEvents.ended(session.fd);
    closeSync(session.fd);
  }
}

/** Packets on this socket say from now on which address of the host they were sent to. */
export function tellDestination(fd: number, ipv6: boolean): void {
  if (ipv6) setOption(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  else setOption(fd, IPPROTO_IP, IP_PKTINFO, 1);
}

/** The control message that makes an answer leave from the address a packet was sent to. */
function sourceFor({ level, type, data }: ControlMessage): ControlMessage | undefined {
  if (level === IPPROTO_IPV6 && type === IPV6_PKTINFO) {
    // in6_pktinfo: address, interface. The interface matters for link-local addresses only; else routing decides.
    const linkLocal = data[0] === 0xfe && ((data[1] ?? 0) & 0xc0) === 0x80;
    const answer = data.slice();
    if (!linkLocal) answer.fill(0, 16, 20);
    return { level, type, data: answer };
  }
  if (level === IPPROTO_IP && type === IP_PKTINFO) {
    // in_pktinfo: interface, local address to send from, destination of the packet received.
    const answer = new Uint8Array(12);
    answer.set(data.subarray(8, 12), 4);
    return { level, type, data: answer };
  }
  return undefined;
}
