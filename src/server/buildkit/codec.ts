import Long from 'long';
import protobuf from 'protobufjs';
import contentProto from '#api/buildkit/content.proto' with { type: 'text' };
import controlProto from '#api/buildkit/control.proto' with { type: 'text' };
import fsutilProto from '#api/buildkit/fsutil.proto' with { type: 'text' };
import gatewayProto from '#api/buildkit/gateway.proto' with { type: 'text' };
import healthProto from '#api/buildkit/health.proto' with { type: 'text' };
import pbProto from '#api/buildkit/pb.proto' with { type: 'text' };
import rpcProto from '#api/buildkit/rpc.proto' with { type: 'text' };
import sessionProto from '#api/buildkit/session.proto' with { type: 'text' };

// In one executable the library does not find it by itself.
protobuf.util.Long = Long;
protobuf.configure();

const root = new protobuf.Root();
for (const text of [rpcProto, pbProto, fsutilProto, controlProto, gatewayProto, healthProto, sessionProto, contentProto])
  protobuf.parse(text, root, { keepCase: true });
root.resolveAll();

/** Reads and writes one kind of message. What is decoded has every field, with its default where the wire had none. */
export interface Codec<T> {
  encode(message: Partial<T>): Buffer;
  decode(bytes: Uint8Array): T;
}

export interface CodecOptions {
  /** How 64-bit numbers are read; texts keep those that numbers cannot hold. */
  readonly longs?: NumberConstructor | StringConstructor;
}

/** The codec for a message by its full name. */
export function codec<T>(name: string, options: CodecOptions = {}): Codec<T> {
  return codecOf(root.lookupType(name), options);
}

function codecOf<T>(type: protobuf.Type, { longs = Number }: CodecOptions): Codec<T> {
  const reading = { longs, enums: Number, defaults: true, arrays: true, objects: true };
  return {
    encode: message => Buffer.from(type.encode(type.fromObject(message as Record<string, unknown>)).finish()),
    decode: bytes => type.toObject(type.decode(bytes), reading) as T,
  };
}

export interface MethodCodec {
  readonly name: string;
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly request: Codec<object>;
  readonly response: Codec<object>;
}

/** The methods of a service by its full name. */
export function methodsOf(service: string): MethodCodec[] {
  return root.lookupService(service).methodsArray.map(method => ({
    name: method.name,
    path: `/${service}/${method.name}`,
    requestStream: method.requestStream === true,
    responseStream: method.responseStream === true,
    request: codecOf(requireType(method.resolvedRequestType), {}),
    response: codecOf(requireType(method.resolvedResponseType), {}),
  }));
}

function requireType(type: protobuf.Type | null): protobuf.Type {
  if (type === null) throw new TypeError('a method has a type that is not described');
  return type;
}
