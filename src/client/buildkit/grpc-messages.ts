import type { Duplex } from 'node:stream';
import { EngineError, type ErrorKind } from '#base/errors.ts';

const prefixBytes = 5;

/** A message with its length before it, as gRPC sends it. */
export function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** The messages of a stream. Whoever has read enough leaves the stream open. */
export async function* readMessages(stream: Pick<Duplex, 'iterator'>): AsyncGenerator<Uint8Array> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= prefixBytes) {
      const end = prefixBytes + rest.readUInt32BE(1);
      if (rest.length < end) break;
      yield rest.subarray(prefixBytes, end);
      rest = rest.subarray(end);
    }
  }
}

/** What a daemon says of a call that failed; `details` are messages that say more, as they came. */
export class CallError extends EngineError {
  readonly details: Uint8Array;

  constructor(code: number, message: string, details: Uint8Array) {
    super(kinds[code] ?? 'Internal', message);
    this.details = details;
  }
}

/** gRPC's codes as kinds. */
const kinds: Readonly<Record<number, ErrorKind>> = {
  1: 'Canceled',
  3: 'InvalidArgument',
  4: 'DeadlineExceeded',
  5: 'NotFound',
  6: 'AlreadyExists',
  7: 'PermissionDenied',
  8: 'ResourceExhausted',
  9: 'FailedPrecondition',
  12: 'NotImplemented',
  14: 'Unavailable',
  15: 'DataLoss',
  16: 'Unauthenticated',
};
