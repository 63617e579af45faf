import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '#base/log.ts';
import { notFound } from '#base/errors.ts';
import { createEventBus } from '#engine/events/bus.ts';
import type { EventBus } from '#engine/events/bus.ts';
import type { Services } from '../ports.ts';
import { startServer } from '../server.ts';

/** A part of a service; what a test did not provide says so when it is called. */
export function fake<T extends object>(name: string, methods: Partial<T>): T {
  return new Proxy(methods, {
    get(target, key) {
      if (Reflect.has(target, key)) return Reflect.get(target, key) as unknown;
      return () => {
        throw notFound(`the test has no ${name}.${String(key)}`);
      };
    },
  }) as T;
}

export interface TestServer extends AsyncDisposable {
  readonly path: string;
  readonly events: EventBus;
}

export type FakeServices = { readonly [K in keyof Services]?: Partial<Services[K]> };

/** A server on a unix socket in a directory of its own. */
export async function serve(services: FakeServices = {}): Promise<TestServer> {
  const directory = mkdtempSync(join(tmpdir(), 'berth-server-'));
  const path = join(directory, 'api.sock');
  const events = createEventBus();
  const all = new Proxy({} as Services, {
    get: (_target, noun: keyof Services) => (noun === 'events' ? events : fake(noun, (services[noun] ?? {}) as object)),
  });
  const server = await startServer({
    hosts: [{ kind: 'unix', path }],
    owner: { gid: undefined },
    services: all,
    version: '0.1.0',
    experimental: false,
    log: silentLogger,
    isHungUp: () => false,
  });
  return {
    path,
    events,
    [Symbol.asyncDispose]: async () => {
      await server.close(0);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A bare connection: what is sent and what came back, byte for byte. */
export class Wire implements Disposable {
  readonly socket: Socket;
  /** Joined when somebody looks: joining at every piece would copy all of it every time. */
  #pieces: Buffer[] = [];
  #ended = false;
  #changed: () => void = () => undefined;

  constructor(path: string) {
    this.socket = createConnection({ path, allowHalfOpen: true });
    this.socket.on('data', (chunk: Buffer) => {
      this.#pieces.push(chunk);
      this.#changed();
    });
    const end = (): void => {
      this.#ended = true;
      this.#changed();
    };
    this.socket.on('end', end);
    this.socket.on('close', end);
    this.socket.on('error', end);
  }

  send(text: string): this {
    this.socket.write(text);
    return this;
  }

  /** Closes the sending side only. */
  halfClose(): this {
    this.socket.end();
    return this;
  }

  get received(): Buffer {
    if (this.#pieces.length !== 1) this.#pieces = [Buffer.concat(this.#pieces)];
    return this.#pieces[0] ?? Buffer.alloc(0);
  }

  /** Everything received, once it contains the text. */
  async until(text: string): Promise<string> {
    await this.#wait(() => this.received.includes(text), `"${text}" was not received`);
    return this.received.toString('latin1');
  }

  /** Everything received, once the other side has closed. */
  async untilClosed(): Promise<string> {
    await this.#wait(() => this.#ended, 'the connection was not closed');
    return this.received.toString('latin1');
  }

  async #wait(done: () => boolean, what: string): Promise<void> {
    const deadline = AbortSignal.timeout(30_000);
    while (!done()) {
      if (deadline.aborted) throw new Error(`${what}; received: ${this.received.toString('latin1', 0, 4096)}`);
      if (this.#ended) throw new Error(`${what}, and the connection is closed; received: ${this.received.toString('latin1', 0, 4096)}`);
      await new Promise<void>(resolve => {
        this.#changed = resolve;
        deadline.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** An HTTP request through the unix socket. */
export async function request(
  server: TestServer,
  method: string,
  path: string,
  init: { body?: string; headers?: Record<string, string> } = {},
): Promise<Response> {
  return await fetch(`http://localhost${path}`, {
    method,
    unix: server.path,
    ...(init.body === undefined ? {} : { body: init.body }),
    headers: { ...(init.body === undefined ? {} : { 'Content-Type': 'application/json' }), ...init.headers },
  });
}
