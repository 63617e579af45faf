/** IP addresses and prefixes as numbers: parsing, canonical text, and the arithmetic that address management needs. */
export interface IpAddress {
  readonly family: 4 | 6;
  readonly value: bigint;
}

export interface Prefix extends IpAddress {
  /** Host bits are zero. */
  readonly length: number;
}

const bitsOf = (family: 4 | 6): number => (family === 4 ? 32 : 128);

/** Undefined when the text is not an address. IPv4-mapped IPv6 text (`::ffff:1.2.3.4`) gives the IPv4 address. */
export function parseIp(text: string): IpAddress | undefined {
  const value4 = parseIpv4(text);
  if (value4 !== undefined) return { family: 4, value: value4 };
  const value6 = parseIpv6(text);
  if (value6 === undefined) return undefined;
  return value6 >> 32n === 0xffffn ? { family: 4, value: value6 & 0xffffffffn } : { family: 6, value: value6 };
}

/** `address/length`; undefined when it is not one. The address keeps its host bits: see `networkOf`. */
export function parseCidr(text: string): { readonly address: IpAddress; readonly prefix: Prefix } | undefined {
  const slash = text.lastIndexOf('/');
  if (slash === -1 || !/^\d{1,3}$/.test(text.slice(slash + 1))) return undefined;
  const address = parseIp(text.slice(0, slash));
  const length = Number(text.slice(slash + 1));
  if (address === undefined || length > bitsOf(address.family)) return undefined;
  return { address, prefix: prefixOf(address, length) };
}

export function prefixOf(address: IpAddress, length: number): Prefix {
  const hostBits = BigInt(bitsOf(address.family) - length);
  return { family: address.family, value: (address.value >> hostBits) << hostBits, length };
}

export function formatIp({ family, value }: IpAddress): string {
  return family === 4 ? formatIpv4(value) : formatIpv6(value);
}

export const formatPrefix = (prefix: Prefix): string => `${formatIp(prefix)}/${String(prefix.length)}`;

/** How many addresses a prefix has. */
export const prefixSize = (prefix: Prefix): bigint => 1n << BigInt(bitsOf(prefix.family) - prefix.length);

export const contains = (prefix: Prefix, address: IpAddress): boolean =>
  prefix.family === address.family && address.value >= prefix.value && address.value < prefix.value + prefixSize(prefix);

export const overlaps = (a: Prefix, b: Prefix): boolean => contains(a, b) || contains(b, a);

export const addressAt = (prefix: Prefix, offset: bigint): IpAddress => ({ family: prefix.family, value: prefix.value + offset });

/** Network byte order: 4 or 16 bytes. */
export function ipBytes({ family, value }: IpAddress): Uint8Array {
  const bytes = new Uint8Array(bitsOf(family) / 8);
  for (let at = bytes.length - 1, rest = value; at >= 0; at--, rest >>= 8n) bytes[at] = Number(rest & 0xffn);
  return bytes;
}

export function ipFromBytes(bytes: Uint8Array): IpAddress {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return { family: bytes.length === 4 ? 4 : 6, value };
}

/** 127.0.0.0/8 or ::1. */
export const isLoopback = ({ family, value }: IpAddress): boolean => (family === 4 ? value >> 24n === 127n : value === 1n);

/** 0.0.0.0 or ::. */
export const isUnspecified = ({ value }: IpAddress): boolean => value === 0n;

function parseIpv4(text: string): bigint | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    // A leading zero means octal to some readers and decimal to others, so nobody means well by it.
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return value;
}

function parseIpv6(text: string): bigint | undefined {
  if (!text.includes(':')) return undefined;
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const groups = halves.map(parseGroups);
  const [head, tail] = groups;
  if (head === undefined || groups.includes(undefined)) return undefined;
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const all = [...head, ...Array<number>(missing).fill(0), ...(tail ?? [])];
  return all.reduce((value, group) => (value << 16n) | BigInt(group), 0n);
}

function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    const embedded = index === parts.length - 1 ? parseIpv4(part) : undefined;
    if (embedded !== undefined) groups.push(Number(embedded >> 16n), Number(embedded & 0xffffn));
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

function formatIpv4(value: bigint): string {
  return [24n, 16n, 8n, 0n].map(shift => String((value >> shift) & 0xffn)).join('.');
}

/** RFC 5952: lower case, the longest run of two or more zero groups shortened, the first of equals. */
function formatIpv6(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) => Number((value >> BigInt(112 - 16 * index)) & 0xffffn));
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const text = (part: number[]): string => part.map(group => group.toString(16)).join(':');
  if (best.start === -1) return text(groups);
  return `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`;
}
