/** One kept-alive HTTP/1.1 connection that does as little as possible itself: what is measured is the server. */
export class HttpConnection implements Disposable {
  readonly #socket: Bun.Socket;
  readonly #state: State;

  private constructor(socket: Bun.Socket, state: State) {
    this.#socket = socket;
    this.#state = state;
  }

  static async open(port: number): Promise<HttpConnection> {
    const state: State = { head: undefined, pending: Buffer.alloc(0), left: 0, unsent: undefined, done: undefined };
    const socket = await Bun.connect({
      hostname: '127.0.0.1',
      port,
      socket: {
        data: (_socket, chunk) => receive(state, chunk),
        drain: current => flush(current, state),
        close: () => state.done?.reject(new Error('the server closed the connection')),
        error: (_socket, err) => state.done?.reject(err),
      },
    });
    return new HttpConnection(socket, state);
  }

  /** Sends a request and waits for all of its answer; the answer's head, in lower case but for the values. */
  async send(line: string, headers: string, body?: Uint8Array): Promise<string> {
    const state = this.#state;
    const length = body === undefined && !line.startsWith('P') ? '' : `Content-Length: ${String(body?.length ?? 0)}\r\n`;
    state.done = Promise.withResolvers<string>();
    const head = Buffer.from(`${line} HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}${length}\r\n`);
    state.unsent = body === undefined ? head : Buffer.concat([head, body]);
    flush(this.#socket, state);
    return await state.done.promise;
  }

  [Symbol.dispose](): void {
    this.#state.done = undefined;
    this.#socket.end();
  }
}

interface State {
  head: string | undefined;
  pending: Buffer;
  left: number;
  unsent: Uint8Array | undefined;
  done: PromiseWithResolvers<string> | undefined;
}

function flush(socket: Bun.Socket, state: State): void {
  if (state.unsent === undefined) return;
  const written = socket.write(state.unsent);
  state.unsent = written === state.unsent.length ? undefined : state.unsent.subarray(Math.max(written, 0));
}

function receive(state: State, chunk: Buffer): void {
  let bodyBytes = chunk.length;
  if (state.head === undefined) {
    state.pending = state.pending.length === 0 ? chunk : Buffer.concat([state.pending, chunk]);
    const end = state.pending.indexOf('\r\n\r\n');
    if (end < 0) return;
    state.head = state.pending.toString('latin1', 0, end);
    const length = /\r\ncontent-length: *(\d+)/i.exec(state.head)?.[1];
    const hasNone = /^HTTP\/1\.1 (204|304)/.test(state.head);
    if (length === undefined && !hasNone) return state.done?.reject(new Error(`no length: ${state.head}`));
    state.left = Number(length ?? 0);
    bodyBytes = state.pending.length - end - 4;
    state.pending = Buffer.alloc(0);
  }
  state.left -= bodyBytes;
  if (state.left > 0) return;
  const head = state.head;
  state.head = undefined;
  state.done?.resolve(head);
}
