import { dataLoss } from '#base/errors.ts';

/** The fields of a protobuf message as they are on the wire: numbers, or bytes for texts, messages and bytes. Repeated fields are lists. */
export class Message {
  readonly #fields = new Map<number, (bigint | Uint8Array)[]>();

  /** Rejects with DataLoss for bytes that are no message. */
  constructor(bytes: Uint8Array) {
    const reader = new Reader(bytes);
    while (!reader.isAtEnd) {
      const tag = Number(reader.varint());
      const value = reader.value(tag & 7);
      const list = this.#fields.get(tag >>> 3);
      if (list === undefined) this.#fields.set(tag >>> 3, [value]);
      else list.push(value);
    }
  }

  text(field: number): string {
    return decoder.decode(this.bytes(field));
  }

  bytes(field: number): Uint8Array {
    const value = this.#fields.get(field)?.at(-1);
    return value instanceof Uint8Array ? value : empty;
  }

  number(field: number): number {
    const value = this.#fields.get(field)?.at(-1);
    return typeof value === 'bigint' ? Number(BigInt.asIntN(64, value)) : 0;
  }

  has(field: number): boolean {
    return this.#fields.has(field);
  }

  message(field: number): Message {
    return new Message(this.bytes(field));
  }

  messages(field: number): Message[] {
    return (this.#fields.get(field) ?? []).flatMap(value => (value instanceof Uint8Array ? [new Message(value)] : []));
  }

  /** A google.protobuf.Timestamp in milliseconds; undefined when it is not there. */
  time(field: number): number | undefined {
    if (!this.has(field)) return undefined;
    const time = this.message(field);
    return time.number(1) * 1000 + time.number(2) / 1e6;
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) break;
      this.#at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw dataLoss('a protobuf message is cut off');
  }

  value(wireType: number): bigint | Uint8Array {
    if (wireType === 0) return this.varint();
    const length = wireType === 1 ? 8 : wireType === 5 ? 4 : wireType === 2 ? Number(this.varint()) : Number.NaN;
    if (!(this.#at + length <= this.#bytes.length)) throw dataLoss('a protobuf message is cut off or of an unknown kind');
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return bytes;
  }
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();
const empty = new Uint8Array(0);

/** A field to write: its number and what it holds. Zeros and empty values are left out, as protobuf has it. */
export type Field = readonly [number: number, value: string | Uint8Array | number | bigint | undefined];

export function encodeMessage(fields: readonly Field[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [number, value] of fields) {
    if (value === undefined || value === 0 || value === 0n || value === '') continue;
    if (typeof value === 'number' || typeof value === 'bigint') parts.push(varint(BigInt(number) << 3n), varint(BigInt(value)));
    else {
      const bytes = typeof value === 'string' ? encoder.encode(value) : value;
      parts.push(varint((BigInt(number) << 3n) | 2n), varint(BigInt(bytes.length)), bytes);
    }
  }
  return Buffer.concat(parts);
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
