import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import type { Duplex } from 'node:stream';
import { EngineError, type ErrorKind, notImplemented, unavailable } from '#base/errors.ts';
import type { Codec } from './codec.ts';

/** One call to a client: messages go out and come in. */
export interface SessionCall {
  /** Resolves when more can be sent. */
  send(message: Uint8Array): Promise<void>;
  /** Says that nothing more is sent, after one more message if there is one: a client may end the call at once when it has read that. */
  end(last?: Uint8Array): void;
  /** What comes; ends with the call, rejects with what the client says is wrong. */
  readonly messages: AsyncIterable<Buffer>;
}

/** Metadata of a call. A key with several values is sent several times. */
export type CallMetadata = Readonly<Record<string, string | readonly string[]>>;

/** A connection that a client opened for being asked. */
export class ClientSession {
  readonly id: string;
  readonly sharedKey: string;
  /** Resolves when the connection is closed. */
  readonly closed: Promise<void>;
  readonly #methods: ReadonlySet<string>;
  readonly #http: ClientHttp2Session;

  constructor(connection: Duplex, { id, sharedKey, methods }: { id: string; sharedKey: string; methods: readonly string[] }) {
    this.id = id;
    this.sharedKey = sharedKey;
    this.#methods = new Set(methods);
    this.#http = connect('http://localhost', { createConnection: () => connection, settings: { initialWindowSize: 1 << 20 } });
    this.#http.on('error', () => connection.destroy());
    this.closed = new Promise(resolve => {
      connection.once('close', resolve);
      this.#http.once('close', resolve);
    });
  }

  /** Whether the client serves a method (`/package.Service/Method`). */
  serves(method: string): boolean {
    return this.#methods.has(method);
  }

  /** Asks once. Rejects with what the client says is wrong. */
  async ask<Q, A>(
    method: string,
    request: Partial<Q>,
    codecs: { readonly request: Codec<Q>; readonly answer: Codec<A> },
    signal: AbortSignal,
  ): Promise<A> {
    const call = this.call(method, {}, signal);
    call.end(codecs.request.encode(request));
    let answer: A | undefined;
    for await (const message of call.messages) answer = codecs.answer.decode(message);
    if (answer === undefined) throw unavailable(`the client did not answer ${method}`);
    return answer;
  }

  /** Begins a call. Rejects with NotImplemented for a method that the client does not serve. */
  call(method: string, metadata: CallMetadata, signal: AbortSignal): SessionCall {
    signal.throwIfAborted();
    if (!this.serves(method)) throw notImplemented(`the client does not serve ${method}`);
    if (this.#http.destroyed || this.#http.closed) throw unavailable('the client has closed its session');
    const stream = this.#http.request({
      ...(metadata as Record<string, string | string[]>),
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: method,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    // What goes wrong ends in `close`, where it is looked at.
    stream.on('error', () => undefined);
    const stop = (): void => stream.close(constants.NGHTTP2_CANCEL);
    signal.addEventListener('abort', stop, { once: true });
    stream.once('close', () => signal.removeEventListener('abort', stop));
    return {
      send: message => sendMessage(stream, message),
      // Written while what has just come is being read, the last bytes of a stream are lost now and then (Bun 1.4).
      end: last => void setImmediate(() => (last === undefined ? stream.end() : stream.end(framed(last)))),
      messages: readMessages(stream, answerOf(stream), signal),
    };
  }
}

const prefixBytes = 5;

/** Messages have their length before them. */
function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

async function sendMessage(stream: ClientHttp2Stream, message: Uint8Array): Promise<void> {
  if (stream.destroyed) throw unavailable('the client has ended the call');
  await new Promise<void>((resolve, reject) => {
    const onClose = (): void => reject(unavailable('the client has ended the call'));
    stream.once('close', onClose);
    stream.write(framed(message), () => {
      stream.off('close', onClose);
      resolve();
    });
  });
}

async function* readMessages(
  stream: ClientHttp2Stream,
  answer: Promise<IncomingHttpHeaders>,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      while (rest.length >= prefixBytes) {
        const end = prefixBytes + rest.readUInt32BE(1);
        if (rest.length < end) break;
        yield rest.subarray(prefixBytes, end);
        rest = rest.subarray(end);
      }
    }
  } catch (err) {
    signal.throwIfAborted();
    throw unavailable('the client has closed its session', { cause: err });
  }
  const headers = await answer;
  signal.throwIfAborted();
  checkStatus(headers);
}

/** What the client says at the end of a call, or at its beginning when there is nothing else. Listened for from the start: it is said once. */
async function answerOf(stream: ClientHttp2Stream): Promise<IncomingHttpHeaders> {
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

/** gRPC's codes as kinds. */
const kinds: Readonly<Record<number, ErrorKind>> = {
  1: 'Canceled',
  3: 'InvalidArgument',
  4: 'DeadlineExceeded',
  5: 'NotFound',
  6: 'AlreadyExists',
  7: 'PermissionDenied',
  8: 'ResourceExhausted',
  9: 'FailedPrecondition',
  12: 'NotImplemented',
  14: 'Unavailable',
  15: 'DataLoss',
  16: 'Unauthenticated',
};

function checkStatus(headers: IncomingHttpHeaders): void {
  const code = headers['grpc-status'];
  if (code === undefined) throw unavailable('the client has closed its session');
  if (Number(code) === 0) return;
  const message = decode(String(headers['grpc-message'] ?? ''));
  throw new EngineError(kinds[Number(code)] ?? 'Internal', message === '' ? `the client answered with the code ${String(code)}` : message);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
