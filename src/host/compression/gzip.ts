import { constants, crc32, deflateRaw, type InputType, type ZlibOptions } from 'node:zlib';

/** So much is compressed at a time, by one thread. */
const blockBytes = 256 * 1024;
/** What a block may refer to of the one before it (RFC 1951: the window of deflate). */
const windowBytes = 32 * 1024;
/** Blocks that are compressed at once. The machine's other work shares its processors: more do not make it faster. */
const blocksAtOnce = 4;
/** RFC 1952 2.3: no name, no time, so that equal content gives equal bytes; made on Unix. */
const header = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3);
/** RFC 1951 3.2.6: a last block, of fixed codes, with nothing in it. */
const lastBlock = Uint8Array.of(3, 0);

/**
 * One gzip member (RFC 1952) whose blocks are compressed side by side on other threads. Blocks that no compression would make smaller, as those of
 * pictures and archives, are stored as they are, unless a level (0 to 9) is asked for.
 */
export async function* gzip(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  level: number | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const working: Promise<Uint8Array>[] = [];
  let checksum = 0;
  let size = 0;
  let before: Uint8Array | undefined;
  try {
    yield header;
    for await (const block of blocksOf(source)) {
      signal.throwIfAborted();
      checksum = crc32(block, checksum);
      size += block.length;
      const packed = deflateBlock(block, before?.subarray(-windowBytes), level);
      // Whoever waits for it is told; until then nobody listens.
      packed.catch(() => undefined);
      working.push(packed);
      before = block;
      if (working.length >= blocksAtOnce) yield (await working.shift()) as Uint8Array;
    }
    for (const packed of working.splice(0)) yield await packed;
    const trailer = new Uint8Array(lastBlock.length + 8);
    trailer.set(lastBlock);
    const view = new DataView(trailer.buffer, lastBlock.length);
    view.setUint32(0, checksum, true);
    view.setUint32(4, size % 2 ** 32, true);
    yield trailer;
  } finally {
    await Promise.allSettled(working);
  }
}

/** The bytes of a stream in blocks of one size, which do not depend on how they arrive. Each has memory of its own. */
async function* blocksOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  let block = new Uint8Array(blockBytes);
  let filled = 0;
  for await (const chunk of source) {
    for (let from = 0; from < chunk.length; ) {
      const part = chunk.subarray(from, from + blockBytes - filled);
      block.set(part, filled);
      filled += part.length;
      from += part.length;
      if (filled < blockBytes) continue;
      yield block;
      block = new Uint8Array(blockBytes);
      filled = 0;
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}

/** Blocks of deflate that end at a whole byte, so that those of the next can follow. */
async function deflateBlock(block: Uint8Array, dictionary: Uint8Array | undefined, asked: number | undefined): Promise<Uint8Array> {
  const level = asked ?? (isIncompressible(block) ? constants.Z_NO_COMPRESSION : constants.Z_DEFAULT_COMPRESSION);
  return await deflated(block, { level, finishFlush: constants.Z_SYNC_FLUSH, ...(dictionary !== undefined && { dictionary }) });
}

const deflated = (input: InputType, options: ZlibOptions): Promise<Uint8Array> =>
  new Promise((resolve, reject) => deflateRaw(input, options, (err, result) => (err === null ? resolve(result) : reject(err))));

const samples = 8;
const sampleBytes = 2048;
/** Bits a byte. 16 KB of chance have 7.99; so have those of gzip, zstd or JPEG. Machine code has about 6. */
const incompressibleEntropy = 7.95;

/** Looks at parts of a block: whether its bytes are as evenly distributed as those of something that is compressed already. */
function isIncompressible(block: Uint8Array): boolean {
  if (block.length < samples * sampleBytes) return false;
  const counts = new Uint32Array(256);
  const step = Math.floor(block.length / samples);
  for (let sample = 0; sample < samples; sample += 1) {
    for (let at = sample * step; at < sample * step + sampleBytes; at += 1)
      counts[block[at] as number] = (counts[block[at] as number] as number) + 1;
  }
  let entropy = 0;
  for (const count of counts) {
    if (count > 0) entropy -= (count / (samples * sampleBytes)) * Math.log2(count / (samples * sampleBytes));
  }
  return entropy > incompressibleEntropy;
}
