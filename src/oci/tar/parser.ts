import { dataLoss, invalidArgument } from '#base/errors.ts';
import type { SparseSegment, TarEntry, TarEntryType } from './entry.ts';
import { blockBytes, isZeroBlock, parseGnuSparseExtension, parseHeader, type RawHeader } from './header.ts';
import { decodeName } from './names.ts';
import { type PaxRecords, parsePax, parsePaxTime, paxNumber, xattrPrefix } from './pax.ts';
import { checkSegments, maxSegments, paxSparse, SparseMapReader } from './sparse.ts';

/** Receives an archive's members, one after the other: `entry`, its `data` (none or more), `end`. */
export interface TarSink {
  entry(entry: TarEntry): void;
  /** Bytes that belong at this offset of the file; holes are passed over. The chunk is valid during the call only. */
  data(chunk: Uint8Array, offset: number): void;
  end(entry: TarEntry): void;
}

/** Long names and extended headers above this are refused: nobody means them, and they would fill the memory. */
const maxMetaBytes = 8 * 1024 * 1024;

const types: Readonly<Record<string, TarEntryType>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  D: 'directory',
  '6': 'fifo',
};

type Meta = 'pax' | 'global' | 'name' | 'link' | 'skip';

/** What the next whole block is for; `meta` and `data` count bytes instead. */
type Step =
  | { readonly at: 'header' }
  | { readonly at: 'gnu-sparse'; readonly header: RawHeader; readonly segments: SparseSegment[] }
  | { readonly at: 'sparse-map'; readonly header: RawHeader; readonly realSize: number; readonly map: SparseMapReader; stored: number }
  | { readonly at: 'end' };

/**
 * A tar reader that is fed: every `push` reports to the sink what the bytes complete. Understands V7, ustar, PAX, GNU long names and links, base-256
 * numbers and all four ways to store sparse files. Throws DataLoss for a damaged archive, InvalidArgument for one with members of an unknown
 * type; after that it must not be used any more.
 */
export class TarParser {
  readonly #sink: TarSink;
  #step: Step = { at: 'header' };
  /** A block of which only the beginning has arrived. */
  readonly #partial = new Uint8Array(blockBytes);
  #partialBytes = 0;
  #zeroBlocks = 0;
  #position = 0;

  #meta: { readonly kind: Meta; readonly body: Uint8Array; filled: number } | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;
  #pax: PaxRecords | undefined;
  #paxPairs: number[] = [];
  readonly #globals: PaxRecords = new Map();
  #globalBytes = 0;

  #entry: TarEntry | undefined;
  #segments: readonly SparseSegment[] = [];
  #segment = 0;
  #segmentDone = 0;
  /** Stored content bytes still to come, then padding. */
  #remaining = 0;
  #padding = 0;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** True after the two zero blocks that end an archive; what follows is ignored. */
  get ended(): boolean {
    return this.#step.at === 'end';
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#step.at === 'end') {
        at = chunk.length;
      } else if (this.#remaining > 0) {
        const count = Math.min(this.#remaining, chunk.length - at);
        this.#takeContent(chunk.subarray(at, at + count));
        at += count;
      } else if (this.#padding > 0) {
        const count = Math.min(this.#padding, chunk.length - at);
        this.#padding -= count;
        this.#position += count;
        at += count;
      } else if (this.#partialBytes === 0 && chunk.length - at >= blockBytes) {
        this.#takeBlock(chunk.subarray(at, at + blockBytes));
        at += blockBytes;
      } else {
        const count = Math.min(blockBytes - this.#partialBytes, chunk.length - at);
        this.#partial.set(chunk.subarray(at, at + count), this.#partialBytes);
        this.#partialBytes += count;
        at += count;
        if (this.#partialBytes < blockBytes) break;
        this.#partialBytes = 0;
        this.#takeBlock(this.#partial);
      }
    }
  }

  /** Says that no more bytes come. Throws DataLoss when the archive is not complete. The zero blocks at the end may be missing, and what fills up
   *  the last file's block: Docker's command line leaves it out when it sends a Dockerfile from outside the context. */
  finish(): void {
    if (this.#step.at === 'end') return;
    const name = this.#entry?.name ?? this.#longName;
    if (this.#remaining > 0) {
      throw dataLoss(`truncated tar archive: ${String(this.#remaining)} bytes are missing${name === undefined ? '' : ` of "${name}"`}`);
    }
    const isInside = this.#step.at !== 'header' || this.#longName !== undefined || this.#longLink !== undefined || this.#pax !== undefined;
    if (isInside || this.#partialBytes > 0) {
      throw dataLoss(`truncated tar archive: it ends inside a header, after ${String(this.#position + this.#partialBytes)} bytes`);
    }
  }

  get #where(): string {
    return `at byte ${String(this.#position)}`;
  }

  #takeBlock(block: Uint8Array): void {
    const step = this.#step;
    switch (step.at) {
      case 'header':
        this.#takeHeader(block);
        break;
      case 'gnu-sparse': {
        const more = parseGnuSparseExtension(block, this.#where);
        step.segments.push(...more.segments);
        if (step.segments.length > maxSegments)
          throw dataLoss(`damaged tar archive: a sparse file in more than ${String(maxSegments)} parts ${this.#where}`);
        if (!more.extended) this.#begin(step.header, step.segments, step.header.gnuSparse?.realSize, step.header.size);
        break;
      }
      case 'sparse-map': {
        const segments = step.map.push(block);
        step.stored -= blockBytes;
        if (segments !== undefined) this.#begin(step.header, segments, step.realSize, step.stored);
        else if (step.stored <= 0) throw dataLoss(`damaged tar archive: the sparse map does not end ${this.#where}`);
        break;
      }
      case 'end':
        break;
    }
    this.#position += blockBytes;
  }

  #takeHeader(block: Uint8Array): void {
    if (block[0] === 0 && isZeroBlock(block)) {
      this.#zeroBlocks += 1;
      if (this.#zeroBlocks === 2) this.#step = { at: 'end' };
      return;
    }
    if (this.#zeroBlocks > 0) throw dataLoss(`damaged tar archive: data after a block of zeros ${this.#where}`);
    const header = parseHeader(block, this.#where);
    if (header.size < 0) throw dataLoss(`damaged tar archive: "${header.name}" has a negative size ${this.#where}`);
    switch (header.typeFlag) {
      case 'x':
      case 'X':
        return this.#beginMeta('pax', header);
      case 'g':
        return this.#beginMeta('global', header);
      case 'L':
        return this.#beginMeta('name', header);
      case 'K':
        return this.#beginMeta('link', header);
      case 'V':
        return this.#beginMeta('skip', header);
      default:
        return this.#takeMember(header);
    }
  }

  #beginMeta(kind: Meta, header: RawHeader): void {
    if (header.size > maxMetaBytes) {
      throw invalidArgument(
        `unusable tar archive: a header of ${String(header.size)} bytes, the limit is ${String(maxMetaBytes)} ${this.#where}`,
      );
    }
    this.#meta = { kind, body: new Uint8Array(header.size), filled: 0 };
    this.#remaining = header.size;
    this.#padding = paddingOf(header.size);
    if (header.size === 0) this.#endMeta();
  }

  #endMeta(): void {
    const meta = this.#meta;
    if (meta === undefined) return;
    this.#meta = undefined;
    switch (meta.kind) {
      case 'pax':
        this.#pax = parsePax(meta.body, this.#where, (keyword, value) => this.#paxPairs.push(paxNumber(value, keyword, this.#where)));
        break;
      case 'global':
        this.#addGlobals(parsePax(meta.body, this.#where));
        break;
      case 'name':
        this.#longName = decodeName(untilZero(meta.body));
        break;
      case 'link':
        this.#longLink = decodeName(untilZero(meta.body));
        break;
      case 'skip':
        break;
    }
  }

  /** They hold until the end of the archive: what all of them take is bounded like one header. */
  #addGlobals(records: PaxRecords): void {
    for (const [keyword, value] of records) {
      const before = this.#globals.get(keyword);
      this.#globalBytes += value.length - (before === undefined ? -keyword.length : before.length);
      this.#globals.set(keyword, value);
    }
    if (this.#globalBytes > maxMetaBytes)
      throw invalidArgument(`unusable tar archive: global headers of more than ${String(maxMetaBytes)} bytes ${this.#where}`);
  }

  /** A header that stands for a member: its content begins here, unless a sparse map comes first. */
  #takeMember(header: RawHeader): void {
    if (header.gnuSparse !== undefined) {
      if (header.gnuSparse.extended) this.#step = { at: 'gnu-sparse', header, segments: header.gnuSparse.segments };
      else this.#begin(header, header.gnuSparse.segments, header.gnuSparse.realSize, header.size);
      return;
    }
    const stored = this.#number('size') ?? header.size;
    const sparse = this.#pax === undefined ? undefined : paxSparse(this.#pax, this.#paxPairs, this.#where);
    if (sparse === undefined) this.#begin(header, undefined, undefined, stored);
    else if (sparse.segments !== undefined) this.#begin(header, sparse.segments, sparse.realSize, stored);
    else this.#step = { at: 'sparse-map', header, realSize: sparse.realSize, map: new SparseMapReader(this.#where), stored };
  }

  #begin(header: RawHeader, sparse: readonly SparseSegment[] | undefined, realSize: number | undefined, stored: number): void {
    const entry = this.#toEntry(header, sparse, realSize, stored);
    const hasContent = entry.type === 'file';
    this.#segments = entry.sparse ?? (stored > 0 ? [{ offset: 0, length: stored }] : []);
    this.#segment = 0;
    this.#segmentDone = 0;
    this.#entry = entry;
    this.#step = { at: 'header' };
    this.#longName = undefined;
    this.#longLink = undefined;
    this.#pax = undefined;
    this.#paxPairs = [];
    this.#remaining = hasContent ? stored : 0;
    this.#padding = paddingOf(this.#remaining);
    this.#sink.entry(entry);
    if (this.#remaining === 0) this.#endEntry();
  }

  #toEntry(header: RawHeader, sparse: readonly SparseSegment[] | undefined, realSize: number | undefined, stored: number): TarEntry {
    const fullName = this.#text('GNU.sparse.name') ?? this.#text('path') ?? this.#longName ?? header.name;
    // Archivers older than the directory type mark a directory by the slash alone.
    const type = fullName.endsWith('/') && header.typeFlag === '\0' ? 'directory' : types[header.typeFlag];
    if (type === undefined) {
      throw invalidArgument(`unusable tar archive: "${fullName}" is of unknown type ${JSON.stringify(header.typeFlag)} ${this.#where}`);
    }
    if (fullName === '') throw dataLoss(`damaged tar archive: a member without a name ${this.#where}`);
    const mtime = this.#pax?.get('mtime') ?? this.#globals.get('mtime');
    const sizeBytes = type === 'file' ? (realSize ?? stored) : 0;
    if (stored < 0) throw dataLoss(`damaged tar archive: "${fullName}" has a negative size ${this.#where}`);
    return {
      name: fullName.length > 1 && fullName.endsWith('/') ? fullName.replace(/\/+$/, '') || '/' : fullName,
      type,
      mode: header.mode & 0o7777,
      uid: this.#number('uid') ?? header.uid,
      gid: this.#number('gid') ?? header.gid,
      userName: this.#text('uname') ?? header.userName,
      groupName: this.#text('gname') ?? header.groupName,
      sizeBytes,
      mtime: mtime === undefined ? { seconds: header.mtimeSeconds, nanoseconds: 0 } : parsePaxTime(mtime, this.#where),
      linkName: type === 'link' || type === 'symlink' ? (this.#text('linkpath') ?? this.#longLink ?? header.linkName) : '',
      devMajor: header.devMajor,
      devMinor: header.devMinor,
      xattrs: this.#xattrs(),
      sparse: sparse === undefined ? undefined : checkSegments(sparse, sizeBytes, stored, this.#where),
    };
  }

  #text(keyword: string): string | undefined {
    const value = this.#pax?.get(keyword) ?? this.#globals.get(keyword);
    return value === undefined || value.length === 0 ? undefined : decodeName(value);
  }

  #number(keyword: string): number | undefined {
    const value = this.#pax?.get(keyword) ?? this.#globals.get(keyword);
    return value === undefined || value.length === 0 ? undefined : paxNumber(value, keyword, this.#where);
  }

  #xattrs(): ReadonlyMap<string, Uint8Array> {
    if (this.#pax === undefined) return noXattrs;
    let found: Map<string, Uint8Array> | undefined;
    for (const [keyword, value] of this.#pax) {
      if (keyword.startsWith(xattrPrefix)) (found ??= new Map<string, Uint8Array>()).set(keyword.slice(xattrPrefix.length), value);
    }
    return found ?? noXattrs;
  }

  #takeContent(bytes: Uint8Array): void {
    this.#remaining -= bytes.length;
    this.#position += bytes.length;
    if (this.#meta !== undefined) {
      this.#meta.body.set(bytes, this.#meta.filled);
      this.#meta.filled += bytes.length;
      if (this.#remaining === 0) this.#endMeta();
      return;
    }
    for (let at = 0; at < bytes.length; ) {
      const segment = this.#segments[this.#segment];
      if (segment === undefined) break;
      const count = Math.min(segment.length - this.#segmentDone, bytes.length - at);
      this.#sink.data(bytes.subarray(at, at + count), segment.offset + this.#segmentDone);
      this.#segmentDone += count;
      at += count;
      if (this.#segmentDone === segment.length) {
        this.#segment += 1;
        this.#segmentDone = 0;
      }
    }
    if (this.#remaining === 0) this.#endEntry();
  }

  #endEntry(): void {
    const entry = this.#entry;
    if (entry === undefined) return;
    this.#entry = undefined;
    this.#sink.end(entry);
  }
}

const noXattrs: ReadonlyMap<string, Uint8Array> = new Map();

const paddingOf = (size: number): number => (blockBytes - (size % blockBytes)) % blockBytes;

function untilZero(bytes: Uint8Array): Uint8Array {
  const zero = bytes.indexOf(0);
  return zero === -1 ? bytes : bytes.subarray(0, zero);
}
