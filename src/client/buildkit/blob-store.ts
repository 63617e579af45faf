import { createHash, type Hash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { GrpcError, grpcStatus, type Call, type Handler, type Handlers } from './grpc-server.ts';
import { encodeMessage, Message } from './protobuf.ts';

const service = '/containerd.services.content.v1.Content';
const actions = { stat: 0, write: 1, commit: 2 } as const;
/** Messages that do not fit into HTTP/2's first window stall in Bun. */
const chunkBytes = 1 << 15;
const digestPattern = /^sha256:[0-9a-f]{64}$/;

/** Offers directories with OCI layouts as stores of blobs, by the names that the daemon uses for them. */
export function blobStores(stores: ReadonlyMap<string, string>): Handlers {
  const rootOf = (call: Call): string => {
    const [id = ''] = call.metadata.all('buildkit-attachable-store-id');
    const root = stores.get(id);
    if (root === undefined) throw new GrpcError(grpcStatus.notFound, `this build offers no store ${JSON.stringify(id)}`);
    return root;
  };
  const describe =
    (digestOf: (request: Message) => string): Handler =>
    async call => {
      for await (const bytes of call.requests) return await sendInfo(call, rootOf(call), digestOf(new Message(bytes)));
    };
  return {
    [`${service}/Info`]: describe(request => request.text(1)),
    // Labels are kept nowhere.
    [`${service}/Update`]: describe(request => request.message(1).text(1)),
    [`${service}/Read`]: once(async (call, request) => await readBlob(call, rootOf(call), request)),
    [`${service}/Write`]: async call => await writeBlob(call, rootOf(call)),
    [`${service}/Status`]: once((_call, request) =>
      Promise.reject(new GrpcError(grpcStatus.notFound, `nothing is being written as ${request.text(1)}`)),
    ),
    [`${service}/Abort`]: once(async call => await call.send(new Uint8Array(0))),
  };
}

const once =
  (answer: (call: Call, request: Message) => Promise<void>): Handler =>
  async call => {
    for await (const bytes of call.requests) {
      await answer(call, new Message(bytes));
      return;
    }
  };

async function sendInfo(call: Call, root: string, digest: string): Promise<void> {
  const { size } = statBlob(blobPath(root, digest), digest);
  const info = encodeMessage([
    [1, digest],
    [2, size],
  ]);
  await call.send(encodeMessage([[1, info]]));
}

function blobPath(root: string, digest: string): string {
  if (!digestPattern.test(digest)) throw new GrpcError(grpcStatus.invalidArgument, `invalid digest ${JSON.stringify(digest)}`);
  return join(root, 'blobs', digest.replace(':', '/'));
}

function statBlob(path: string, digest: string): { readonly size: number } {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isFile() !== true) throw new GrpcError(grpcStatus.notFound, `content ${digest}: not found`);
  return stats;
}

async function readBlob(call: Call, root: string, request: Message): Promise<void> {
  const digest = request.text(1);
  const path = blobPath(root, digest);
  const { size } = statBlob(path, digest);
  const wanted = request.number(3);
  let offset = request.number(2);
  const end = wanted > 0 ? Math.min(size, offset + wanted) : size;
  const fd = openSync(path, 'r');
  try {
    while (offset < end) {
      const data = new Uint8Array(Math.min(chunkBytes, end - offset));
      const count = readSync(fd, data, 0, data.length, offset);
      if (count === 0) return;
      await call.send(
        encodeMessage([
          [1, offset],
          [2, data.subarray(0, count)],
        ]),
      );
      offset += count;
    }
  } finally {
    closeSync(fd);
  }
}

/** A blob that arrives: it has its name when all of it is here and is what its digest says. */
class Incoming {
  readonly #temporary: string;
  readonly #fd: number;
  readonly #hash: Hash = createHash('sha256');
  #isOpen = true;
  offset = 0;

  constructor(root: string, ref: string) {
    const directory = join(root, 'blobs/sha256');
    mkdirSync(directory, { recursive: true });
    this.#temporary = join(directory, `.${String(process.pid)}-${createHash('sha256').update(ref).digest('hex').slice(0, 16)}.tmp`);
    this.#fd = openSync(this.#temporary, 'w', 0o644);
  }

  write(data: Uint8Array): void {
    this.#hash.update(data);
    for (let at = 0; at < data.length; ) at += writeSync(this.#fd, data, at);
    this.offset += data.length;
  }

  commit(root: string, expected: string): string {
    const digest = `sha256:${this.#hash.digest('hex')}`;
    if (expected !== '' && expected !== digest)
      throw new GrpcError(grpcStatus.failedPrecondition, `unexpected commit digest ${digest}, expected ${expected}`);
    this.close();
    renameSync(this.#temporary, blobPath(root, digest));
    return digest;
  }

  close(): void {
    if (this.#isOpen) closeSync(this.#fd);
    this.#isOpen = false;
  }

  discard(): void {
    this.close();
    rmSync(this.#temporary, { force: true });
  }
}

async function writeBlob(call: Call, root: string): Promise<void> {
  let incoming: Incoming | undefined;
  try {
    for await (const bytes of call.requests) {
      const request = new Message(bytes);
      const [action, ref, total, expected, data] = [
        request.number(1),
        request.text(2),
        request.number(3),
        request.text(4),
        request.bytes(6),
      ];
      if (expected !== '' && statSync(blobPath(root, expected), { throwIfNoEntry: false })?.size === total && incoming === undefined)
        throw new GrpcError(grpcStatus.alreadyExists, `content ${expected}: already exists`);
      incoming ??= new Incoming(root, ref);
      if (action !== actions.stat && request.number(5) !== incoming.offset && data.length > 0)
        throw new GrpcError(
          grpcStatus.invalidArgument,
          `blob ${ref}: data for offset ${String(request.number(5))} came at ${String(incoming.offset)}`,
        );
      incoming.write(data);
      const digest = action === actions.commit ? incoming.commit(root, expected) : '';
      await call.send(
        encodeMessage([
          [1, action],
          [4, incoming.offset],
          [5, total],
          [6, digest],
        ]),
      );
      if (action === actions.commit) {
        incoming = undefined;
        return;
      }
    }
  } finally {
    incoming?.discard();
  }
}
