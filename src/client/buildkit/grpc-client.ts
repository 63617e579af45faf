import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import type { Duplex } from 'node:stream';
import { unavailable } from '#base/errors.ts';
import { CallError, framed, readMessages } from './grpc-messages.ts';
import { Message } from './protobuf.ts';

export interface CallOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  /** When it aborts, the daemon is told that nobody waits any more. */
  readonly signal: AbortSignal;
}

/** Calls a daemon's gRPC services over a connection that speaks HTTP/2. */
export class GrpcClient implements Disposable {
  readonly #http: ClientHttp2Session;
  readonly #socket: Duplex;

  constructor(socket: Duplex) {
    this.#socket = socket;
    this.#http = connect('http://localhost', { createConnection: () => socket, settings: { initialWindowSize: 1 << 20 } });
    // Whoever waits for an answer hears of it there.
    this.#http.on('error', () => socket.destroy());
  }

  /** Asks once. Rejects with CallError, with Unavailable when the connection ends before the answer, with the signal's reason. */
  async ask(path: string, request: Uint8Array, options: CallOptions): Promise<Message> {
    let answer: Message | undefined;
    for await (const message of this.listen(path, request, options)) answer = message;
    if (answer === undefined) throw unavailable(`the daemon did not answer ${path}`);
    return answer;
  }

  /** Asks once and hears several answers. Rejects like `ask`. */
  async *listen(path: string, request: Uint8Array, { metadata = {}, signal }: CallOptions): AsyncGenerator<Message, void, undefined> {
    signal.throwIfAborted();
    const stream = this.#http.request({
      ...metadata,
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    // What goes wrong ends in `close`, where it is looked at.
    stream.on('error', () => undefined);
    const stop = (): void => stream.close(constants.NGHTTP2_CANCEL);
    signal.addEventListener('abort', stop, { once: true });
    const ended = headersOf(stream);
    stream.end(framed(request));
    try {
      for await (const bytes of readMessages(stream)) yield new Message(bytes);
      signal.throwIfAborted();
      checkStatus(await ended);
    } catch (err) {
      signal.throwIfAborted();
      if (err instanceof CallError) throw err;
      throw unavailable('the daemon has closed the connection', { cause: err });
    } finally {
      signal.removeEventListener('abort', stop);
      if (!stream.closed) stop();
    }
  }

  [Symbol.dispose](): void {
    this.#http.close();
    this.#socket.destroy();
  }
}

/** What is said at the end of a call, or at its beginning when there is nothing else. Listened for from the start: it is said once. */
async function headersOf(stream: ClientHttp2Stream): Promise<IncomingHttpHeaders> {
  let headers: IncomingHttpHeaders = {};
  stream.on('response', first => (headers = { ...headers, ...first }));
  await new Promise<void>(resolve => {
    stream.on('trailers', last => {
      headers = { ...headers, ...last };
      resolve();
    });
    stream.once('close', resolve);
  });
  return headers;
}

function checkStatus(headers: IncomingHttpHeaders): void {
  const code = headers['grpc-status'];
  if (code === undefined) throw unavailable('the daemon has closed the connection');
  if (Number(code) === 0) return;
  const message = decode(String(headers['grpc-message'] ?? ''));
  const details = Buffer.from(String(headers['grpc-status-details-bin'] ?? ''), 'base64');
  throw new CallError(Number(code), message === '' ? `the daemon answered with the code ${String(code)}` : message, details);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
