import { dataLoss } from '#base/errors.ts';
import { type Digest, sha256 } from '#oci/digest.ts';
import type { ClientSession } from './client-session.ts';
import { codec } from './codec.ts';

const service = '/containerd.services.content.v1.Content';
const write = { stat: 0, write: 1, commit: 2 } as const;
/** The largest message that gets through in one piece. */
const chunkBytes = 16 * 1024;

const readRequest = codec<{ readonly digest: string; readonly offset: number; readonly size: number }>(
  'containerd.services.content.v1.ReadContentRequest',
);
const readResponse = codec<{ readonly data: Uint8Array }>('containerd.services.content.v1.ReadContentResponse');
const writeRequest = codec<{
  readonly action: number;
  readonly ref: string;
  readonly total: number;
  readonly expected: string;
  readonly offset: number;
  readonly data: Uint8Array;
}>('containerd.services.content.v1.WriteContentRequest');

/** A store of blobs that a client offers under a name: a directory with an OCI layout. */
export class ClientContent {
  readonly #session: ClientSession;
  readonly #store: { readonly 'buildkit-attachable-store-id': string };

  constructor(session: ClientSession, store: string) {
    this.#session = session;
    this.#store = { 'buildkit-attachable-store-id': store };
  }

  async *read(digest: string, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const call = this.#session.call(`${service}/Read`, this.#store, signal);
    call.end(readRequest.encode({ digest }));
    for await (const message of call.messages) yield readResponse.decode(message).data;
  }

  /** A small blob as a whole. Rejects with DataLoss when it is not what its digest says. */
  async readAll(digest: string, signal: AbortSignal): Promise<Uint8Array> {
    const bytes = Buffer.concat(await Array.fromAsync(this.read(digest, signal)));
    if (sha256(bytes) !== digest) throw dataLoss(`the client sent something else than the blob ${digest}`);
    return bytes;
  }

  async write(digest: Digest, sizeBytes: number, bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    const call = this.#session.call(`${service}/Write`, this.#store, signal);
    const common = { ref: `berth-${digest}`, total: sizeBytes, expected: digest };
    const answers = call.messages[Symbol.asyncIterator]();
    try {
      await call.send(writeRequest.encode({ ...common, action: write.stat }));
      await answers.next();
      let offset = 0;
      for await (const chunk of bytes) {
        for (let at = 0; at < chunk.length; at += chunkBytes) {
          const data = chunk.subarray(at, at + chunkBytes);
          await call.send(writeRequest.encode({ ...common, action: write.write, offset, data }));
          await answers.next();
          offset += data.length;
        }
      }
      call.end(writeRequest.encode({ ...common, action: write.commit, offset }));
      for (let next = await answers.next(); next.done !== true; ) next = await answers.next();
    } catch (err) {
      // Blobs are what their digests say: one that is there is the same.
      if (!/already exists/.test(String(err))) throw err;
    }
  }
}
