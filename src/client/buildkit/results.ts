import { createWriteStream, renameSync, rmSync, statSync, type WriteStream } from 'node:fs';
import { once } from 'node:events';
import { GrpcError, grpcStatus, type Call, type Handler } from './grpc-server.ts';
import { Message } from './protobuf.ts';
import { receiveDirectory } from './receive-directory.ts';

/** Where what an exporter sends is put. */
export type ResultTarget =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'stdout'; readonly write: (chunk: Uint8Array) => void }
  | { readonly kind: 'directory'; readonly path: string };

/** Takes what exporters send, by their places in the build's order. */
export const receiveResults =
  (targets: ReadonlyMap<number, ResultTarget>): Handler =>
  async call => {
    const target = targets.get(Number(call.metadata.all('buildkit-attachable-exporter-id')[0] ?? '0'));
    if (target === undefined) throw new GrpcError(grpcStatus.notFound, 'this build has no place for such a result');
    if (target.kind === 'directory') await receiveDirectory(call, target.path);
    else if (target.kind === 'file') await receiveFile(call, target.path);
    else for await (const bytes of call.requests) target.write(new Message(bytes).bytes(1));
  };

/** The file is there when all of it is. A device or a pipe cannot be replaced, only written to. */
async function receiveFile(call: Call, path: string): Promise<void> {
  const existing = statSync(path, { throwIfNoEntry: false });
  const temporary = existing === undefined || existing.isFile() ? `${path}.${String(process.pid)}.tmp` : path;
  const file = createWriteStream(temporary);
  try {
    for await (const bytes of call.requests) await write(file, new Message(bytes).bytes(1));
    if (call.signal.aborted) throw call.signal.reason;
    file.end();
    await once(file, 'close');
    if (temporary !== path) renameSync(temporary, path);
  } catch (err) {
    file.destroy();
    if (temporary !== path) rmSync(temporary, { force: true });
    throw err;
  }
}

async function write(file: WriteStream, chunk: Uint8Array): Promise<void> {
  // The bytes belong to a message that is read next.
  if (!file.write(chunk.slice())) await once(file, 'drain');
}
