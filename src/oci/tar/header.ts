import { dataLoss, invalidArgument } from '#base/errors.ts';
import type { SparseSegment } from './entry.ts';
import { decodeName } from './names.ts';

export const blockBytes = 512;

/** The fields of one header block, before long names and PAX records are applied (POSIX pax, ustar Interchange Format; GNU tar manual, Standard). */
export interface RawHeader {
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content that follow in the archive. */
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly typeFlag: string;
  readonly linkName: string;
  readonly userName: string;
  readonly groupName: string;
  readonly devMajor: number;
  readonly devMinor: number;
  /** Old GNU sparse files (type S) only. */
  readonly gnuSparse: GnuSparse | undefined;
}

export interface GnuSparse {
  readonly segments: SparseSegment[];
  readonly realSize: number;
  /** More segments follow in extension blocks. */
  readonly extended: boolean;
}

/** Reads a header block; `where` names the place for error messages. Rejects with DataLoss when the checksum or a number is wrong. */
export function parseHeader(block: Uint8Array, where: string): RawHeader {
  checkSum(block, where);
  const isUstar = block[257] === 0x75 && block[258] === 0x73 && block[259] === 0x74 && block[260] === 0x61 && block[261] === 0x72;
  const isGnu = isUstar && block[262] === 0x20;
  const typeFlag = String.fromCharCode(block[156] ?? 0);
  const number = (offset: number, length: number, field: string): number => parseNumber(block, offset, length, field, where);
  let name = text(block, 0, 100);
  if (isUstar && !isGnu) {
    const isStar = block[508] === 0x74 && block[509] === 0x61 && block[510] === 0x72;
    const prefix = block[345] === 0 ? '' : text(block, 345, isStar ? 131 : 155);
    if (prefix !== '') name = `${prefix}/${name}`;
  }
  return {
    name,
    mode: number(100, 8, 'mode'),
    uid: number(108, 8, 'uid'),
    gid: number(116, 8, 'gid'),
    size: number(124, 12, 'size'),
    mtimeSeconds: number(136, 12, 'mtime'),
    typeFlag,
    linkName: block[157] === 0 ? '' : text(block, 157, 100),
    userName: isUstar && block[265] !== 0 ? text(block, 265, 32) : '',
    groupName: isUstar && block[297] !== 0 ? text(block, 297, 32) : '',
    devMajor: isUstar ? number(329, 8, 'device major') : 0,
    devMinor: isUstar ? number(337, 8, 'device minor') : 0,
    gnuSparse:
      typeFlag === 'S'
        ? { segments: parseGnuSegments(block, 386, 4, where), realSize: number(483, 12, 'real size'), extended: block[482] !== 0 }
        : undefined,
  };
}

/** An extension block of an old GNU sparse header: up to 21 segments and whether another block follows. */
export function parseGnuSparseExtension(block: Uint8Array, where: string): { segments: SparseSegment[]; extended: boolean } {
  return { segments: parseGnuSegments(block, 0, 21, where), extended: block[504] !== 0 };
}

function parseGnuSegments(block: Uint8Array, start: number, count: number, where: string): SparseSegment[] {
  const segments: SparseSegment[] = [];
  for (let at = start; at < start + count * 24; at += 24) {
    if (block[at + 12] === 0) break;
    segments.push({
      offset: parseNumber(block, at, 12, 'sparse offset', where),
      length: parseNumber(block, at + 12, 12, 'sparse length', where),
    });
  }
  return segments;
}

export function isZeroBlock(block: Uint8Array): boolean {
  for (let i = 0; i < blockBytes; i += 1) if (block[i] !== 0) return false;
  return true;
}

/** The sum of all header bytes, its own field counted as spaces. */
export function headerSum(block: Uint8Array): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < 148; i += 1) sum += block[i] ?? 0;
  for (let i = 156; i < blockBytes; i += 1) sum += block[i] ?? 0;
  return sum;
}

function checkSum(block: Uint8Array, where: string): void {
  // No sum of bytes needs the binary form, which is for large numbers.
  const stored = (block[148] ?? 0) >= 0x80 ? Number.NaN : parseNumber(block, 148, 8, 'checksum', where);
  if (stored === headerSum(block)) return;
  // Some old archivers summed signed bytes.
  let signed = 8 * 0x20;
  for (let i = 0; i < blockBytes; i += 1) if (i < 148 || i >= 156) signed += ((block[i] ?? 0) << 24) >> 24;
  if (stored !== signed) throw dataLoss(`damaged tar archive: wrong header checksum ${where}`);
}

function text(block: Uint8Array, offset: number, length: number): string {
  let end = offset;
  while (end < offset + length && block[end] !== 0) end += 1;
  return end === offset ? '' : decodeName(block.subarray(offset, end));
}

/** Octal digits, or a big-endian two's complement number when the top bit is set (GNU base-256). */
function parseNumber(block: Uint8Array, offset: number, length: number, field: string, where: string): number {
  const first = block[offset] ?? 0;
  if ((first & 0x80) !== 0) return parseBase256(block, offset, length, field, where);
  let value = 0;
  let at = offset;
  const end = offset + length;
  while (at < end && (block[at] === 0x20 || block[at] === 0)) at += 1;
  for (; at < end; at += 1) {
    const byte = block[at] ?? 0;
    if (byte === 0 || byte === 0x20) break;
    if (byte < 0x30 || byte > 0x37) throw dataLoss(`damaged tar archive: the ${field} field is not an octal number ${where}`);
    value = value * 8 + (byte - 0x30);
  }
  return value;
}

function parseBase256(block: Uint8Array, offset: number, length: number, field: string, where: string): number {
  let value = BigInt((block[offset] ?? 0) & 0x7f);
  for (let i = offset + 1; i < offset + length; i += 1) value = (value << 8n) | BigInt(block[i] ?? 0);
  const signed = BigInt.asIntN(length * 8 - 1, value);
  if (signed > BigInt(Number.MAX_SAFE_INTEGER) || signed < BigInt(Number.MIN_SAFE_INTEGER)) {
    throw invalidArgument(`unusable tar archive: the ${field} ${String(signed)} is too large ${where}`);
  }
  return Number(signed);
}
