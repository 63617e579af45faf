import { closeSync } from 'node:fs';
import { isErrno, notFound } from '#base/errors.ts';
import type { ProcessIo, ProcessStreams } from '#core/runtime.ts';
import { adoptSocket, connectSeqpacket, duplicate, shutdownSocket } from '#host/sys/unix-socket.ts';
import { files } from './layout.ts';

type Listener = Parameters<ProcessStreams['onOutput']>[0];

// conmon reads stdin in packets of at most 32 767 bytes and drops the rest of a longer one.
const stdinPacketBytes = 32_000;
const stderrMark = 3;

export interface Attachable {
  readonly directory: string;
  readonly io: ProcessIo;
  /** The end of its monitor. */
  readonly ended: Promise<unknown>;
}

/**
 * Attaches to processes, with one connection to the monitor for all who are attached to the same process: conmon takes up one connection
 * between two pieces of output, so that a second one made before the start could miss the first piece.
 */
export class Attachments {
  readonly #open = new Map<string, Promise<Connection>>();

  async attach(process: Attachable): Promise<ProcessStreams> {
    const { directory } = process;
    const known = this.#open.get(directory) ?? Connection.open(process, () => this.#open.delete(directory));
    this.#open.set(directory, known);
    try {
      return (await known).subscribe();
    } catch (err) {
      this.#open.delete(directory);
      if (isErrno(err, 'ENOENT', 'ECONNREFUSED'))
        throw notFound('the process has ended: its output cannot be attached any more', { cause: err });
      throw err;
    }
  }
}

/**
 * The connection to one monitor's attach socket. Each packet of output begins with a byte that names the stream.
 *
 * conmon closes the process's stdin as soon as a client goes, also one that only listened. A connection that nobody needs while stdin is to
 * stay open is therefore kept until the process ends, its reading side shut so that conmon stops writing to it.
 */
class Connection {
  readonly #process: Attachable;
  readonly #fd: number;
  readonly #gone: () => void;
  readonly #subscribers = new Set<Subscription>();
  readonly #closing = Promise.withResolvers<void>();
  #socket: Bun.Socket | undefined;
  #holds = 0;
  #stdin = Promise.resolve();
  #stdinEnded = false;
  #writable: PromiseWithResolvers<void> | undefined;
  #isClosed = false;

  static async open(process: Attachable, gone: () => void): Promise<Connection> {
    const connection = new Connection(process, connectSeqpacket(process.directory, files.attach), gone);
    await connection.#connect();
    return connection;
  }

  private constructor(process: Attachable, fd: number, gone: () => void) {
    this.#process = process;
    this.#fd = fd;
    this.#gone = gone;
  }

  get closed(): Promise<void> {
    return this.#closing.promise;
  }

  subscribe(): ProcessStreams {
    const subscription = new Subscription(this);
    this.#subscribers.add(subscription);
    return subscription;
  }

  leave(subscription: Subscription): void {
    this.#subscribers.delete(subscription);
    if (this.#subscribers.size > 0 || this.#isClosed) return;
    this.#gone();
    if (this.#process.io.stdin && !this.#process.io.keepStdinOpen && !this.#stdinEnded) {
      const parked = duplicate(this.#fd);
      shutdownSocket(parked, 'read');
      void this.#process.ended.finally(() => closeSync(parked));
    }
    this.#socket?.terminate();
  }

  /** No more output is read until as many releases as holds were called: that is how back-pressure reaches the process. */
  hold(): void {
    this.#holds += 1;
    if (this.#holds === 1) this.#socket?.pause();
  }

  release(): void {
    this.#holds -= 1;
    if (this.#holds === 0 && !this.#isClosed) this.#socket?.resume();
  }

  async writeStdin(chunk: Uint8Array): Promise<void> {
    this.#stdin = this.#stdin.then(async () => {
      for (let at = 0; at < chunk.length; at += stdinPacketBytes) await this.#send(chunk.subarray(at, at + stdinPacketBytes));
    });
    await this.#stdin;
  }

  async closeStdin(): Promise<void> {
    this.#stdin = this.#stdin.then(() => {
      if (this.#isClosed || this.#stdinEnded) return;
      this.#stdinEnded = true;
      shutdownSocket(this.#fd, 'write');
    });
    await this.#stdin;
  }

  async #connect(): Promise<void> {
    this.#socket = await adoptSocket({
      fd: this.#fd,
      allowHalfOpen: true,
      socket: {
        data: (_socket, packet) => {
          for (const subscriber of this.#subscribers) subscriber.receive(packet);
        },
        drain: () => this.#writable?.resolve(),
        close: () => {
          this.#isClosed = true;
          this.#gone();
          this.#writable?.resolve();
          this.#closing.resolve();
        },
        end: socket => socket.terminate(),
        error: () => undefined,
      },
    });
  }

  async #send(packet: Uint8Array): Promise<void> {
    while (!this.#isClosed && !this.#stdinEnded) {
      this.#writable = Promise.withResolvers();
      if (this.#socket?.write(packet) === packet.length) return;
      await this.#writable.promise;
    }
  }
}

class Subscription implements ProcessStreams {
  readonly closed: Promise<void>;
  readonly #connection: Connection;
  readonly #disposing = Promise.withResolvers<void>();
  readonly #listening = Promise.withResolvers<void>();
  #listener: Listener | undefined;
  /** Output that came before there was a listener. */
  #early: Uint8Array[] = [];
  #deliveries = Promise.resolve();
  #pending = 0;
  #disposed = false;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.closed = Promise.race([this.#disposing.promise, connection.closed.then(() => this.#delivered())]);
  }

  onOutput(listener: Listener): void {
    const early = this.#early;
    this.#early = [];
    this.#listener = listener;
    for (const packet of early) this.#deliver(listener, packet);
    if (early.length > 0) this.#connection.release();
    this.#listening.resolve();
  }

  async writeStdin(chunk: Uint8Array): Promise<void> {
    if (!this.#disposed) await this.#connection.writeStdin(chunk);
  }

  async closeStdin(): Promise<void> {
    if (!this.#disposed) await this.#connection.closeStdin();
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    // A delivery that never ends must not hold the others who are attached.
    for (let held = this.#pending + (this.#early.length > 0 ? 1 : 0); held > 0; held -= 1) this.#connection.release();
    this.#connection.leave(this);
    this.#disposing.resolve();
  }

  receive(packet: Uint8Array): void {
    if (this.#disposed) return;
    if (this.#listener !== undefined) this.#deliver(this.#listener, packet);
    else if (this.#early.push(packet) === 1) this.#connection.hold();
  }

  #deliver(listener: Listener, packet: Uint8Array): void {
    const hand = (): void | Promise<void> =>
      this.#disposed ? undefined : listener(packet[0] === stderrMark ? 'stderr' : 'stdout', packet.subarray(1));
    // Packets that were already read when the listener asked for a pause wait in line.
    const delivery = this.#pending === 0 ? hand() : this.#deliveries.then(hand);
    if (delivery === undefined) return;
    this.#pending += 1;
    this.#connection.hold();
    const done = (): void => {
      if (this.#disposed) return;
      this.#pending -= 1;
      this.#connection.release();
    };
    this.#deliveries = delivery.then(done, done);
  }

  async #delivered(): Promise<void> {
    if (this.#early.length > 0) await this.#listening.promise;
    await this.#deliveries;
  }
}
