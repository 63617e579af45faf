import { dataLoss } from '#base/errors.ts';
import type { SparseSegment } from './entry.ts';
import { type PaxRecords, paxNumber } from './pax.ts';

const latin1 = new TextDecoder('latin1');
/** How many parts with data a file may have: more would only fill the memory. */
export const maxSegments = 1_000_000;

/** What the PAX records say about a sparse file (GNU tar manual, Storing Sparse Files). */
export interface PaxSparse {
  readonly realSize: number;
  /** Undefined for format 1.0, whose map precedes the content. */
  readonly segments: SparseSegment[] | undefined;
}

/** Undefined when the records describe no sparse file. `pairs` are the repeated offset and numbytes values of format 0.0. */
export function paxSparse(records: PaxRecords, pairs: readonly number[], where: string): PaxSparse | undefined {
  const number = (keyword: string): number | undefined => {
    const value = records.get(keyword);
    return value === undefined ? undefined : paxNumber(value, keyword, where);
  };
  const realSize = number('GNU.sparse.realsize') ?? number('GNU.sparse.size');
  if (realSize === undefined) return undefined;
  if (number('GNU.sparse.major') === 1) return { realSize, segments: undefined };
  const map = records.get('GNU.sparse.map');
  if (map !== undefined) return { realSize, segments: toSegments(latin1.decode(map).split(',').map(Number), where) };
  return pairs.length > 0 ? { realSize, segments: toSegments(pairs, where) } : undefined;
}

/** Reads the map that format 1.0 puts before the content: decimal lines, the first one the number of segments, padded to a whole block. */
export class SparseMapReader {
  /** The line that has begun. */
  #digits = '';
  readonly #numbers: number[] = [];
  readonly #where: string;

  constructor(where: string) {
    this.#where = where;
  }

  /** Takes the next block; the segments when it was the last one. */
  push(block: Uint8Array): SparseSegment[] | undefined {
    for (const byte of block) {
      if (byte !== newline) {
        this.#digits += String.fromCharCode(byte);
        if (this.#digits.length > maxDigits) this.#fail();
        continue;
      }
      if (!/^\d+$/.test(this.#digits)) this.#fail();
      this.#numbers.push(Number(this.#digits));
      this.#digits = '';
      const [count = 0] = this.#numbers;
      if (count > maxSegments) this.#fail();
      if (this.#numbers.length === 1 + count * 2) return toSegments(this.#numbers.slice(1), this.#where);
    }
    return undefined;
  }

  #fail(): never {
    throw dataLoss(`damaged tar archive: malformed sparse map ${this.#where}`);
  }
}

const newline = 0x0a;
/** As many as the largest offset has. */
const maxDigits = 20;

function toSegments(numbers: readonly number[], where: string): SparseSegment[] {
  const segments: SparseSegment[] = [];
  for (let i = 0; i + 1 < numbers.length; i += 2) segments.push({ offset: numbers[i] ?? Number.NaN, length: numbers[i + 1] ?? Number.NaN });
  if (numbers.length % 2 !== 0) throw dataLoss(`damaged tar archive: malformed sparse map ${where}`);
  return segments;
}

/**
 * Checks that the segments are in order, inside the file, and cover exactly the stored bytes. Empty ones (GNU tar ends a map with one when the
 * file ends in a hole) are left out.
 */
export function checkSegments(segments: readonly SparseSegment[], realSize: number, storedBytes: number, where: string): SparseSegment[] {
  let end = 0;
  let total = 0;
  for (const { offset, length } of segments) {
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || length < 0 || offset < end || offset + length > realSize) {
      throw dataLoss(`damaged tar archive: sparse segments overlap or pass the end of the file ${where}`);
    }
    end = offset + length;
    total += length;
  }
  if (total !== storedBytes) throw dataLoss(`damaged tar archive: the sparse map does not match the stored bytes ${where}`);
  return segments.filter(segment => segment.length > 0);
}
