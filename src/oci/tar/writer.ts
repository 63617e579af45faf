import { invalidArgument } from '#base/errors.ts';
import type { TarEntry, TarEntryType } from './entry.ts';
import { blockBytes, headerSum } from './header.ts';
import { encodeName } from './names.ts';
import { formatPaxRecord, formatPaxTime, xattrPrefix } from './pax.ts';

/** A member to write: what is left out is zero or empty, the mode 0o755 for directories and 0o644 for the rest. */
export type NewTarEntry = Pick<TarEntry, 'name'> & Partial<Omit<TarEntry, 'sparse'>>;

export interface NewTarFile {
  readonly entry: NewTarEntry;
  /** Must be as long as the entry says. */
  readonly content?: Uint8Array | AsyncIterable<Uint8Array>;
}

/** Writes an archive: ustar headers, PAX records only where a value does not fit. The same members give the same bytes. */
export async function* writeTar(files: Iterable<NewTarFile> | AsyncIterable<NewTarFile>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const { entry, content } of files) {
    const bytes = content instanceof Uint8Array ? content : undefined;
    const sizeBytes = entry.sizeBytes ?? bytes?.length ?? 0;
    yield tarHeader({ ...entry, sizeBytes });
    let written = 0;
    for await (const chunk of chunksOf(content)) {
      written += chunk.length;
      if (written > sizeBytes) break;
      yield chunk;
    }
    if (written !== sizeBytes) {
      throw invalidArgument(
        `"${entry.name}" changed while it was archived: its size was ${String(sizeBytes)} bytes, now it is ${written > sizeBytes ? 'more' : String(written)}`,
      );
    }
    yield tarPadding(sizeBytes);
  }
  yield tarTrailer();
}

/** The header of a member with the extended header it may need: a multiple of 512 bytes. */
export function tarHeader(entry: NewTarEntry): Uint8Array {
  const type = entry.type ?? 'file';
  const name = encodeName(type === 'directory' && entry.name !== '/' ? `${entry.name}/` : entry.name);
  const link = encodeName(entry.linkName ?? '');
  const mtime = entry.mtime ?? { seconds: 0, nanoseconds: 0 };
  const records: [string, Uint8Array][] = [];
  const fits = (keyword: string, value: number, digits: number): number => {
    if (value >= 0 && value < 8 ** digits) return value;
    records.push([keyword, encoder.encode(String(value))]);
    return 0;
  };

  const block = new Uint8Array(blockBytes);
  const split = isAscii(name) ? splitName(name) : undefined;
  if (split === undefined) records.push(['path', name]);
  block.set(split?.name ?? name.subarray(0, 100), 0);
  block.set(split?.prefix ?? empty, 345);
  octal(block, 100, 8, (entry.mode ?? (type === 'directory' ? 0o755 : 0o644)) & 0o7777);
  octal(block, 108, 8, fits('uid', entry.uid ?? 0, 7));
  octal(block, 116, 8, fits('gid', entry.gid ?? 0, 7));
  octal(block, 124, 12, fits('size', type === 'file' ? (entry.sizeBytes ?? 0) : 0, 11));
  if (mtime.nanoseconds !== 0 || mtime.seconds < 0 || mtime.seconds >= 8 ** 11) {
    records.push(['mtime', encoder.encode(formatPaxTime(mtime))]);
  }
  octal(block, 136, 12, Math.max(0, Math.min(mtime.seconds, 8 ** 11 - 1)));
  block[156] = typeFlags[type].charCodeAt(0);
  if (link.length > 100 || !isAscii(link)) records.push(['linkpath', link]);
  block.set(link.subarray(0, 100), 157);
  block.set(ustarMagic, 257);
  for (const [keyword, text, offset] of [
    ['uname', entry.userName ?? '', 265],
    ['gname', entry.groupName ?? '', 297],
  ] as const) {
    const bytes = encodeName(text);
    if (bytes.length > 31 || !isAscii(bytes)) records.push([keyword, bytes]);
    else block.set(bytes, offset);
  }
  if (type === 'char' || type === 'block') {
    octal(block, 329, 8, entry.devMajor ?? 0);
    octal(block, 337, 8, entry.devMinor ?? 0);
  }
  octal(block, 148, 7, headerSum(block));
  block[155] = 0x20;

  for (const [key, value] of [...(entry.xattrs ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))) records.push([`${xattrPrefix}${key}`, value]);
  return records.length === 0 ? block : concat([extendedHeader(name, records), block]);
}

/** The zeros between a member's content and the next header. */
export const tarPadding = (sizeBytes: number): Uint8Array => padding.subarray(0, (blockBytes - (sizeBytes % blockBytes)) % blockBytes);

/** The two blocks of zeros that end an archive. */
export const tarTrailer = (): Uint8Array => new Uint8Array(2 * blockBytes);

const chunksOf = (content: NewTarFile['content']): AsyncIterable<Uint8Array> | Uint8Array[] =>
  content === undefined ? [] : content instanceof Uint8Array ? [content] : content;

const encoder = new TextEncoder();
const empty = new Uint8Array(0);
const padding = new Uint8Array(blockBytes);
const ustarMagic = encoder.encode('ustar\u000000');

const typeFlags: Readonly<Record<TarEntryType, string>> = {
  file: '0',
  link: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

function extendedHeader(name: Uint8Array, records: readonly (readonly [string, Uint8Array])[]): Uint8Array {
  const isText = records.every(([keyword, value]) => keyword.startsWith(xattrPrefix) || isUtf8(value));
  const formatted = records.map(([keyword, value]) => formatPaxRecord(keyword, value));
  const body = concat(isText ? formatted : [formatPaxRecord('hdrcharset', encoder.encode('BINARY')), ...formatted]);
  const block = new Uint8Array(blockBytes);
  const base = name.filter(byte => byte < 0x80).subarray(-80);
  block.set(concat([encoder.encode('PaxHeaders/'), base.map(byte => (byte === 0x2f ? 0x5f : byte))]), 0);
  octal(block, 100, 8, 0o644);
  octal(block, 108, 8, 0);
  octal(block, 116, 8, 0);
  octal(block, 124, 12, body.length);
  octal(block, 136, 12, 0);
  block[156] = 'x'.charCodeAt(0);
  block.set(ustarMagic, 257);
  octal(block, 148, 7, headerSum(block));
  block[155] = 0x20;
  return concat([block, body, tarPadding(body.length)]);
}

/** Splits a name that is too long for its field at a slash; undefined when no place fits. */
function splitName(name: Uint8Array): { name: Uint8Array; prefix: Uint8Array } | undefined {
  if (name.length <= 100) return { name, prefix: empty };
  const slash = name.indexOf(0x2f, name.length - 101);
  if (slash <= 0 || slash > 155 || slash === name.length - 1) return undefined;
  return { name: name.subarray(slash + 1), prefix: name.subarray(0, slash) };
}

function octal(block: Uint8Array, offset: number, length: number, value: number): void {
  block.set(encoder.encode(value.toString(8).padStart(length - 1, '0')), offset);
}

const isAscii = (bytes: Uint8Array): boolean => bytes.every(byte => byte < 0x80);

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
