import { describe, expect, test } from 'bun:test';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
  openSync,
  closeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kindOf } from '#base/errors.ts';
import type { TarEntry } from './entry.ts';
import { headerSum } from './header.ts';
import { decodeName, encodeName } from './names.ts';
import { formatPaxRecord, formatPaxTime, parsePaxTime } from './pax.ts';
import { readAll, readTar } from './reader.ts';
import { type NewTarFile, tarHeader, tarPadding, writeTar } from './writer.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The archive in chunks of this size, as a network would deliver it. */
async function* chunked(archive: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < archive.length; at += size) yield archive.subarray(at, at + size);
}

async function pack(files: Iterable<NewTarFile>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of writeTar(files)) parts.push(new Uint8Array(part));
  return Buffer.concat(parts);
}

async function unpack(archive: Uint8Array, chunk = 65_536): Promise<{ entry: TarEntry; content: Uint8Array }[]> {
  const files: { entry: TarEntry; content: Uint8Array }[] = [];
  for await (const { entry, content } of readTar(chunked(archive, chunk))) files.push({ entry, content: await readAll(content) });
  return files;
}

const failure = async (action: Promise<unknown>): Promise<unknown> =>
  await action.then(
    () => undefined,
    (err: unknown) => err,
  );

describe('writeTar() and readTar()', () => {
  const files: NewTarFile[] = [
    { entry: { name: 'dir', type: 'directory', mode: 0o1777 } },
    { entry: { name: 'dir/hello', mode: 0o4755, uid: 1000, gid: 100, userName: 'me', groupName: 'users' }, content: bytes('hello\n') },
    { entry: { name: `long/${'n'.repeat(90)}/${'m'.repeat(90)}` }, content: bytes('prefix') },
    { entry: { name: `longer/${'x'.repeat(300)}` }, content: bytes('pax') },
    { entry: { name: 'größe', userName: 'jürgen' }, content: bytes('') },
    { entry: { name: 'latin1-\udce4', type: 'symlink', linkName: 'ziel-\udcfc' } },
    { entry: { name: 'link', type: 'link', linkName: 'y'.repeat(200) } },
    { entry: { name: 'null', type: 'char', mode: 0o666, devMajor: 1, devMinor: 3 } },
    { entry: { name: 'loop', type: 'block', devMajor: 7, devMinor: 0 } },
    { entry: { name: 'pipe', type: 'fifo' } },
    { entry: { name: 'big-owner', uid: 4_000_000_000, gid: 3_000_000_000 } },
    { entry: { name: 'times', mtime: { seconds: 1_700_000_000, nanoseconds: 123_456_789 } } },
    { entry: { name: 'before-1970', mtime: { seconds: -2, nanoseconds: 500_000_000 } } },
    {
      entry: {
        name: 'xattrs',
        xattrs: new Map([
          ['security.capability', Uint8Array.of(1, 0, 0, 2, 10, 61)],
          ['user.a', bytes('b')],
        ]),
      },
    },
  ];

  for (const size of [1, 511, 512, 513, 65_536]) {
    test(`keep everything, in chunks of ${String(size)} bytes`, async () => {
      const read = await unpack(await pack(files), size);
      expect(read.map(file => file.entry.name)).toEqual(files.map(file => file.entry.name));
      for (const [i, file] of files.entries()) {
        expect(read[i]?.entry).toMatchObject(file.entry);
        expect(Buffer.from(read[i]?.content ?? []).toString()).toBe(Buffer.from((file.content as Uint8Array | undefined) ?? []).toString());
      }
    });
  }

  test('give the same bytes for the same members', async () => {
    expect(await pack(files)).toEqual(await pack(files));
  });

  test('reject content that is shorter or longer than the entry says', async () => {
    for (const content of ['four', 'seven!!']) {
      const err = await failure(pack([{ entry: { name: 'a', sizeBytes: 5 }, content: bytes(content) }]));
      expect(kindOf(err)).toBe('InvalidArgument');
    }
  });

  test('content that nobody reads is skipped', async () => {
    const names: string[] = [];
    for await (const { entry } of readTar(chunked(await pack(files), 700))) names.push(entry.name);
    expect(names).toEqual(files.map(file => file.entry.name));
  });
});

describe('readTar() of a damaged archive', () => {
  const archive = pack([
    { entry: { name: 'first' }, content: bytes('x'.repeat(2000)) },
    { entry: { name: 'second' }, content: bytes('y') },
  ]);

  test('says what is missing when it is truncated', async () => {
    const whole = await archive;
    for (const [length, words] of [
      [700, /1812 bytes are missing of "first"/],
      [300, /inside a header/],
      [2600, /inside a header/],
    ] as const) {
      const err = await failure(unpack(whole.subarray(0, length)));
      expect(kindOf(err)).toBe('DataLoss');
      expect(String(err)).toMatch(words);
    }
  });

  test('may lack the zero blocks at its end', async () => {
    const whole = await archive;
    expect(await unpack(whole.subarray(0, whole.length - 1024))).toHaveLength(2);
    expect(await unpack(whole.subarray(0, whole.length - 1024 - 500))).toHaveLength(2);
    expect(await unpack(new Uint8Array(0))).toEqual([]);
  });

  test('names a wrong checksum and a number that is none', async () => {
    const flipped = new Uint8Array(await archive);
    flipped[0] = 0x47;
    expect(String(await failure(unpack(flipped)))).toMatch(/wrong header checksum at byte 0/);
    const garbage = new Uint8Array(2048).fill(0x41);
    expect(kindOf(await failure(unpack(garbage)))).toBe('DataLoss');
    const binary = new Uint8Array(2048).fill(0x99);
    expect(String(await failure(unpack(binary)))).toMatch(/damaged tar archive: wrong header checksum at byte 0/);
  });

  test('refuses headers that claim absurd sizes', async () => {
    const header = tarHeader({ name: 'x', sizeBytes: 8 ** 10 });
    header[156] = 'x'.charCodeAt(0);
    header.set(bytes('        '), 148);
    header.set(
      bytes(
        header
          .reduce((a, b) => a + b, 0)
          .toString(8)
          .padStart(6, '0'),
      ),
      148,
    );
    header[154] = 0;
    expect(String(await failure(unpack(header)))).toMatch(/the limit is/);
  });

  test('refuses what would fill the memory or take for ever', async () => {
    const withFlag = (flag: string, body: Uint8Array): Uint8Array => {
      const header = new Uint8Array(tarHeader({ name: 'x', sizeBytes: body.length }));
      header[156] = flag.charCodeAt(0);
      header.set(bytes(`${headerSum(header).toString(8).padStart(6, '0')}\0 `), 148);
      return Buffer.concat([header, body, tarPadding(body.length)]);
    };
    const record = (keyword: string, length: number): Uint8Array => formatPaxRecord(keyword, new Uint8Array(length).fill(0x61));
    const globals = Array.from({ length: 9 }, (_, index) => withFlag('g', record(`comment${String(index)}`, 1_000_000)));
    expect(String(await failure(unpack(Buffer.concat(globals))))).toContain('global headers of more than');
    // The same keyword again takes the place of the last.
    expect(await unpack(Buffer.concat(Array.from({ length: 9 }, () => withFlag('g', record('comment', 1_000_000)))))).toEqual([]);

    const sparse = Buffer.concat([formatPaxRecord('GNU.sparse.major', bytes('1')), formatPaxRecord('GNU.sparse.realsize', bytes('1'))]);
    const map = (count: number, text: string): Uint8Array => {
      const body = bytes(`${String(count)}\n${text}`);
      return Buffer.concat([withFlag('x', sparse), withFlag('0', Buffer.concat([body, tarPadding(body.length)]))]);
    };
    const began = performance.now();
    const long = Array.from({ length: 900_000 }, () => '0\n0\n').join('');
    expect(await unpack(map(900_000, long))).toHaveLength(1);
    expect(performance.now() - began).toBeLessThan(5000);
    for (const wrong of [map(2_000_000, long), map(2, `${'9'.repeat(100)}\n`), map(1, '1e3\n5\n')])
      expect(kindOf(await failure(unpack(wrong)))).toBe('DataLoss');
  });

  test('ignores what follows its end', async () => {
    expect(await unpack(Buffer.concat([await archive, new Uint8Array(700).fill(7)]))).toHaveLength(2);
  });
});

describe('readTar() of archives made by GNU tar', () => {
  const formats: [string, string[]][] = [
    ['v7', ['--format=v7']],
    ['oldgnu', ['--format=oldgnu', '--sparse']],
    ['gnu', ['--format=gnu', '--sparse']],
    ['ustar', ['--format=ustar']],
    ['posix, sparse 0.0', ['--format=posix', '--sparse-version=0.0', '--sparse']],
    ['posix, sparse 0.1', ['--format=posix', '--sparse-version=0.1', '--sparse']],
    ['posix, sparse 1.0', ['--format=posix', '--sparse-version=1.0', '--sparse']],
  ];
  const longName = `${'d'.repeat(60)}/${'e'.repeat(60)}/${'f'.repeat(120)}`;

  for (const [format, flags] of formats) {
    test(format, async () => {
      const dir = mkdtempSync(join(tmpdir(), 'berth-tar-'));
      try {
        const holdsLongNames = !['v7', 'ustar'].includes(format);
        writeFileSync(join(dir, 'a'), 'content of a', { mode: 0o640 });
        utimesSync(join(dir, 'a'), 1_600_000_000, 1_600_000_000.25);
        linkSync(join(dir, 'a'), join(dir, 'b'));
        symlinkSync('a', join(dir, 'c'));
        if (holdsLongNames) {
          mkdirSync(join(dir, longName, '..'), { recursive: true });
          writeFileSync(join(dir, longName), 'long');
          symlinkSync('z'.repeat(150), join(dir, 'd'));
        }
        writeSparse(join(dir, 'sparse'));
        const made = Bun.spawnSync(['tar', ...flags, '--sort=name', '-C', dir, '-cf', '-', '.'], { stdout: 'pipe', stderr: 'pipe' });
        const files = new Map((await unpack(made.stdout)).map(file => [file.entry.name, file]));

        expect(files.get('./a')?.entry).toMatchObject({ type: 'file', mode: 0o640, sizeBytes: 12 });
        expect(files.get('./a')?.entry.mtime.seconds).toBe(1_600_000_000);
        if (format.startsWith('posix')) expect(files.get('./a')?.entry.mtime.nanoseconds).toBe(250_000_000);
        expect(files.get('./b')?.entry).toMatchObject({ type: 'link', linkName: './a' });
        expect(files.get('./c')?.entry).toMatchObject({ type: 'symlink', linkName: 'a' });
        if (holdsLongNames) {
          expect(Buffer.from(files.get(`./${longName}`)?.content ?? []).toString()).toBe('long');
          expect(files.get('./d')?.entry.linkName).toBe('z'.repeat(150));
        }
        const sparse = files.get('./sparse');
        expect(sparse?.entry.sizeBytes).toBe(sparseBytes);
        expect(Bun.SHA256.hash(sparse?.content ?? '', 'hex')).toBe(Bun.SHA256.hash(await Bun.file(join(dir, 'sparse')).bytes(), 'hex'));
        if (flags.includes('--sparse')) expect(sparse?.entry.sparse?.length).toBeGreaterThan(25);
      } finally {
        rmSync(dir, { recursive: true });
      }
    });
  }

  const sparseBytes = 40 * 65_536;

  /** Thirty islands of data, more than one old GNU header and one extension block hold, and a hole at the end. */
  function writeSparse(path: string): void {
    const fd = openSync(path, 'w');
    for (let i = 0; i < 30; i += 1) writeSync(fd, `island ${String(i)}`, i * 65_536);
    closeSync(fd);
    truncateSync(path, sparseBytes);
  }
});

test('names keep bytes that are not UTF-8', () => {
  for (const raw of [[0x61, 0xff, 0x62], [0xe4], [0xc3, 0xa4], [0xed, 0xb3, 0xa4], [0xef, 0xbb, 0xbf, 0x61]]) {
    expect([...encodeName(decodeName(Uint8Array.from(raw)))]).toEqual(raw);
  }
});

test('PAX times are exact on both sides of 1970', () => {
  for (const text of ['0', '1.5', '-1.5', '-0.000000001', '1700000000.123456789', '-7']) {
    expect(formatPaxTime(parsePaxTime(bytes(text), ''))).toBe(text);
  }
});
