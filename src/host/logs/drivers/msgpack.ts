/** MessagePack, as far as fluentd's forward protocol needs it. Texts are given with a byte per character. */
export class MsgpackWriter {
  readonly #parts: Buffer[] = [];

  array(length: number): this {
    return this.#head(length, 0x90, 0xf, 0xdc);
  }

  map(length: number): this {
    return this.#head(length, 0x80, 0xf, 0xde);
  }

  text(bytes: string): this {
    const { length } = bytes;
    if (length < 32) this.#byte(0xa0 | length);
    else if (length < 0x100) this.#byte(0xd9, length);
    else if (length < 0x1_0000) this.#byte(0xda, length >> 8, length & 0xff);
    else this.#byte(0xdb, ...bigEndian(length));
    this.#parts.push(Buffer.from(bytes, 'latin1'));
    return this;
  }

  /** A whole number of at most 32 bits. */
  integer(value: number): this {
    if (value < 0x80) this.#byte(value);
    else this.#byte(0xce, ...bigEndian(value));
    return this;
  }

  /** A time with nanoseconds, in the form that fluentd has for it. */
  eventTime(seconds: number, nanoseconds: number): this {
    this.#byte(0xd7, 0x00, ...bigEndian(seconds), ...bigEndian(nanoseconds));
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #head(length: number, small: number, most: number, large: number): this {
    if (length <= most) this.#byte(small | length);
    else this.#byte(large, length >> 8, length & 0xff);
    return this;
  }

  #byte(...values: readonly number[]): void {
    this.#parts.push(Buffer.from(values));
  }
}

const bigEndian = (value: number): [number, number, number, number] => [
  (value >>> 24) & 0xff,
  (value >>> 16) & 0xff,
  (value >>> 8) & 0xff,
  value & 0xff,
];

/** Finds the answers `{"ack": "…"}` in what a receiver sends back, however it is cut. */
export class AckReader {
  #unread: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): string[] {
    this.#unread = Buffer.concat([this.#unread, chunk]);
    const found: string[] = [];
    for (;;) {
      const reader = new MsgpackReader(this.#unread);
      try {
        const value = reader.value();
        this.#unread = this.#unread.subarray(reader.at);
        if (value instanceof Map) found.push(String(value.get('ack') ?? ''));
      } catch (err) {
        if (err instanceof RangeError) return found;
        throw err;
      }
    }
  }
}

type Value = string | number | boolean | null | Buffer | Value[] | Map<Value, Value>;

/** Reads one value; a RangeError says that it is not there completely. */
export class MsgpackReader {
  at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  value(): Value {
    const first = this.#number(1);
    if (first < 0x80) return first;
    if (first < 0x90) return this.#map(first & 0xf);
    if (first < 0xa0) return this.#array(first & 0xf);
    if (first < 0xc0) return this.#take(first & 0x1f).toString('utf8');
    if (first >= 0xe0) return first - 0x100;
    switch (first) {
      case 0xc0:
        return null;
      case 0xc2:
      case 0xc3:
        return first === 0xc3;
      case 0xc4:
        return this.#take(this.#number(1));
      case 0xc5:
        return this.#take(this.#number(2));
      case 0xcc:
        return this.#number(1);
      case 0xcd:
        return this.#number(2);
      case 0xce:
        return this.#number(4);
      case 0xd7: {
        this.at += 1;
        return this.#take(8);
      }
      case 0xd9:
        return this.#take(this.#number(1)).toString('utf8');
      case 0xda:
        return this.#take(this.#number(2)).toString('utf8');
      case 0xdb:
        return this.#take(this.#number(4)).toString('utf8');
      case 0xdc:
        return this.#array(this.#number(2));
      case 0xde:
        return this.#map(this.#number(2));
      default:
        throw new Error(`a MessagePack value of type 0x${first.toString(16)} was not expected`);
    }
  }

  #array(length: number): Value[] {
    return Array.from({ length }, () => this.value());
  }

  #map(length: number): Map<Value, Value> {
    const found = new Map<Value, Value>();
    for (let at = 0; at < length; at += 1) found.set(this.value(), this.value());
    return found;
  }

  #number(length: 1 | 2 | 4): number {
    return this.#take(length).readUIntBE(0, length);
  }

  #take(length: number): Buffer {
    if (this.at + length > this.#bytes.length) throw new RangeError('the value goes on');
    const taken = this.#bytes.subarray(this.at, this.at + length);
    this.at += length;
    return taken;
  }
}
