import { afterEach, beforeEach, expect } from 'bun:test';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kindOf, messageOf } from '#base/errors.ts';
import { bindMount, mount, unmount } from '#host/sys/mount.ts';
import { getXattr } from '#host/sys/fs.ts';
import { sha256 } from '#oci/digest.ts';
import { type NewTarFile, writeTar } from '#oci/tar/writer.ts';
import { needs } from '#test/helpers/needs.ts';
import type { UnpackReport } from './result.ts';
import { unpackInto } from './spawn.ts';

const { describe, test } = needs('root');

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const file = (name: string, content = 'content'): NewTarFile => ({ entry: { name }, content: bytes(content) });
const symlink = (name: string, linkName: string): NewTarFile => ({ entry: { name, type: 'symlink', linkName } });
const link = (name: string, linkName: string): NewTarFile => ({ entry: { name, type: 'link', linkName } });
const directory = (name: string, mode = 0o755): NewTarFile => ({ entry: { name, type: 'directory', mode } });
const tar = async (files: readonly NewTarFile[]): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(Buffer.concat(await Array.fromAsync(writeTar(files))));

let place: string;
let target: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'berth-unpack-'));
  target = join(place, 'layer');
  mkdirSync(target);
});
afterEach(() => {
  rmSync(place, { recursive: true });
});

const { signal } = new AbortController();

/** Through a file, as an image in the content store is unpacked. */
async function unpack(archive: Uint8Array): Promise<UnpackReport> {
  const path = join(place, 'archive');
  writeFileSync(path, archive);
  return await unpackInto(target, { path }, signal);
}

async function refusal(archive: Uint8Array): Promise<{ kind: string; message: string }> {
  try {
    await unpack(archive);
  } catch (err) {
    return { kind: kindOf(err), message: messageOf(err) };
  }
  return { kind: 'nothing', message: `unpacked ${readdirSync(target).join(' ')}` };
}

describe('an archive that tries to leave its directory is refused', () => {
  const attempts: [string, NewTarFile[], RegExp][] = [
    ['..', [file('../outside')], /"\.\.\/outside" contains "\.\."/],
    ['.. in the middle', [file('a/../../outside')], /contains "\.\."/],
    ['the parent itself', [directory('..')], /"\.\." contains/],
    [
      'an absolute symlink, then a file through it',
      [symlink('evil', '@'), file('evil/outside')],
      /"evil\/outside" leads through a symlink out/,
    ],
    ['a relative symlink out, then a file through it', [symlink('evil', '..'), file('evil/outside')], /leads through a symlink out/],
    ['a symlink to a symlink out', [symlink('a', '@'), symlink('b', 'a'), file('b/outside')], /leads through a symlink out/],
    ['a directory through a symlink', [symlink('evil', '@'), directory('evil/outside')], /leads through a symlink out/],
    ['a hard link to a file outside', [link('mine', '../secret')], /"mine" \(it links to "\.\.\/secret"\) contains/],
    ['a hard link through a symlink', [symlink('evil', '@'), link('mine', 'evil/secret')], /"mine" leads through a symlink out/],
    ['a whiteout of ..', [file('.wh...')], /would remove a directory outside/],
    ['a whiteout of .', [file('dir/.wh..')], /would remove a directory outside/],
    ['a whiteout of nothing', [file('.wh.')], /would remove a directory outside/],
    ['a whiteout through a symlink', [symlink('evil', '@'), file('evil/.wh.secret')], /leads through a symlink out/],
    ['an opaque marker through a symlink', [symlink('evil', '@'), file('evil/.wh..wh..opq')], /leads through a symlink out/],
    ['a file under a symlink that leads nowhere', [symlink('loop', 'missing'), file('loop/x')], /under the symlink "loop"/],
    ['a symlink loop', [symlink('loop', 'loop'), file('loop/x')], /leads through a symlink/],
    ['a file under a file', [file('f'), file('f/x')], /which is not a directory/],
    ['a root that is a file', [file('/')], /its root "\/" is not a directory|not a directory/],
    ['a hard link to a directory', [directory('d'), link('l', 'd')], /hard link to the directory/],
  ];
  for (const [name, files, words] of attempts) {
    test(name, async () => {
      writeFileSync(join(place, 'secret'), 'secret');
      const aimed = files.map(({ entry, ...rest }) => ({
        ...rest,
        entry: entry.linkName === '@' ? { ...entry, linkName: place } : entry,
      }));
      const before = readdirSync(place).sort();
      const { kind, message } = await refusal(await tar(aimed));
      expect(message).toMatch(words);
      expect(kind).toBe('InvalidArgument');
      expect(
        readdirSync(place)
          .filter(found => found !== 'archive')
          .sort(),
      ).toEqual(before);
      expect(statSync(join(place, 'secret')).nlink).toBe(1);
    });
  }

  test('names are harmless when they are only unusual', async () => {
    await unpack(await tar([file('/absolute'), file('./dotted/./name'), file('double//slash'), file('...'), file('..a/b..')]));
    expect(readdirSync(target).sort()).toEqual(['...', '..a', 'absolute', 'dotted', 'double']);
  });

  test('a symlink that stays inside may be a parent', async () => {
    await unpack(await tar([directory('usr/lib'), symlink('lib', 'usr/lib'), file('lib/libc.so')]));
    expect(readdirSync(join(target, 'usr/lib'))).toEqual(['libc.so']);
  });

  test('a symlink in the place of a file is replaced, not written through', async () => {
    writeFileSync(join(place, 'secret'), 'secret');
    await unpack(await tar([symlink('x', '../secret'), file('x', 'mine'), symlink('d', '..'), directory('d')]));
    expect(readFileSync(join(target, 'x'), 'utf8')).toBe('mine');
    expect(readFileSync(join(place, 'secret'), 'utf8')).toBe('secret');
    expect(lstatSync(join(target, 'd')).isDirectory()).toBe(true);
  });

  test('nothing in an archive steers the overlay mount', async () => {
    const xattrs = new Map([
      ['trusted.overlay.redirect', bytes('/etc')],
      ['trusted.overlay.opaque', bytes('y')],
      ['user.kept', bytes('yes')],
    ]);
    await unpack(await tar([{ entry: { name: 'd', type: 'directory', xattrs } }]));
    expect(getXattr(join(target, 'd'), 'trusted.overlay.redirect')).toBeUndefined();
    expect(getXattr(join(target, 'd'), 'trusted.overlay.opaque')).toBeUndefined();
    expect(Buffer.from(getXattr(join(target, 'd'), 'user.kept') ?? []).toString()).toBe('yes');
  });
});

describe('a damaged archive', () => {
  const good = tar([file('a', 'x'.repeat(5000)), file('b')]);

  test('that is cut off is DataLoss', async () => {
    expect(await refusal((await good).subarray(0, 3000))).toEqual({
      kind: 'DataLoss',
      message: 'truncated tar archive: 2512 bytes are missing of "a"',
    });
  });

  test('of garbage is DataLoss', async () => {
    expect((await refusal(new Uint8Array(4096).fill(0x55))).kind).toBe('DataLoss');
  });

  for (const [format, compress] of [
    ['gzip', Bun.gzipSync],
    ['zstd', Bun.zstdCompressSync],
  ] as const) {
    test(`in ${format} that is cut off or altered is DataLoss`, async () => {
      const whole = new Uint8Array(compress(await tar([file('a', crypto.getRandomValues(new Uint8Array(100_000)).toHex())])));
      const cut = await refusal(whole.subarray(0, whole.length - 20));
      expect(cut.kind).toBe('DataLoss');
      expect(cut.message).toMatch(/^(damaged (gzip|zstd) data|truncated tar archive)/);
      const altered = new Uint8Array(whole);
      altered.fill(0xff, 50_000, 50_100);
      expect((await refusal(altered)).kind).toBe('DataLoss');
    });
  }

  test('that claims a huge file is DataLoss, without filling the disk', async () => {
    const archive = new Uint8Array((await Array.fromAsync(headersOf({ name: 'huge', sizeBytes: 2 ** 50 }))).flatMap(part => [...part]));
    expect((await refusal(archive)).message).toMatch(/bytes are missing of "huge"/);
  });

  test('through a stream ends the stream with its own words', async () => {
    let isClosed = false;
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      try {
        yield await tar([file('../x')]);
        for (;;) yield new Uint8Array(1024 * 1024);
      } finally {
        isClosed = true;
      }
    };
    const err = await unpackInto(target, { stream: endless() }, signal).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(kindOf(err)).toBe('InvalidArgument');
    expect(isClosed).toBe(true);
  });

  test('a source that fails passes its own error on', async () => {
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield (await good).subarray(0, 2000);
      throw new Error('the network went away');
    };
    expect(unpackInto(target, { stream: failing() }, signal)).rejects.toThrow('the network went away');
  });

  async function* headersOf(entry: { name: string; sizeBytes: number }): AsyncGenerator<Uint8Array> {
    const { tarHeader } = await import('#oci/tar/writer.ts');
    yield tarHeader(entry);
    yield bytes('only this');
  }
});

describe('unpacking keeps', () => {
  test('owners, modes, times, attributes and devices', async () => {
    const capability = Uint8Array.of(1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    const mtime = { seconds: 1_234_567_890, nanoseconds: 987_654_321 };
    const owner = { uid: 1000, gid: 2000, mtime };
    await unpack(
      await tar([
        { entry: { name: 'dir', type: 'directory', mode: 0o2770, ...owner } },
        {
          entry: { name: 'dir/suid', mode: 0o4711, ...owner, xattrs: new Map([['security.capability', capability]]) },
          content: bytes('x'),
        },
        { entry: { name: 'dir/link', type: 'symlink', linkName: 'suid', ...owner } },
        { entry: { name: 'dir/hard', type: 'link', linkName: 'dir/suid' } },
        { entry: { name: 'null', type: 'char', mode: 0o666, devMajor: 1, devMinor: 3, ...owner } },
        { entry: { name: 'disk', type: 'block', mode: 0o660, devMajor: 259, devMinor: 70_000, ...owner } },
        { entry: { name: 'pipe', type: 'fifo', mode: 0o600, ...owner } },
      ]),
    );
    for (const [name, mode] of [
      ['dir', 0o42770],
      ['dir/suid', 0o104711],
      ['dir/link', 0o120777],
      ['null', 0o20666],
      ['disk', 0o60660],
      ['pipe', 0o10600],
    ] as const) {
      const stats = lstatSync(join(target, name), { bigint: true });
      expect([name, Number(stats.mode), stats.uid, stats.gid, stats.mtimeNs]).toEqual([
        name,
        mode,
        1000n,
        2000n,
        1_234_567_890_987_654_321n,
      ]);
    }
    expect(lstatSync(join(target, 'null')).rdev).toBe(0x103);
    expect(readlinkSync(join(target, 'dir/link'))).toBe('suid');
    expect(lstatSync(join(target, 'dir/hard')).ino).toBe(lstatSync(join(target, 'dir/suid')).ino);
    expect(getXattr(join(target, 'dir/suid'), 'security.capability')).toEqual(capability);
  });

  test('names that are not UTF-8, also when one replaces another', async () => {
    await unpack(await tar([directory('d\udce4'), file('d\udce4/\udcff', 'x'), file('d\udce4', 'y')]));
    expect(readdirSync(target, { encoding: 'buffer' }).map(name => name.toString('latin1'))).toEqual(['dä']);
  });

  test('holes of sparse files', async () => {
    const source = join(place, 'sparse');
    const made = Bun.spawnSync(['sh', '-c', `truncate -s 64M ${source} && printf end >> ${source} && tar -C ${place} -S -cf - sparse`], {
      stdout: 'pipe',
    });
    const report = await unpack(made.stdout);
    expect(report.sizeBytes).toBe(64 * 1024 * 1024 + 3);
    const stats = lstatSync(join(target, 'sparse'));
    expect(stats.size).toBe(report.sizeBytes);
    expect(stats.blocks).toBeLessThan(1000);
    expect(readFileSync(join(target, 'sparse')).subarray(-3).toString()).toBe('end');
  });

  test('the digest of every byte, those after the end of the archive too', async () => {
    const archive = Buffer.concat([await tar([file('a')]), bytes('trailing'.repeat(10_000))]);
    expect((await unpack(archive)).diffId).toBe(sha256(archive));
    expect((await unpack(Bun.gzipSync(new Uint8Array(archive)))).diffId).toBe(sha256(archive));
  });

  test('the last of several members with one name', async () => {
    await unpack(
      await tar([
        directory('a'),
        file('a/b'),
        file('a', 'file'),
        file('c'),
        directory('c'),
        file('e', '1'),
        file('e', '2'),
        directory('f', 0o700),
        directory('f', 0o711),
      ]),
    );
    expect(readFileSync(join(target, 'a'), 'utf8')).toBe('file');
    expect(readdirSync(join(target, 'c'))).toEqual([]);
    expect(readFileSync(join(target, 'e'), 'utf8')).toBe('2');
    expect(lstatSync(join(target, 'f')).mode & 0o777).toBe(0o711);
  });

  for (const program of ['xz', 'bzip2']) {
    test.skipIf(Bun.which(program) === null)(`layers in ${program}`, async () => {
      const archive = await tar([file('a', 'compressed')]);
      const packed = Bun.spawnSync([program, '-c'], { stdin: archive, stdout: 'pipe' }).stdout;
      expect((await unpack(packed)).diffId).toBe(sha256(archive));
      expect((await refusal(packed.subarray(0, packed.length - 10))).kind).toBe('DataLoss');
    });
  }

  test('several gzip members or zstd frames in one layer', async () => {
    const archive = await tar([file('a', crypto.getRandomValues(new Uint8Array(50_000)).toHex())]);
    const halves = [archive.slice(0, 30_000), archive.slice(30_000)];
    for (const compress of [Bun.gzipSync, Bun.zstdCompressSync]) {
      expect((await unpack(Buffer.concat(halves.map(half => compress(half))))).diffId).toBe(sha256(archive));
    }
  });
});

test('a full disk is ResourceExhausted', async () => {
  mount('tmpfs', target, 'tmpfs', 0n, 'size=1m');
  try {
    const { kind, message } = await refusal(await tar([file('big', 'x'.repeat(3_000_000))]));
    expect(kind).toBe('ResourceExhausted');
    expect(message).toMatch(/no space left on device/);
  } finally {
    unmount(target);
  }
});

test('bindMount() shows a directory in a second place, read-only on request', () => {
  const source = join(place, 'source');
  mkdirSync(source);
  symlinkSync('x', join(source, 'link'));
  bindMount(source, target, { readOnly: true });
  try {
    expect(readdirSync(target)).toEqual(['link']);
    expect(() => writeFileSync(join(target, 'new'), '')).toThrow(/EROFS/);
  } finally {
    expect(unmount(target)).toBe(true);
  }
  expect(unmount(target)).toBe(false);
  expect(existsSync(join(target, 'link'))).toBe(false);
});
