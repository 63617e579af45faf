import type { Handler } from './grpc-server.ts';
import { GrpcError, grpcStatus } from './grpc-server.ts';
import { encodeMessage } from './protobuf.ts';

/** Messages that do not fit into HTTP/2's first window stall in Bun. */
const chunkBytes = 1 << 15;

/** Gives the daemon an archive that is read while it is sent, once. `open` is undefined when this build has none. */
export const upload =
  (open: (() => ReadableStream<Uint8Array>) | undefined): Handler =>
  async call => {
    if (open === undefined) throw new GrpcError(grpcStatus.notFound, 'this build has no archive to send');
    for await (const chunk of open()) {
      for (let at = 0; at < chunk.length; at += chunkBytes) await call.send(encodeMessage([[1, chunk.subarray(at, at + chunkBytes)]]));
    }
  };
