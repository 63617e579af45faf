/** Netlink attributes (TLVs padded to four bytes). Numbers are in host byte order, which is little-endian on every platform served. */

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function attribute(type: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((4 + data.length + 3) & ~3);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4 + data.length, true);
  view.setUint16(2, type, true);
  bytes.set(data, 4);
  return bytes;
}

export const textAttribute = (type: number, text: string): Uint8Array => attribute(type, encoder.encode(`${text}\0`));
export const u8Attribute = (type: number, value: number): Uint8Array => attribute(type, Uint8Array.of(value));
export const u16Attribute = (type: number, value: number): Uint8Array => attribute(type, Uint8Array.of(value & 0xff, value >> 8));
export const u32Attribute = (type: number, value: number): Uint8Array => {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, value, true);
  return attribute(type, data);
};
export const nested = (type: number, ...parts: readonly Uint8Array[]): Uint8Array => attribute(type, concat(...parts));

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Attributes by type; of repeated ones the last. The nested and byte-order flags are left out of the type. */
export function parseAttributes(bytes: Uint8Array): ReadonlyMap<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + 4 <= bytes.length; ) {
    const size = view.getUint16(at, true);
    if (size < 4 || at + size > bytes.length) break;
    found.set(view.getUint16(at + 2, true) & 0x3fff, bytes.subarray(at + 4, at + size));
    at += (size + 3) & ~3;
  }
  return found;
}

export const textOf = (data: Uint8Array | undefined): string => (data === undefined ? '' : decoder.decode(data).replace(/\0.*$/s, ''));
export const u32Of = (data: Uint8Array | undefined): number =>
  data === undefined || data.length < 4 ? 0 : new DataView(data.buffer, data.byteOffset, data.length).getUint32(0, true);
