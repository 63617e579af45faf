import { connect, type Socket } from 'node:net';
import { ClientSession } from '#server/buildkit/client-session.ts';
import { codec, methodsOf } from '#server/buildkit/codec.ts';
import { clientHandlers, type ClientServices } from '../../src/client/buildkit/services.ts';
import { serveGrpc } from '../../src/client/buildkit/grpc-server.ts';
import type { Definition, StatusUpdate } from '#api/buildkit/messages.ts';
import { sha256 } from '#oci/digest.ts';

const control = 'moby.buildkit.v1.Control';
const gateway = 'moby.buildkit.v1.frontend.LLBBridge';
const content = 'containerd.services.content.v1.Content';

/** A client of BuildKit's services that says what it wants by itself: for what stock clients cannot be made to say. */
export class BuildKitClient implements Disposable {
  readonly #session: ClientSession;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const methods = [control, gateway, content].flatMap(service => methodsOf(service).map(({ path }) => path));
    this.#session = new ClientSession(socket, { id: '', sharedKey: '', methods });
  }

  static async connect(socketPath: string): Promise<BuildKitClient> {
    return new BuildKitClient(await upgraded(socketPath, 'POST /grpc', {}));
  }

  /** Asks once. Rejects with what the daemon says is wrong. */
  async ask<T>(
    service: 'control' | 'gateway' | 'content',
    name: string,
    request: object,
    metadata: Record<string, string> = {},
  ): Promise<T> {
    for await (const answer of this.stream<T>(service, name, request, metadata)) return answer;
    throw new Error(`${name} did not answer`);
  }

  async *stream<T>(
    service: 'control' | 'gateway' | 'content',
    name: string,
    request: object,
    metadata: Record<string, string> = {},
    signal: AbortSignal = new AbortController().signal,
  ): AsyncGenerator<T, void, undefined> {
    const full = { control, gateway, content }[service];
    const method = methodsOf(full).find(each => each.name === name);
    if (method === undefined) throw new Error(`there is no method ${name}`);
    const call = this.#session.call(method.path, metadata, signal);
    call.end(method.request.encode(request));
    for await (const message of call.messages) yield method.response.decode(message) as T;
  }

  /** Runs a build whose plan is this function: it gets a way to call the gateway. What it returns becomes the build's result. */
  async build<T>(
    request: { readonly Ref: string } & Record<string, unknown>,
    plan: (ask: <A>(name: string, request: object) => Promise<A>) => Promise<object>,
  ): Promise<T> {
    const metadata = { 'buildkit-controlapi-buildid': request.Ref };
    const ask = <A>(name: string, body: object): Promise<A> => this.ask<A>('gateway', name, body, metadata);
    const solving = this.ask<T>('control', 'Solve', request);
    solving.catch(() => undefined);
    try {
      const result = await plan(ask);
      await ask('Return', { result: { metadata: {}, ...result } });
    } catch (err) {
      await ask('Return', { error: { code: 2, message: String(err) } }).catch(() => undefined);
      await solving.catch(() => undefined);
      throw err;
    }
    return await solving;
  }

  /** All that a build said. */
  async said(ref: string): Promise<StatusUpdate[]> {
    return await Array.fromAsync(this.stream<StatusUpdate>('control', 'Status', { Ref: ref }));
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

const nothing: ClientServices = {
  files: { files: () => [], chunks: () => [] },
  secret: () => Promise.resolve(undefined),
  agentSocket: () => undefined,
  credentials: () => Promise.resolve({ username: '', secret: '' }),
  results: new Map(),
  stores: new Map(),
  archive: undefined,
};

/** Opens a session in which the daemon can ask for these things, until it is disposed. */
export async function openSession(socketPath: string, id: string, services: Partial<ClientServices> = {}): Promise<Disposable> {
  const handlers = clientHandlers({ ...nothing, ...services });
  const socket = await upgraded(socketPath, 'POST /session', {
    'X-Docker-Expose-Session-Uuid': id,
    'X-Docker-Expose-Session-Name': 'test',
    'X-Docker-Expose-Session-Grpc-Method': Object.keys(handlers).join(','),
  });
  const serving = serveGrpc(socket, handlers);
  return {
    [Symbol.dispose]: () => {
      serving[Symbol.dispose]();
      socket.destroy();
    },
  };
}

/** A connection that speaks HTTP/2 from now on. */
async function upgraded(socketPath: string, route: string, headers: Record<string, string>): Promise<Socket> {
  const socket = connect(socketPath);
  const lines = Object.entries({ Host: 'localhost', Connection: 'Upgrade', Upgrade: 'h2c', ...headers }).map(
    ([key, value]) => `${key}: ${value}`,
  );
  socket.write([`${route} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
  let head = Buffer.alloc(0);
  for (;;) {
    const chunk: Buffer | null = socket.read() as Buffer | null;
    if (chunk === null) {
      await new Promise<void>((resolve, reject) => {
        socket.once('readable', resolve);
        socket.once('error', reject);
        socket.once('close', () => reject(new Error(`the daemon closed the connection: ${head.toString()}`)));
      });
      continue;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end === -1) continue;
    if (!head.toString().startsWith('HTTP/1.1 101')) throw new Error(`not upgraded: ${head.toString()}`);
    socket.unshift(head.subarray(end + 4));
    return socket;
  }
}

const ops = codec<object>('pb.Op');

export interface TestEdge {
  readonly digest: string;
  readonly index: number;
}

/** Writes graphs as clients send them: each node is an entry that names others by their digests. */
export class TestGraph {
  readonly #entries: Buffer[] = [];
  readonly #metadata: Record<string, object> = {};

  /** Adds a node; the first of its results. */
  add(op: object, inputs: readonly TestEdge[] = [], metadata: object = {}): TestEdge {
    const bytes = ops.encode({ ...op, inputs });
    const digest = sha256(bytes);
    this.#entries.push(bytes);
    this.#metadata[digest] = metadata;
    return { digest, index: 0 };
  }

  image(name: string): TestEdge {
    return this.add({ source: { identifier: `docker-image://${name}` } });
  }

  /** A shell's line on a tree, and on others in other places. */
  run(root: TestEdge, line: string, mounts: readonly object[] = [], inputs: readonly TestEdge[] = [], meta: object = {}): TestEdge {
    const exec = {
      meta: { args: ['sh', '-c', line], env: ['PATH=/bin'], cwd: '/', ...meta },
      mounts: [{ input: 0, dest: '/', output: 0 }, ...mounts],
    };
    return this.add({ exec }, [root, ...inputs]);
  }

  definition(root: TestEdge): Definition {
    const end = ops.encode({ inputs: [root] });
    return { def: [...this.#entries, end], metadata: this.#metadata };
  }
}
