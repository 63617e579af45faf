import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { feedParser } from './takeover.ts';

/**
 * Knows every connection, whether a client has gone, and ends what is left at shutdown. A client that closes its sending side counts as gone for a plain
 * request: over TCP and unix sockets alike, that is all that can be seen of a client that went away.
 */
export class Connections {
  readonly #open = new Set<Socket>();
  readonly #goneListeners = new WeakMap<Socket, Set<() => void>>();
  readonly #gone = new WeakSet<Socket>();
  /** Requests under way. */
  readonly #busy = new WeakSet<Socket>();
  readonly #stopParsing = new WeakMap<Socket, () => void>();

  add(socket: Socket, http: Server): void {
    this.#open.add(socket);
    socket.once('end', () => this.#markGone(socket));
    socket.once('close', () => {
      this.#markGone(socket);
      this.#open.delete(socket);
    });
    this.#stopParsing.set(
      socket,
      feedParser(socket, http, () => this.#busy.has(socket)),
    );
  }

  /** Tells that bytes belong to this request until it is answered. */
  begin(message: IncomingMessage, response: ServerResponse): void {
    const socket = message.socket;
    this.#busy.add(socket);
    response.once('close', () => this.#busy.delete(socket));
    response.once('finish', () => this.#busy.delete(socket));
  }

  /** No HTTP any more: what comes is not parsed. */
  stopParsing(socket: Socket): void {
    this.#stopParsing.get(socket)?.();
  }

  /** Calls the listener once when the client of this request goes before it is answered. */
  onGone(message: IncomingMessage, response: ServerResponse | undefined, listener: () => void): void {
    const socket = message.socket;
    if (this.#gone.has(socket)) return listener();
    const listeners = this.#goneListeners.get(socket) ?? new Set();
    this.#goneListeners.set(socket, listeners);
    listeners.add(listener);
    response?.once('finish', () => listeners.delete(listener));
  }

  /** A hijacked connection's half-close is an end of input, not of interest. */
  forget(socket: Socket): void {
    this.#goneListeners.delete(socket);
    socket.once('close', () => this.#open.delete(socket));
  }

  get size(): number {
    return this.#open.size;
  }

  /** Tells every request that its client is gone, and cuts the connections. */
  destroyAll(): void {
    for (const socket of this.#open) {
      this.#markGone(socket);
      socket.destroy();
    }
  }

  #markGone(socket: Socket): void {
    if (this.#gone.has(socket)) return;
    this.#gone.add(socket);
    for (const listener of this.#goneListeners.get(socket) ?? []) listener();
    this.#goneListeners.delete(socket);
  }
}
