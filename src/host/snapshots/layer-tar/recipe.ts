import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { dataLoss } from '#base/errors.ts';
import { decodeName, encodeName } from '#oci/tar/names.ts';
import { crc32 } from './crc32.ts';

/**
 * How the tar of a layer is made again from the layer's files, byte for byte: what is not in a file (headers, padding, the end) in its own words, the
 * rest as parts of files.
 */
export type RecipeStep =
  | { readonly is: 'bytes'; readonly bytes: Uint8Array }
  /** `crc32`: of this part. */
  | { readonly is: 'part'; readonly name: string; readonly offset: number; readonly length: number; readonly crc32: number };

const frameBytes = 1024 * 1024;
/** A frame holds whole steps; this is how long one can be, and so how large a frame. */
const maxStepBytes = 64 * 1024;
const stepHeadBytes = { bytes: 5, part: 25 } as const;
const [bytesTag, partTag] = [0, 1];
const compression = { level: 1 } as const;

/** Notes a recipe while the tar goes by. It is worth something only when `finish` says so. */
export class RecipeWriter {
  readonly #fd: number;
  readonly #frame = Buffer.allocUnsafe(frameBytes);
  #filled = 0;
  #tarBytes = 0;
  #isValid = true;
  #chunk: Uint8Array = new Uint8Array(0);
  /** How much of the chunk is noted. */
  #noted = 0;
  #part: { readonly name: string; readonly offset: number; length: number; crc: number } | undefined;

  /** The file must not exist. */
  constructor(path: string) {
    this.#fd = openSync(path, 'wx', 0o600);
  }

  /** The next bytes of the tar. Those of them that a file has are told by `content` before `endChunk`. */
  beginChunk(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#noted = 0;
  }

  /** A piece of the chunk (the same memory) is in this file from `offset` on. */
  content(piece: Uint8Array, name: string, offset: number): void {
    const at = piece.byteOffset - this.#chunk.byteOffset;
    if (at > this.#noted) this.#bytes(this.#chunk.subarray(this.#noted, at));
    this.#noted = at + piece.length;
    this.#tarBytes += piece.length;
    const part = this.#part;
    if (part !== undefined && part.name === name && part.offset + part.length === offset) {
      part.length += piece.length;
      part.crc = crc32(piece, part.crc);
      return;
    }
    this.#endPart();
    this.#part = { name, offset, length: piece.length, crc: crc32(piece) };
  }

  endChunk(): void {
    if (this.#noted < this.#chunk.length) this.#bytes(this.#chunk.subarray(this.#noted));
  }

  /** A file that was told of is not what it was: the tar cannot be made from the files. */
  invalidate(): void {
    this.#isValid = false;
  }

  /** How long the tar is; undefined when the file is no recipe for it. */
  finish(): number | undefined {
    this.#endPart();
    this.#flush();
    closeSync(this.#fd);
    return this.#isValid ? this.#tarBytes : undefined;
  }

  #bytes(bytes: Uint8Array): void {
    this.#endPart();
    this.#tarBytes += bytes.length;
    for (let at = 0; at < bytes.length; at += maxStepBytes) {
      const piece = bytes.subarray(at, at + maxStepBytes);
      this.#reserve(stepHeadBytes.bytes + piece.length);
      this.#filled = this.#frame.writeUInt8(bytesTag, this.#filled);
      this.#filled = this.#frame.writeUInt32LE(piece.length, this.#filled);
      this.#frame.set(piece, this.#filled);
      this.#filled += piece.length;
    }
  }

  #endPart(): void {
    const part = this.#part;
    if (part === undefined) return;
    this.#part = undefined;
    const name = encodeName(part.name);
    if (name.length > maxStepBytes) return this.invalidate();
    this.#reserve(stepHeadBytes.part + name.length);
    this.#filled = this.#frame.writeUInt8(partTag, this.#filled);
    this.#filled = this.#frame.writeDoubleLE(part.offset, this.#filled);
    this.#filled = this.#frame.writeDoubleLE(part.length, this.#filled);
    this.#filled = this.#frame.writeUInt32LE(part.crc, this.#filled);
    this.#filled = this.#frame.writeUInt32LE(name.length, this.#filled);
    this.#frame.set(name, this.#filled);
    this.#filled += name.length;
  }

  #reserve(bytes: number): void {
    if (this.#filled + bytes > this.#frame.length) this.#flush();
  }

  #flush(): void {
    if (this.#filled === 0) return;
    const packed = Bun.zstdCompressSync(this.#frame.subarray(0, this.#filled), compression);
    const head = Buffer.alloc(4);
    head.writeUInt32LE(packed.length);
    for (const bytes of [head, packed]) for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
    this.#filled = 0;
  }
}

/** Reads a recipe from its beginning. Throws DataLoss when it is damaged. */
export function* readRecipe(fd: number): Generator<RecipeStep, void, undefined> {
  let position = 0;
  const take = (length: number): Buffer<ArrayBuffer> | undefined => {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; ) {
      const count = readSync(fd, bytes, at, length - at, position);
      if (count === 0 && at === 0) return undefined;
      if (count === 0) throw damaged();
      at += count;
      position += count;
    }
    return bytes;
  };
  for (let head = take(4); head !== undefined; head = take(4)) {
    const length = head.readUInt32LE();
    // Even what cannot be compressed grows by little.
    if (length === 0 || length > 2 * frameBytes) throw damaged();
    const packed = take(length);
    if (packed === undefined) throw damaged();
    yield* stepsOf(unpackFrame(packed));
  }
}

function unpackFrame(packed: Uint8Array<ArrayBuffer>): Buffer {
  try {
    return Bun.zstdDecompressSync(packed);
  } catch (cause) {
    throw damaged(cause);
  }
}

function* stepsOf(frame: Buffer): Generator<RecipeStep, void, undefined> {
  for (let at = 0; at < frame.length; ) {
    const tag = frame[at];
    const headBytes = tag === partTag ? stepHeadBytes.part : stepHeadBytes.bytes;
    if (tag === undefined || tag > partTag || at + headBytes > frame.length) throw damaged();
    const length = frame.readUInt32LE(at + headBytes - 4);
    const body = frame.subarray(at + headBytes, at + headBytes + length);
    if (body.length < length) throw damaged();
    yield tag === bytesTag
      ? { is: 'bytes', bytes: body }
      : {
          is: 'part',
          offset: frame.readDoubleLE(at + 1),
          length: frame.readDoubleLE(at + 9),
          crc32: frame.readUInt32LE(at + 17),
          name: decodeName(body),
        };
    at += headBytes + length;
  }
}

const damaged = (cause?: unknown): Error => dataLoss('the record of how the layer was packed is damaged', { cause });
