import { closeSync, rmSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { HostListener } from '#core/host-ports.ts';
import { connectForPackets, listenForPackets, mostDescriptors, passingDescriptors, sendPacket } from '#host/sys/message-socket.ts';
import { selfCommand } from '#host/sys/self.ts';
import { adoptSocket } from '#host/sys/unix-socket.ts';
import { decodePacket, encodePacket, type HeldListener, type ProxyAnswer, type ProxyRequest } from './protocol.ts';

const retryMs = 5;
const startDelayMs = 50;
/** So that a packet stays well below what the socket's buffer takes. */
const keysAtOnce = 500;

interface Waiting {
  readonly listeners: HeldListener[];
  readonly resolve: (listeners: HeldListener[]) => void;
  readonly reject: (reason: Error) => void;
}

interface Unsent {
  readonly request: ProxyRequest;
  /** Go with it, and are closed then. */
  readonly fds: readonly number[];
}

/**
 * The daemon's side of the control socket. Requests are packets the kernel keeps until the proxy reads them, so that nobody waits for the proxy
 * to start, and a port handed over stays held even if the daemon is killed in that moment.
 */
export class ProxyConnection {
  readonly #fd: number;
  readonly #waiting = new Map<number, Waiting>();
  readonly #unsent: Unsent[] = [];
  #flushing = false;
  readonly #socket: Promise<Bun.Socket>;
  readonly #ended = Promise.withResolvers<void>();
  #number = 0;
  #open = true;

  constructor(fd: number) {
    this.#fd = fd;
    this.#socket = adoptSocket({
      fd,
      socket: { data: (_socket, data) => this.#receive(data), close: () => this.#end(), error: () => this.#end() },
    });
  }

  /** To the proxy that runs already; undefined when none does. */
  static connect(path: string): ProxyConnection | undefined {
    try {
      return new ProxyConnection(connectForPackets(path));
    } catch (err) {
      if (isErrno(err, 'ENOENT', 'ECONNREFUSED')) return undefined;
      throw err;
    }
  }

  /**
   * Makes the control socket and, a moment later, starts a proxy in a session of its own: it must outlive this process. Not at once, because
   * a container is being started just now and should not have to share the machine with it.
   */
  static start(path: string, log: Logger): ProxyConnection {
    rmSync(path, { force: true });
    const control = listenForPackets(path);
    const connection = new ProxyConnection(connectForPackets(path));
    setTimeout(() => {
      try {
        const child = Bun.spawn(selfCommand('internal-port-proxy', path), {
          stdio: ['ignore', 'ignore', 'ignore', control],
          detached: true,
        });
        child.unref();
        log.debug('started the port proxy', { pid: child.pid });
      } catch (err) {
        log.error('the port proxy does not start: published ports do not answer on IPv6', { error: err });
      } finally {
        closeSync(control);
      }
    }, startDelayMs);
    return connection;
  }

  /** Resolves when the proxy has gone. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Hands the descriptors of a listener over. They belong to the proxy from now on. */
  hold(listener: HostListener, fds: readonly number[]): void {
    for (let at = 0; at < fds.length; at += mostDescriptors) this.#send({ type: 'hold', listener }, fds.slice(at, at + mostDescriptors));
  }

  redirect(key: string, listener: HostListener): void {
    this.#send({ type: 'redirect', key, listener });
  }

  async release(keys: readonly string[]): Promise<void> {
    const parts = Array.from({ length: Math.ceil(keys.length / keysAtOnce) }, (_, part) =>
      keys.slice(part * keysAtOnce, (part + 1) * keysAtOnce),
    );
    await Promise.all(parts.map(part => this.#ask(number => ({ type: 'release', number, keys: part }))));
  }

  list(): Promise<HeldListener[]> {
    return this.#ask(number => ({ type: 'list', number }));
  }

  async close(): Promise<void> {
    (await this.#socket).end();
  }

  #ask(request: (number: number) => ProxyRequest): Promise<HeldListener[]> {
    const number = this.#number++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { listeners: [], resolve, reject });
      this.#send(request(number));
    });
  }

  #send(request: ProxyRequest, fds: readonly number[] = []): void {
    this.#unsent.push({ request, fds });
    if (this.#flushing) return;
    this.#flushing = true;
    this.#flush();
  }

  /** In order; a full queue is tried again a moment later. */
  #flush(): void {
    for (;;) {
      const [next] = this.#unsent;
      if (next === undefined || !this.#open) {
        this.#flushing = false;
        return;
      }
      const options = next.fds.length === 0 ? {} : { control: passingDescriptors(next.fds) };
      try {
        if (!sendPacket(this.#fd, encodePacket(next.request), options)) {
          setTimeout(() => this.#flush(), retryMs);
          return;
        }
      } catch {
        return this.#end();
      }
      for (const fd of next.fds) closeSync(fd);
      this.#unsent.shift();
    }
  }

  #receive(data: Uint8Array): void {
    const answer = decodePacket<ProxyAnswer>(data);
    const waiting = this.#waiting.get(answer.number);
    if (waiting === undefined) return;
    waiting.listeners.push(...(answer.listeners ?? []));
    if (!answer.last) return;
    this.#waiting.delete(answer.number);
    waiting.resolve(waiting.listeners);
  }

  #end(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const { fds } of this.#unsent.splice(0)) for (const fd of fds) closeSync(fd);
    for (const { reject } of this.#waiting.values()) reject(new Error('the port proxy has ended'));
    this.#waiting.clear();
    this.#ended.resolve();
  }
}
