const longestMessage = 65_535;

/** DNS over TCP puts the length before each message (RFC 1035, 4.2.2). */
export function withLength(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(2 + message.length);
  new DataView(bytes.buffer).setUint16(0, message.length);
  bytes.set(message, 2);
  return bytes;
}

/** Cuts a stream into messages. */
export class MessageReader {
  #rest = new Uint8Array();

  /** The messages that are complete with these bytes. */
  *read(chunk: Uint8Array): Generator<Uint8Array> {
    let bytes = new Uint8Array(this.#rest.length + chunk.length);
    bytes.set(this.#rest);
    bytes.set(chunk, this.#rest.length);
    while (bytes.length >= 2) {
      const length = new DataView(bytes.buffer, bytes.byteOffset).getUint16(0);
      if (bytes.length < 2 + length) break;
      yield bytes.slice(2, 2 + length);
      bytes = bytes.subarray(2 + length);
    }
    this.#rest = bytes.slice(0, longestMessage + 2);
  }
}
