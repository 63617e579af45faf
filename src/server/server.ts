import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from '#base/log.ts';
import { invalidArgument, kindOf } from '#base/errors.ts';
import { maxApiVersion } from '#api/versions.ts';
import { ApiRequest } from './api-request.ts';
import { Connections } from './connections.ts';
import { formatHeaders, hijack, sendRaw } from './hijack.ts';
import { listen } from './listener.ts';
import type { ListenAddress, SocketOwner } from './listener.ts';
import type { Services } from './ports.ts';
import { joinSocket } from './joined-socket.ts';
import type { Headers, Reply, UpgradeReply } from './reply.ts';
import { Router, parseTarget } from './router.ts';
import { allRoutes } from './routes/index.ts';
import { errorReply, formatJson, plainErrorReply, type PlainReply, send } from './send.ts';
import { takeoverToken } from './takeover.ts';
import { readUpgradeBody } from './upgrade-body.ts';

export interface ServerOptions {
  readonly hosts: readonly ListenAddress[];
  readonly owner: SocketOwner;
  readonly services: Services;
  /** For the `Server` header: the product's version. */
  readonly version: string;
  readonly experimental: boolean;
  readonly log: Logger;
  /**
   * Whether the other end of a socket is closed in both directions. A client that was killed looks like one that only stopped sending: this tells them
   * apart, where the system can.
   */
  readonly isHungUp: (fd: number) => boolean;
}

export interface ApiServer {
  /** Where it listens, as clients name it. */
  readonly addresses: readonly string[];
  /**
   * Takes no more requests, gives those under way `graceMs` to finish, then cuts them. Streams that only end with their container or client (attach,
   * logs, events, wait) are not waited for.
   */
  close(graceMs?: number): Promise<void>;
}

/** Listens everywhere or, when one address fails, nowhere: nobody is answered before every address is there. */
export async function startServer(options: ServerOptions): Promise<ApiServer> {
  const api = new Api(options);
  await using listening = new AsyncDisposableStack();
  const addresses: string[] = [];
  const early: Socket[] = [];
  let accept = (socket: Socket): void => void early.push(socket);
  for (const host of options.hosts) {
    const listener = await listen(host, options.owner, socket => accept(socket));
    listening.defer(async () => {
      for (const socket of early.splice(0)) socket.destroy();
      await listener.close();
    });
    addresses.push(listener.address);
  }
  accept = socket => api.accept(socket);
  for (const socket of early.splice(0)) accept(socket);
  const listeners = listening.move();
  return {
    addresses,
    close: async (graceMs = 2_000) => {
      // A listener is closed when its last connection is: cutting them is what ends the wait.
      const closed = listeners.disposeAsync();
      await api.finish(graceMs);
      await closed;
    },
  };
}

class Api {
  readonly #router: Router;
  readonly #common: Headers;
  readonly #log: Logger;
  readonly #connections = new Connections();
  readonly #http = createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 60_000 });
  readonly #isHungUp: (fd: number) => boolean;
  #underWay = 0;
  #idle: () => void = () => undefined;

  constructor(options: ServerOptions) {
    this.#log = options.log;
    this.#isHungUp = options.isHungUp;
    this.#router = new Router(allRoutes(options.services));
    this.#common = {
      Server: `Berth/${options.version} (linux)`,
      'Api-Version': maxApiVersion,
      Ostype: 'linux',
      'Docker-Experimental': String(options.experimental),
    };
    Object.assign(this.#http, { httpAllowHalfOpen: true });
    this.#http.on('request', (message, response) => void this.#onRequest(message, response));
    this.#http.on(
      'upgrade',
      (message: IncomingMessage, socket: Duplex, head: Buffer) => void this.#onUpgrade(message, socket as Socket, head),
    );
    this.#http.on('clientError', (err: Error, socket: Duplex) => this.#onClientError(err, socket));
  }

  accept(socket: Socket): void {
    this.#connections.add(socket, this.#http);
  }

  async finish(graceMs: number): Promise<void> {
    if (this.#underWay > 0) {
      const idle = Promise.withResolvers<void>();
      this.#idle = idle.resolve;
      const timer = setTimeout(idle.resolve, graceMs);
      await idle.promise;
      clearTimeout(timer);
    }
    this.#connections.destroyAll();
  }

  async #onRequest(message: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#connections.begin(message, response);
    await this.#tracked(message, async release => {
      const raw = {
        method: message.method ?? 'GET',
        headers: message.headers,
        body: message as AsyncIterable<Uint8Array>,
        onClientGone: (listener: () => void) => this.#connections.onGone(message, response, listener),
      };
      const reply = await this.#answer(message, raw);
      if (lingers(reply)) release();
      const takesOver = reply.kind === 'hijack' || reply.kind === 'upgrade';
      const sent = takesOver ? errorReply(invalidArgument('this route takes its connection over: use HTTP/1.1')) : reply;
      await send(response, sent, this.#common, this.#log);
      return sent.status;
    });
  }

  async #onUpgrade(message: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    this.#connections.stopParsing(socket);
    await this.#tracked(message, async release => {
      let rest: Uint8Array = head;
      let reply: Reply;
      try {
        const read = await readUpgradeBody(message.headers, head, socket);
        rest = read.rest;
        const raw = {
          method: message.method ?? 'GET',
          headers: message.headers,
          body: once(read.body),
          onClientGone: (listener: () => void) => this.#connections.onGone(message, undefined, listener),
        };
        reply = await this.#answer(message, raw);
      } catch (err) {
        reply = errorReply(err);
      }
      if (lingers(reply)) release();
      if (reply.kind === 'hijack') {
        this.#connections.forget(socket);
        const upgrade = message.headers.upgrade !== takeoverToken;
        await hijack({ socket, head: rest, upgrade, isPeerGone: () => this.#isPeerGone(socket) }, reply, this.#common);
        return upgrade ? 101 : 200;
      }
      if (reply.kind === 'upgrade') {
        this.#connections.forget(socket);
        await runUpgraded(socket, rest, reply);
        return reply.status;
      }
      await sendUnupgraded(socket, reply, this.#common);
      return reply.status;
    });
  }

  /** Never rejects: what goes wrong becomes the answer. */
  async #answer(message: IncomingMessage, raw: ConstructorParameters<typeof ApiRequest>[0]): Promise<Reply> {
    try {
      const target = parseTarget(message.url ?? '/');
      const { route, params } = this.#router.find(raw.method, target);
      return await route.handler(new ApiRequest(raw, target, params));
    } catch (err) {
      if (kindOf(err) === 'Internal') this.#log.error('a request failed', { method: raw.method, path: pathOf(message), error: err });
      return speaksPlainText(message) ? plainErrorReply(err) : errorReply(err);
    }
  }

  async #tracked(message: IncomingMessage, work: (release: () => void) => Promise<number>): Promise<void> {
    let counted = true;
    const release = (): void => {
      if (!counted) return;
      counted = false;
      this.#underWay--;
      if (this.#underWay === 0) this.#idle();
    };
    this.#underWay++;
    const startedAt = performance.now();
    try {
      const status = await work(release);
      this.#log.debug('request', {
        method: message.method,
        path: pathOf(message),
        status,
        ms: Math.round((performance.now() - startedAt) * 10) / 10,
      });
    } catch (err) {
      this.#log.warn('answering a request failed', { method: message.method, path: pathOf(message), error: err });
      message.socket.destroy();
    } finally {
      release();
    }
  }

  #isPeerGone(socket: Socket): boolean {
    // Where the handle of a socket is not what it was in this version of the runtime, nothing is known.
    const { _handle: handle } = socket as { readonly _handle?: { readonly fd?: unknown } | null };
    return typeof handle?.fd === 'number' && handle.fd >= 0 && this.#isHungUp(handle.fd);
  }

  #onClientError(err: Error, socket: Duplex): void {
    this.#log.debug('not an HTTP request', { error: err });
    if (socket.writable)
      sendRaw(
        socket,
        400,
        { ...this.#common, 'Content-Type': 'application/json' },
        formatJson({ message: `invalid HTTP request: ${err.message}` }),
      );
    else socket.destroy();
  }
}

/** Whether an answer may go on for as long as a container runs or a client likes. */
const lingers = (reply: Reply): boolean =>
  reply.kind === 'hijack' || reply.kind === 'upgrade' || (reply.kind === 'stream' && reply.start === 'at-once');

/** Clients from before 1.24 read errors as plain text; all they can be told is that they are too old. */
const speaksPlainText = ({ url = '' }: IncomingMessage): boolean => /^\/v(?:0\.\d+|1\.(?:\d|1\d|2[0-3]))\//.test(url);

/** Query strings may carry secrets, such as build arguments: they are not logged. */
const pathOf = (message: IncomingMessage): string => (message.url ?? '').split('?', 1)[0] ?? '';

async function* once(body: Uint8Array): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  if (body.length > 0) yield body;
}

async function runUpgraded(socket: Socket, start: Uint8Array, { protocol, run }: UpgradeReply): Promise<void> {
  if (socket.destroyed) return;
  const connection = joinSocket(socket, start);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`);
  try {
    await run(connection);
  } finally {
    connection.destroy();
  }
}

/** Answers on a connection that asked for an upgrade where nothing is to be upgraded; it is closed after that. */
async function sendUnupgraded(socket: Socket, reply: PlainReply, common: Headers): Promise<void> {
  if (reply.kind === 'json')
    return sendRaw(socket, reply.status, { ...common, ...reply.headers, 'Content-Type': 'application/json' }, formatJson(reply.value));
  if (reply.kind === 'text') {
    const type: Headers = reply.contentType === undefined ? {} : { 'Content-Type': reply.contentType };
    return sendRaw(socket, reply.status, { ...common, ...reply.headers, ...type }, reply.text);
  }
  socket.on('error', () => undefined);
  socket.write(
    `HTTP/1.1 ${reply.status} OK\r\n${formatHeaders({ ...common, ...reply.headers, 'Content-Type': reply.contentType, Connection: 'close' })}\r\n`,
  );
  for await (const chunk of reply.body) {
    if (socket.destroyed) break;
    if (!socket.write(chunk)) await new Promise<void>(resolve => void socket.once('drain', resolve).once('close', resolve));
  }
  socket.end();
}
