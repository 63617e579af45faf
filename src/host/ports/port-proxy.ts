import { closeSync, rmSync } from 'node:fs';
import type { HostListener } from '#core/host-ports.ts';
import { Poller } from '#host/sys/epoll.ts';
import { acceptFrom, connectTo, endpoint, peerFamily, sendAtOnce } from '#host/sys/inet-socket.ts';
import { passedDescriptors, receivePacket, sendPacket } from '#host/sys/message-socket.ts';
import { DatagramRelay, tellDestination } from './datagrams.ts';
import { decodePacket, encodePacket, type HeldListener, listenerKey, type ProxyAnswer, type ProxyRequest } from './protocol.ts';
import { Relay } from './relay.ts';

const acceptsAtOnce = 64;
const sweepMs = 10_000;
/** Parts of the answer to `list` stay well below the size of a packet. */
const listPart = 100;

interface Held {
  /** What it leads to may change. */
  listener: HostListener;
  /** In the order of the ports. */
  readonly fds: number[];
  /** By descriptor; of UDP ports that somebody has used. */
  readonly relays: Map<number, DatagramRelay>;
}

/**
 * The process that holds published ports and carries what packet rules cannot translate. It outlives the daemon and ends by itself when it holds
 * nothing and nobody is connected to its control socket. A single loop of system calls: it uses no event loop but its own.
 */
export class PortProxy {
  readonly #poller = new Poller();
  readonly #control: number;
  readonly #controlPath: string;
  /** What to do when a descriptor, which is the index, is ready; true when it wants to go on at once. */
  readonly #ready: (((fd: number) => boolean) | undefined)[] = [];
  readonly #held = new Map<string, Held>();
  #daemons = 0;
  /** Relays with clients that may have gone silent. */
  readonly #active = new Set<DatagramRelay>();
  #nextSweepMs = 0;

  constructor(control: number, controlPath: string) {
    this.#control = control;
    this.#controlPath = controlPath;
    this.#watch(control, () => this.#acceptDaemon());
  }

  run(): void {
    let busy = new Set<number>();
    // The daemon that started this process connected before: its connection waits to be accepted.
    let serving = true;
    while (serving) {
      const ready = this.#poller.wait(busy.size > 0 ? 0 : this.#active.size > 0 ? sweepMs : -1);
      const turn = new Set([...busy, ...ready]);
      busy = new Set([...turn].filter(fd => this.#ready[fd]?.(fd) === true));
      this.#endIdle();
      serving = this.#daemons > 0 || this.#held.size > 0;
    }
    rmSync(this.#controlPath, { force: true });
  }

  /** Not at every turn: a busy proxy has thousands in a second. */
  #endIdle(): void {
    const now = performance.now();
    if (now < this.#nextSweepMs) return;
    this.#nextSweepMs = now + sweepMs;
    for (const relay of this.#active) {
      relay.endIdle();
      if (relay.sessions === 0) this.#active.delete(relay);
    }
  }

  #watch(fd: number, ready: (fd: number) => boolean, options: { readonly writable?: boolean } = {}): void {
    this.#ready[fd] = ready;
    this.#poller.watch(fd, options);
  }

  #forget(fd: number): void {
    this.#ready[fd] = undefined;
  }

  #acceptDaemon(): boolean {
    const fd = acceptFrom(this.#control);
    if (fd === undefined) return false;
    this.#daemons += 1;
    this.#watch(fd, () => this.#serveDaemon(fd));
    return true;
  }

  #serveDaemon(fd: number): boolean {
    const packet = receivePacket(fd);
    if (packet === undefined) return false;
    if (packet.data.length === 0) {
      this.#daemons -= 1;
      this.#forget(fd);
      closeSync(fd);
      return false;
    }
    const descriptors = passedDescriptors(packet);
    const request = decodePacket<ProxyRequest>(packet.data);
    switch (request.type) {
      case 'hold':
        this.#hold(request.listener, descriptors);
        break;
      case 'redirect':
        this.#redirect(request.key, request.listener);
        break;
      case 'release':
        for (const key of request.keys) this.#release(key);
        this.#answer(fd, { number: request.number, last: true });
        break;
      case 'list':
        this.#list(fd, request.number);
        break;
    }
    return true;
  }

  #list(fd: number, number: number): void {
    const all = [...this.#held.values()].map(({ listener, fds }): HeldListener => ({ listener, complete: fds.length === listener.count }));
    for (let at = 0; at === 0 || at < all.length; at += listPart) {
      this.#answer(fd, { number, listeners: all.slice(at, at + listPart), last: at + listPart >= all.length });
    }
  }

  #answer(fd: number, answer: ProxyAnswer): void {
    try {
      sendPacket(fd, encodePacket(answer));
    } catch {
      // The daemon has gone; its connection says so next.
    }
  }

  #hold(listener: HostListener, fds: readonly number[]): void {
    const key = listenerKey(listener);
    const before = this.#held.get(key);
    if (before?.fds.length === listener.count) this.#release(key);
    const held = this.#held.get(key) ?? { listener, fds: [], relays: new Map<number, DatagramRelay>() };
    this.#held.set(key, held);
    const ready =
      listener.protocol === 'tcp' ? (fd: number) => this.#acceptClients(held, fd) : (fd: number) => this.#relay(held, fd).advance();
    for (const fd of fds) {
      held.fds.push(fd);
      if (listener.protocol === 'udp') tellDestination(fd, isIpv6(listener));
      this.#watch(fd, ready);
    }
  }

  /** The one of this port, made for its first datagram: ranges have thousands of ports, of which few are used. */
  #relay(held: Held, fd: number): DatagramRelay {
    const known = held.relays.get(fd);
    if (known !== undefined) return known;
    const relay: DatagramRelay = new DatagramRelay(fd, family => targetOf(held, fd, family), {
      began: (session, ready) => {
        this.#active.add(relay);
        this.#watch(session, ready);
      },
      ended: session => this.#forget(session),
    });
    held.relays.set(fd, relay);
    return relay;
  }

  #redirect(key: string, listener: HostListener): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    this.#held.set(listenerKey(listener), held);
    held.listener = listener;
    for (const relay of held.relays.values()) relay.restart();
  }

  /** Connections that are under way go on: they end with the container. */
  #release(key: string): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    for (const relay of held.relays.values()) {
      this.#active.delete(relay);
      relay.restart();
    }
    for (const fd of held.fds) {
      this.#forget(fd);
      closeSync(fd);
    }
  }

  #acceptClients(held: Held, fd: number): boolean {
    for (let count = 0; count < acceptsAtOnce; count++) {
      const client = acceptFrom(fd);
      if (client === undefined) return false;
      this.#join(client, held, fd);
    }
    return true;
  }

  #join(client: number, held: Held, fd: number): void {
    let server: number;
    try {
      server = connectTo('tcp', targetOf(held, fd, peerFamily(client)));
    } catch {
      closeSync(client);
      return;
    }
    sendAtOnce(client);
    sendAtOnce(server);
    const relay = new Relay(client, server);
    const advance = (): boolean => {
      const outcome = relay.advance();
      if (outcome === 'over') for (const fd of relay.descriptors) this.#forget(fd);
      return outcome === 'more';
    };
    this.#watch(client, advance, { writable: true });
    this.#watch(server, advance, { writable: true });
  }
}

const isIpv6 = ({ hostIp }: HostListener): boolean => hostIp === '*' || hostIp.includes(':');

/** Where clients of this family go that came to this descriptor. */
const targetOf = ({ listener: { addresses, port }, fds }: Held, fd: number, family: 4 | 6) =>
  endpoint(addresses[family], port + fds.indexOf(fd));
