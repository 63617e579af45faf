import { dataLoss } from '#base/errors.ts';

// Engine API, "attach", stream format:
//   [type, 0, 0, 0, length as 32 bits big-endian] payload

export type FrameType = 'stdin' | 'stdout' | 'stderr' | 'systemerr';
const types: readonly FrameType[] = ['stdin', 'stdout', 'stderr', 'systemerr'];

export const frameHeaderBytes = 8;

export function frameHeader(type: FrameType, payloadBytes: number): Uint8Array {
  const header = Buffer.allocUnsafe(frameHeaderBytes);
  header.writeUInt32BE(types.indexOf(type) << 24, 0);
  header.writeUInt32BE(payloadBytes, 4);
  return header;
}

/** Header and payload in one piece. */
export function frame(type: FrameType, payload: Uint8Array): Uint8Array {
  const framed = Buffer.allocUnsafe(frameHeaderBytes + payload.length);
  framed.writeUInt32BE(types.indexOf(type) << 24, 0);
  framed.writeUInt32BE(payload.length, 4);
  framed.set(payload, frameHeaderBytes);
  return framed;
}

/**
 * Takes a framed stream apart as it arrives, in pieces of any size. Payload is handed on as soon as it is there, so one frame may come as several
 * pieces; nothing is copied or held back but a split header.
 */
export class FrameReader {
  readonly #onPayload: (type: FrameType, payload: Uint8Array) => void;
  readonly #header = Buffer.alloc(frameHeaderBytes);
  #headerFilled = 0;
  #type: FrameType = 'stdout';
  #left = 0;

  constructor(onPayload: (type: FrameType, payload: Uint8Array) => void) {
    this.#onPayload = onPayload;
  }

  /** Rejects with DataLoss when what comes is no frame. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left === 0) {
        at = this.#readHeader(chunk, at);
        continue;
      }
      const end = Math.min(chunk.length, at + this.#left);
      this.#left -= end - at;
      this.#onPayload(this.#type, chunk.subarray(at, end));
      at = end;
    }
  }

  /** True between frames: a stream that ends elsewhere was cut off. */
  get atBoundary(): boolean {
    return this.#left === 0 && this.#headerFilled === 0;
  }

  #readHeader(chunk: Uint8Array, from: number): number {
    const end = Math.min(chunk.length, from + frameHeaderBytes - this.#headerFilled);
    this.#header.set(chunk.subarray(from, end), this.#headerFilled);
    this.#headerFilled += end - from;
    if (this.#headerFilled < frameHeaderBytes) return end;
    this.#headerFilled = 0;
    const type = types[this.#header[0] ?? 255];
    if (type === undefined) throw dataLoss(`unrecognized stream type ${this.#header[0]} in a multiplexed stream`);
    this.#type = type;
    this.#left = this.#header.readUInt32BE(4);
    return end;
  }
}
