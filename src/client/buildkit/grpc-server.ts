import { constants, createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { Duplex } from 'node:stream';
import { messageOf } from '#base/errors.ts';
import { framed, readMessages } from './grpc-messages.ts';

/** One call: messages come in and go out. A call of one message each way is a stream of one. */
export interface Call {
  readonly metadata: CallMetadata;
  readonly requests: AsyncIterable<Uint8Array>;
  /** Resolves when more can be sent. */
  send(message: Uint8Array): Promise<void>;
  readonly signal: AbortSignal;
}

export interface CallMetadata {
  /** Every value of a key, in order. */
  all(key: string): readonly string[];
}

export type Handler = (call: Call) => Promise<void>;

/** By path: `/package.Service/Method`. */
export type Handlers = Readonly<Record<string, Handler>>;

export const grpcStatus = {
  ok: 0,
  unknown: 2,
  invalidArgument: 3,
  notFound: 5,
  alreadyExists: 6,
  failedPrecondition: 9,
  unimplemented: 12,
} as const;

export class GrpcError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Answers gRPC calls that come over a connection which this side opened: the other side is the HTTP/2 client. */
export function serveGrpc(socket: Duplex, handlers: Handlers): Disposable {
  const server: Http2Server = createServer({ settings: { initialWindowSize: 1 << 20 } });
  server.on(
    'stream',
    (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, raw: string[]) => void answer(stream, headers, raw, handlers),
  );
  server.on('sessionError', () => socket.destroy());
  server.emit('connection', socket);
  return {
    [Symbol.dispose]() {
      server.close();
      socket.destroy();
    },
  };
}

async function answer(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  raw: readonly string[] | undefined,
  handlers: Handlers,
): Promise<void> {
  const gone = new AbortController();
  const stop = (): void => gone.abort(new DOMException('the call was given up', 'AbortError'));
  stream.on('error', stop);
  stream.on('close', stop);
  let trailers: Record<string, string | number> = { 'grpc-status': grpcStatus.ok };
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  stream.respond({ [constants.HTTP2_HEADER_STATUS]: 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  const path = String(headers[constants.HTTP2_HEADER_PATH] ?? '');
  try {
    const handler = Object.hasOwn(handlers, path) ? handlers[path] : undefined;
    if (handler === undefined) throw new GrpcError(grpcStatus.unimplemented, `unknown method ${path}`);
    await handler({
      metadata: metadataOf(headers, raw),
      requests: readMessages(stream),
      send: message => sendMessage(stream, message),
      signal: gone.signal,
    });
  } catch (err) {
    const status = err instanceof GrpcError ? err.status : grpcStatus.unknown;
    trailers = { 'grpc-status': status, 'grpc-message': encodeURIComponent(messageOf(err)) };
  }
  if (!stream.destroyed) stream.end();
}

function metadataOf(headers: IncomingHttpHeaders, raw: readonly string[] | undefined): CallMetadata {
  return {
    all(key) {
      const isEncoded = headers[`${key}-encoded`] !== undefined;
      const values = rawValues(raw, key) ?? listOf(headers[key]);
      return isEncoded ? values.map(value => decodeURIComponent(value.replaceAll('+', ' '))) : values;
    },
  };
}

function rawValues(raw: readonly string[] | undefined, key: string): string[] | undefined {
  if (raw === undefined) return undefined;
  return raw.flatMap((name, index) => (index % 2 === 0 && name.toLowerCase() === key ? [raw[index + 1] ?? ''] : []));
}

const listOf = (value: string | string[] | undefined): string[] =>
  value === undefined ? [] : Array.isArray(value) ? value : value.split(', ');

async function sendMessage(stream: ServerHttp2Stream, message: Uint8Array): Promise<void> {
  if (stream.destroyed) throw new DOMException('the call was given up', 'AbortError');
  await new Promise<void>((resolve, reject) => {
    const onClose = (): void => reject(new DOMException('the call was given up', 'AbortError'));
    stream.once('close', onClose);
    stream.write(framed(message), () => {
      stream.off('close', onClose);
      resolve();
    });
  });
}
