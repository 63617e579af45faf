import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { invalidArgument } from '#base/errors.ts';

/** The part of RFC 6455 that a byte stream needs: data in unfragmented frames out, any frames in, ping and close answered. */

const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const acceptSuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** Frames are taken apart as they come, so only a control frame has a limit (RFC 6455, 5.5). */
const controlLimitBytes = 125;

/** The answer to a client's key. Rejects with InvalidArgument when the request asks for no websocket that is spoken here. */
export function acceptKey(headers: IncomingHttpHeaders): string {
  const key = headers['sec-websocket-key'];
  if (headers.upgrade?.toLowerCase() !== 'websocket' || key === undefined || Buffer.from(key, 'base64').length !== 16) {
    throw invalidArgument(
      'not a websocket request: expected the headers "Upgrade: websocket" and "Sec-WebSocket-Key" with 16 bytes in base64',
    );
  }
  const version = headers['sec-websocket-version'];
  if (version !== '13') throw invalidArgument(`unsupported websocket version ${JSON.stringify(version ?? '')}: expected 13`);
  return createHash('sha1').update(`${key}${acceptSuffix}`).digest('base64');
}

/** Output as the client wants it: text frames show non-UTF-8 bytes wrongly, but are what clients of old versions read. */
export type DataFrame = 'text' | 'binary';

export const dataFrame = (kind: DataFrame, payload: Uint8Array): Uint8Array => encode(opcodes[kind], payload);
export const isClose = (frame: Uint8Array): boolean => ((frame[0] ?? 0) & 0x0f) === opcodes.close;
/** 1000: the purpose of the connection was fulfilled. */
export const closeFrame = (): Uint8Array => encode(opcodes.close, Buffer.from([0x03, 0xe8]));

function encode(opcode: number, payload: Uint8Array): Uint8Array {
  const size = payload.length;
  const headBytes = size < 126 ? 2 : size < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(headBytes + size);
  frame[0] = 0x80 | opcode;
  frame[1] = size < 126 ? size : size < 65_536 ? 126 : 127;
  if (headBytes === 4) frame.writeUInt16BE(size, 2);
  if (headBytes === 10) frame.writeBigUInt64BE(BigInt(size), 2);
  frame.set(payload, headBytes);
  return frame;
}

interface Frame {
  readonly opcode: number;
  readonly mask: Uint8Array;
  readonly sizeBytes: number;
}

/**
 * The data of a client's frames, in order; ends with its close frame or the connection. `reply` sends what control frames call for. Rejects with
 * InvalidArgument when the bytes are no frames.
 */
export async function* readFrames(bytes: AsyncIterable<Uint8Array>, reply: (frame: Uint8Array) => void): AsyncGenerator<Uint8Array> {
  let pending: Buffer = Buffer.alloc(0);
  let frame: Frame | undefined;
  let doneBytes = 0;
  for await (const chunk of bytes) {
    pending = pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([pending, chunk]);
    for (;;) {
      if (frame === undefined) {
        const head = parseHead(pending);
        if (head === undefined) break;
        frame = head.frame;
        pending = pending.subarray(head.headBytes);
        doneBytes = 0;
      }
      const isControl = frame.opcode >= opcodes.close;
      const missing = frame.sizeBytes - doneBytes;
      if (pending.length < missing && (isControl || pending.length === 0)) break;
      const payload = unmask(pending.subarray(0, missing), frame.mask, doneBytes);
      pending = pending.subarray(payload.length);
      doneBytes += payload.length;
      if (frame.opcode === opcodes.ping) reply(encode(opcodes.pong, payload));
      if (frame.opcode === opcodes.close) return reply(encode(opcodes.close, payload));
      if (!isControl && payload.length > 0) yield payload;
      if (doneBytes === frame.sizeBytes) frame = undefined;
    }
  }
}

/** Undefined while the head is incomplete. */
function parseHead(bytes: Buffer): { readonly frame: Frame; readonly headBytes: number } | undefined {
  const [first, second] = bytes;
  if (first === undefined || second === undefined) return undefined;
  const opcode = first & 0x0f;
  if ((first & 0x70) !== 0 || !Object.values<number>(opcodes).includes(opcode))
    throw invalidArgument('invalid websocket frame: unknown bits in its head');
  if ((second & 0x80) === 0) throw invalidArgument('invalid websocket frame: what a client sends must be masked');
  const short = second & 0x7f;
  const sizeAt = 2;
  const maskAt = sizeAt + (short === 126 ? 2 : short === 127 ? 8 : 0);
  if (bytes.length < maskAt + 4) return undefined;
  const sizeBytes = short === 126 ? bytes.readUInt16BE(sizeAt) : short === 127 ? Number(bytes.readBigUInt64BE(sizeAt)) : short;
  if (!Number.isSafeInteger(sizeBytes) || (opcode >= opcodes.close && sizeBytes > controlLimitBytes)) {
    throw invalidArgument(`invalid websocket frame: ${sizeBytes} bytes are too many`);
  }
  return { frame: { opcode, sizeBytes, mask: bytes.subarray(maskAt, maskAt + 4) }, headBytes: maskAt + 4 };
}

function unmask(bytes: Uint8Array, mask: Uint8Array, offset: number): Uint8Array {
  const plain = Buffer.allocUnsafe(bytes.length);
  for (const [i, byte] of bytes.entries()) plain[i] = byte ^ (mask[(offset + i) & 3] ?? 0);
  return plain;
}
