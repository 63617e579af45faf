import { blockBytes, headerSum } from '#oci/tar/header.ts';

/** A stream whose beginning can be looked at before it is read. */
export class PeekedStream {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #chunks: Uint8Array[] = [];
  #length = 0;
  #isDone = false;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#source = stream[Symbol.asyncIterator]();
  }

  /** The first block of a tar archive, or what there is. */
  async peek(): Promise<Uint8Array> {
    while (this.#length < blockBytes && !this.#isDone) await this.#readChunk();
    return Buffer.concat(this.#chunks);
  }

  async bytes(): Promise<Uint8Array> {
    while (!this.#isDone) await this.#readChunk();
    return Buffer.concat(this.#chunks);
  }

  /** All of it, a piece at a time. */
  stream(onBytes: (count: number) => void): ReadableStream<Uint8Array> {
    const chunks = this.#chunks;
    const source = this.#source;
    return new ReadableStream({
      async pull(controller) {
        const value = chunks.shift() ?? (await nextOf(source));
        if (value === undefined) {
          controller.close();
          return;
        }
        onBytes(value.length);
        controller.enqueue(value);
      },
      async cancel() {
        await source.return?.();
      },
    });
  }

  async #readChunk(): Promise<void> {
    const value = await nextOf(this.#source);
    this.#isDone = value === undefined;
    if (value === undefined) return;
    this.#chunks.push(value);
    this.#length += value.length;
  }
}

async function nextOf(source: AsyncIterator<Uint8Array>): Promise<Uint8Array | undefined> {
  const { done, value } = await source.next();
  return done === true ? undefined : value;
}

const zstd = [0x28, 0xb5, 0x2f, 0xfd];
const magics: readonly (readonly number[])[] = [[0x1f, 0x8b, 0x08], [0x42, 0x5a, 0x68], [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], zstd];

const beginsWith = (start: Uint8Array, magic: readonly number[]): boolean => magic.every((byte, index) => start[index] === byte);

export const isZstd = (start: Uint8Array): boolean => beginsWith(start, zstd);

/** Whether something begins as an archive does, or as a compressed one. */
export function isArchive(start: Uint8Array): boolean {
  if (magics.some(magic => beginsWith(start, magic))) return true;
  if (start.length < blockBytes) return false;
  const block = start.subarray(0, blockBytes);
  const written = Number.parseInt(new TextDecoder('latin1').decode(block.subarray(148, 156)).replace(/[^0-7]/g, ''), 8);
  return written === headerSum(block);
}
