import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { damaged, holds, holdsLater, outcomeOf } from '#test/helpers/fuzz.ts';
import type { TarEntry, TarEntryType } from './entry.ts';
import { blockBytes, headerSum } from './header.ts';
import { decodeName, encodeName } from './names.ts';
import { TarParser } from './parser.ts';
import { readAll, readTar } from './reader.ts';
import { type NewTarFile, tarHeader, tarPadding, tarTrailer, writeTar } from './writer.ts';

/** What a tar may be refused with. */
const refusals = ['DataLoss', 'InvalidArgument'] as const;

interface Member {
  readonly entry: TarEntry;
  readonly content: number[];
}

/** Feeds a parser in pieces of these sizes, over and over. */
function parse(archive: Uint8Array, sizes: readonly number[]): Member[] {
  const members: Member[] = [];
  const parser = new TarParser({
    entry: entry => void members.push({ entry, content: [] }),
    data: (chunk, offset) => {
      const content = members.at(-1)?.content ?? [];
      // Holes of sparse files can be larger than memory.
      for (const [index, byte] of chunk.entries()) content.push((offset + index) % 65_536, byte);
    },
    end: () => undefined,
  });
  for (let at = 0, turn = 0; at < archive.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? archive.length;
    parser.push(archive.subarray(at, at + size));
    at += size;
  }
  parser.finish();
  return members;
}

const nameByte = fc.integer({ min: 1, max: 255 }).filter(byte => byte !== 0x2f);
const namePart = fc
  .uint8Array({ minLength: 1, maxLength: 120 })
  .map(bytes => decodeName(bytes.map(byte => (byte === 0 || byte === 0x2f ? 0x61 : byte))));
const name = fc.array(namePart, { minLength: 1, maxLength: 4 }).map(parts => parts.join('/'));
const time = fc.record({ seconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), nanoseconds: fc.integer({ min: 0, max: 999_999_999 }) });
const types: readonly TarEntryType[] = ['file', 'directory', 'symlink', 'link', 'char', 'block', 'fifo'];
const member: fc.Arbitrary<NewTarFile> = fc
  .record({
    name,
    type: fc.constantFrom(...types),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.nat({ max: 2 ** 32 - 2 }),
    gid: fc.nat({ max: 2 ** 32 - 2 }),
    userName: fc.string({ maxLength: 40, unit: 'grapheme' }).map(text => text.replaceAll('\0', '')),
    groupName: fc.string({ maxLength: 40 }).map(text => text.replaceAll('\0', '')),
    mtime: time,
    linkName: name,
    devMajor: fc.nat({ max: 4095 }),
    devMinor: fc.nat({ max: 255 }),
    xattrs: fc.array(fc.tuple(fc.stringMatching(/^user\.[a-z.]{1,30}$/), fc.uint8Array({ maxLength: 300 })), { maxLength: 3 }),
    content: fc.uint8Array({ maxLength: 1600 }),
  })
  .map(({ content, xattrs, ...entry }) => ({
    entry: { ...entry, xattrs: new Map(xattrs), linkName: entry.type === 'symlink' || entry.type === 'link' ? entry.linkName : '' },
    ...(entry.type === 'file' ? { content } : {}),
  }));

function pack(files: readonly NewTarFile[]): Uint8Array {
  const parts = files.flatMap(({ entry, content }) => {
    const bytes = content instanceof Uint8Array ? content : new Uint8Array(0);
    return [tarHeader({ ...entry, sizeBytes: bytes.length }), bytes, tarPadding(bytes.length)];
  });
  return Buffer.concat([...parts, tarTrailer()]);
}

const archive = fc.array(member, { minLength: 1, maxLength: 5 }).map(pack);

/** Gives every header a sum that is right, so that damage gets past the first check. */
function withSums(bytes: Uint8Array): Uint8Array {
  const fixed = new Uint8Array(bytes);
  for (let at = 0; at + blockBytes <= fixed.length; at += blockBytes) {
    const block = fixed.subarray(at, at + blockBytes);
    if (Buffer.from(block.subarray(257, 262)).toString('latin1') !== 'ustar') continue;
    block.set(Buffer.from(`${headerSum(block).toString(8).padStart(6, '0')}\0 `), 148);
  }
  return fixed;
}

async function* inOnePiece(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

const sizes = fc.array(fc.integer({ min: 1, max: 1025 }), { minLength: 1, maxLength: 5 });

test('a tar reader takes any bytes apart or refuses them, in whatever pieces they come', () => {
  holds(fc.oneof(fc.uint8Array({ maxLength: 4096 }), damaged(archive), damaged(archive).map(withSums)), sizes, (bytes, pieces) => {
    const whole = outcomeOf(() => parse(bytes, [bytes.length]), refusals);
    const inPieces = outcomeOf(() => parse(bytes, pieces), refusals);
    expect(inPieces).toEqual(whole);
  });
}, 600_000);

test('extended headers of any kind are taken or refused', () => {
  const record = fc.oneof(
    fc
      .tuple(
        fc.constantFrom(
          'path',
          'linkpath',
          'size',
          'uid',
          'gid',
          'mtime',
          'hdrcharset',
          'GNU.sparse.major',
          'GNU.sparse.minor',
          'GNU.sparse.map',
          'GNU.sparse.size',
          'GNU.sparse.numblocks',
          'GNU.sparse.offset',
          'GNU.sparse.numbytes',
          'GNU.sparse.realsize',
          'GNU.sparse.name',
          'SCHILY.xattr.user.a',
        ),
        fc.oneof(
          fc.string({ maxLength: 30 }),
          fc.integer().map(String),
          fc.double().map(String),
          fc.constantFrom('1', '0', '0,512', '0,1,1,1'),
        ),
      )
      .map(([keyword, value]) => {
        const rest = ` ${keyword}=${value}\n`;
        const length = Buffer.byteLength(rest) + String(Buffer.byteLength(rest) + 2).length;
        return Buffer.from(`${String(length)}${rest}`);
      }),
    fc.uint8Array({ maxLength: 40 }).map(bytes => Buffer.from(bytes)),
  );
  holds(fc.array(record, { maxLength: 6 }), fc.constantFrom('x', 'g', 'L', 'K', 'S', 'V'), member, sizes, (records, flag, file, pieces) => {
    const body = Buffer.concat(records);
    const head = tarHeader({ name: 'meta', sizeBytes: body.length });
    head[156] = flag.charCodeAt(0);
    const bytes = withSums(Buffer.concat([head, body, tarPadding(body.length), pack([file])]));
    expect(outcomeOf(() => parse(bytes, pieces), refusals)).toEqual(outcomeOf(() => parse(bytes, [bytes.length]), refusals));
  });
}, 600_000);

test('what is written is read again, whatever it is', async () => {
  await holdsLater(fc.array(member, { maxLength: 4 }), async files => {
    const read: { entry: TarEntry; content: Uint8Array }[] = [];
    const bytes = Buffer.concat(await Array.fromAsync(writeTar(files), part => new Uint8Array(part)));
    for await (const { entry, content } of readTar(inOnePiece(bytes))) read.push({ entry, content: await readAll(content) });
    expect(read.map(({ entry }) => entry.name)).toEqual(files.map(({ entry }) => entry.name));
    for (const [index, { entry, content = new Uint8Array(0) }] of files.entries()) {
      const { devMajor, devMinor, ...rest } = entry;
      expect(read[index]?.entry).toMatchObject(entry.type === 'char' || entry.type === 'block' ? { ...rest, devMajor, devMinor } : rest);
      expect(Buffer.compare(read[index]?.content ?? new Uint8Array(0), content as Uint8Array)).toBe(0);
    }
  });
}, 600_000);

test('a name of any bytes is the same bytes again', () => {
  holds(fc.array(nameByte, { maxLength: 300 }), bytes => {
    expect([...encodeName(decodeName(Uint8Array.from(bytes)))]).toEqual(bytes);
  });
}, 600_000);
