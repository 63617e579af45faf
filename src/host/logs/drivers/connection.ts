import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { messageOf, unavailable } from '#base/errors.ts';

export type StreamAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'tls'; readonly host: string; readonly port: number; readonly options: () => ConnectionOptions }
  | { readonly kind: 'unix'; readonly path: string };

const connectMs = 10_000;

/** What a stream's receiver may still lose of what was written to it, when it goes away: what was written before counts as received. */
export const streamDoubtMs = 1000;

export interface ConnectionOptionsOf {
  /** A write that is not taken for so long is given up; undefined: never. */
  readonly writeTimeoutMs?: number;
  readonly onData?: (chunk: Buffer) => void;
}

/** A connection to a receiver, made when it is needed and made again after it was lost. */
export class Connection {
  readonly #address: StreamAddress;
  readonly #options: ConnectionOptionsOf;
  #socket: Socket | undefined;
  #onLost: (() => void) | undefined;
  #fail: ((err: Error) => void) | undefined;

  constructor(address: StreamAddress, options: ConnectionOptionsOf = {}) {
    this.#address = address;
    this.#options = options;
  }

  onLost(callback: () => void): void {
    this.#onLost = callback;
  }

  /** Rejects with Unavailable, in the words that Docker's clients know: `dial tcp 127.0.0.1:514: connect: connection refused`. */
  async connect(signal: AbortSignal): Promise<void> {
    if (this.#socket !== undefined) return;
    const socket = this.#dial();
    const opened = Promise.withResolvers<void>();
    const giveUp = (): void => opened.reject(signal.reason as Error);
    const timer = setTimeout(() => opened.reject(new Error('i/o timeout')), connectMs);
    socket.once(this.#address.kind === 'tls' ? 'secureConnect' : 'connect', () => opened.resolve());
    socket.once('error', err => opened.reject(err));
    socket.once('close', () => opened.reject(new Error('connection closed')));
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      await opened.promise;
    } catch (err) {
      socket.destroy();
      throw unavailable(`dial ${this.#name}: ${describe(err)}`, { cause: err });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
    }
    this.#socket = socket;
    socket.setKeepAlive(true, 30_000);
    socket.on('data', chunk => this.#options.onData?.(chunk as Buffer));
    socket.once('end', () => socket.destroy());
    socket.once('close', () => this.#lost(socket, new Error('the receiver closed the connection')));
    socket.on('error', err => this.#lost(socket, err));
  }

  /** Resolves when the kernel has taken all of it. Rejects when the connection is lost first, or with the caller's reason. */
  async write(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.connect(signal);
    await this.race(signal, this.#options.writeTimeoutMs, done => void this.#socket?.write(bytes, () => done()));
  }

  /** Begins something and waits until it calls back, the connection is lost, or the time is over. */
  async race(signal: AbortSignal, timeoutMs: number | undefined, begin: (done: () => void) => void): Promise<void> {
    const socket = this.#socket;
    if (socket === undefined) throw unavailable(`${this.#name}: the connection was lost`);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#fail = reject;
    const giveUp = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', giveUp, { once: true });
    const timer =
      timeoutMs === undefined || timeoutMs === 0
        ? undefined
        : setTimeout(() => this.#lost(socket, new Error(`the receiver took nothing for ${String(timeoutMs)} ms`)), timeoutMs);
    try {
      begin(resolve);
      await promise;
    } finally {
      this.#fail = undefined;
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
    }
  }

  close(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    // What is on its way is sent before the end.
    socket?.end();
    socket?.unref();
  }

  #dial(): Socket {
    const address = this.#address;
    if (address.kind === 'unix') return connectTcp({ path: address.path });
    const { host, port } = address;
    if (address.kind === 'tcp') return connectTcp({ host, port });
    return connectTls({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...address.options() });
  }

  #lost(socket: Socket, err: Error): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    socket.destroy();
    const failure = unavailable(`${this.#name}: ${describe(err)}`, { cause: err });
    if (this.#fail === undefined) this.#onLost?.();
    else {
      this.#onLost?.();
      this.#fail(failure);
    }
  }

  get #name(): string {
    const address = this.#address;
    if (address.kind === 'unix') return `unix ${address.path}`;
    return `tcp ${isIP(address.host) === 6 ? `[${address.host}]` : address.host}:${String(address.port)}`;
  }
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  ENOENT: 'connect: no such file or directory',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ETIMEDOUT: 'connect: connection timed out',
  ECONNRESET: 'connection reset by peer',
  EPIPE: 'broken pipe',
  ENOTFOUND: 'lookup: no such host',
};

function describe(err: unknown): string {
  const code = err instanceof Error && 'code' in err && typeof err.code === 'string' ? err.code : '';
  return words[code] ?? messageOf(err);
}
