import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerWritableStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
  type ServerUnaryCall,
  type sendUnaryData,
  type ServiceError,
} from '@grpc/grpc-js';
import { Duplex } from 'node:stream';
import { type MethodCodec, methodsOf } from './codec.ts';
import { encodeStatus, statusOf } from './status.ts';

export interface CallContext {
  /** The first value of a key of the call's metadata; empty when there is none. */
  metadata(key: string): string;
  /** Every value of a key; several are joined by commas on their way. */
  all(key: string): readonly string[];
  /** Sends metadata before the first message of the answer. */
  sendHeader(key: string, value: string): void;
  /** Aborts when the client gives the call up. */
  readonly signal: AbortSignal;
}

export type UnaryHandler = (request: never, context: CallContext) => Promise<object> | object;
export type StreamHandler = (request: never, context: CallContext) => AsyncIterable<object>;

/** A service's methods by name; methods that are not there answer that they are not implemented. */
export interface ServiceHandlers {
  readonly unary: Readonly<Record<string, UnaryHandler>>;
  readonly streams?: Readonly<Record<string, StreamHandler>>;
  /** Methods that carry bytes both ways (messages with a field `data`). */
  readonly tunnels?: Readonly<Record<string, TunnelHandler>>;
}

/** Resolves when the connection is closed. */
export type TunnelHandler = (connection: Duplex, context: CallContext) => Promise<void>;

const largestMessageBytes = 16 * 1024 * 1024;

/** Serves gRPC on connections that were opened elsewhere. */
export function createGrpcServer(services: Readonly<Record<string, ServiceHandlers>>): (connection: Duplex) => void {
  const server = new Server({
    'grpc.max_receive_message_length': largestMessageBytes,
    'grpc.max_send_message_length': largestMessageBytes,
  });
  for (const [name, handlers] of Object.entries(services)) {
    const methods = methodsOf(name);
    server.addService(definitionOf(methods), implementationOf(methods, handlers));
  }
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  return connection => injector.injectConnection(connection);
}

const definitionOf = (methods: readonly MethodCodec[]): ServiceDefinition =>
  Object.fromEntries(
    methods.map(({ name, path, requestStream, responseStream, request, response }) => [
      name,
      {
        path,
        requestStream,
        responseStream,
        requestSerialize: request.encode,
        requestDeserialize: request.decode,
        responseSerialize: response.encode,
        responseDeserialize: response.decode,
      },
    ]),
  );

function implementationOf(
  methods: readonly MethodCodec[],
  { unary, streams = {}, tunnels = {} }: ServiceHandlers,
): UntypedServiceImplementation {
  const implementation: UntypedServiceImplementation = {};
  for (const { name, requestStream } of methods) {
    const [one, many] = [unary[name], streams[name]];
    const tunnel = tunnels[name];
    if (requestStream && tunnel !== undefined) implementation[name] = carry(tunnel);
    if (requestStream) continue;
    if (one !== undefined) implementation[name] = answerOnce(one);
    else if (many !== undefined) implementation[name] = answerMany(many);
  }
  return implementation;
}

interface Call {
  readonly metadata: Metadata;
  on(event: 'cancelled', listener: () => void): unknown;
  sendMetadata(metadata: Metadata): void;
}

function contextOf(call: Call): CallContext {
  const gone = new AbortController();
  call.on('cancelled', () => gone.abort(new DOMException('the client gave the call up', 'AbortError')));
  return {
    signal: gone.signal,
    metadata: key => String(call.metadata.get(key)[0] ?? ''),
    all: key => call.metadata.get(key).flatMap(value => String(value).split(/, ?/)),
    sendHeader(key, value) {
      const header = new Metadata();
      header.set(key, value);
      call.sendMetadata(header);
    },
  };
}

const answerOnce = (handler: UnaryHandler) => (call: ServerUnaryCall<object, object>, answer: sendUnaryData<object>) => {
  const context = contextOf(call);
  void (async () => {
    try {
      answer(null, await handler(call.request as never, context));
    } catch (err) {
      answer(toServiceError(err));
    }
  })();
};

const answerMany = (handler: StreamHandler) => (call: ServerWritableStream<object, object>) => {
  const context = contextOf(call);
  void (async () => {
    try {
      for await (const message of handler(call.request as never, context)) {
        if (context.signal.aborted) return;
        if (!call.write(message)) await drained(call, context.signal);
      }
      call.end();
    } catch (err) {
      call.emit('error', toServiceError(err));
    }
  })();
};

/** The largest message that gets through in one piece. */
const tunnelChunkBytes = 16 * 1024;

interface Bytes {
  readonly data: Uint8Array;
}

const carry = (handler: TunnelHandler) => (call: ServerDuplexStream<Bytes, Bytes>) => {
  const context = contextOf(call);
  const connection = new Duplex({
    read: () => void call.resume(),
    write(chunk: Buffer, _encoding, done) {
      // One HTTP/2 connection in another: this runtime puts what both write into the same buffer, so that one is copied and sent when the other has done.
      const own = Buffer.from(chunk);
      setImmediate(() => {
        for (let at = 0; at < own.length; at += tunnelChunkBytes) call.write({ data: own.subarray(at, at + tunnelChunkBytes) });
        done();
      });
    },
    final(done) {
      call.end();
      done();
    },
    destroy(err, done) {
      call.end();
      done(err);
    },
  });
  connection.on('error', () => undefined);
  call.on('data', ({ data }: Bytes) => {
    if (!connection.push(data)) call.pause();
  });
  // A client that sends no more waits until this side has ended as well.
  call.on('end', () => connection.destroy());
  call.on('error', () => connection.destroy());
  call.on('cancelled', () => connection.destroy());
  void (async () => {
    try {
      await handler(connection, context);
    } catch {
      // The client sees that its connection has ended.
    }
    connection.destroy();
  })();
};

async function drained(call: ServerWritableStream<object, object>, signal: AbortSignal): Promise<void> {
  await new Promise<void>(resolve => {
    call.once('drain', resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function toServiceError(err: unknown): ServiceError {
  const status = statusOf(err);
  const metadata = new Metadata();
  if (status.details.length > 0) metadata.set('grpc-status-details-bin', encodeStatus(status));
  return Object.assign(new Error(status.message), { code: status.code, details: status.message, metadata });
}
