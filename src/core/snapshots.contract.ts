import { afterEach, beforeEach, expect, type describe as Describe, test } from 'bun:test';
import { chmod, link, lstat, mkdir, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { kindOf } from '#base/errors.ts';
import { chainIds, type Digest, sha256 } from '#oci/digest.ts';
import { type NewTarFile, writeTar } from '#oci/tar/writer.ts';
import type { ChainId, Snapshotter } from './snapshots.ts';

export interface SnapshotPlace {
  /** Whether each layer is a whole tree, and nothing has to be mounted. */
  readonly isWhole: boolean;
  /** Opens the snapshotter; a second time as after a kill of the process that had it. */
  open(): Promise<Snapshotter>;
  /** Directories of layers on disk, whether in use or not. */
  layerCount(): Promise<number>;
  /** What is mounted below the place. */
  mounts(): string[];
  /** Resolves when nothing is left to be deleted in the background. */
  settled(): Promise<void>;
  /** An extended attribute of a file. */
  attributeOf(path: string, name: string): Uint8Array | undefined;
  /** Unmounts and removes everything. */
  dispose(): Promise<void>;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const file = (name: string, content: string): NewTarFile => ({ entry: { name }, content: bytes(content) });
const directory = (name: string, mode = 0o755): NewTarFile => ({ entry: { name, type: 'directory', mode } });

async function tar(files: Iterable<NewTarFile>): Promise<Uint8Array> {
  return Buffer.concat(await Array.fromAsync(writeTar(files)));
}

async function* stream(archive: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < archive.length; at += 65_536) yield archive.subarray(at, at + 65_536);
}

const failure = async (action: Promise<unknown>): Promise<string> =>
  await action.then(
    () => 'nothing',
    (err: unknown) => kindOf(err),
  );

/** What any snapshotter must do. Needs what the implementation needs to mount. */
export function snapshotterContract(name: string, make: () => Promise<SnapshotPlace>, describe: typeof Describe): void {
  describe(`${name} as a snapshotter`, () => {
    let place: SnapshotPlace;
    let snapshots: Snapshotter;
    beforeEach(async () => {
      place = await make();
      snapshots = await place.open();
    });
    afterEach(async () => {
      await place.dispose();
    });

    const { signal } = new AbortController();
    const unpack = async (files: Iterable<NewTarFile>) => await snapshots.unpack({ stream: stream(await tar(files)) }, { signal });

    /** Unpacks these layers on top of each other; the chain ids, bottom first. */
    const stack = async (...layers: Iterable<NewTarFile>[]): Promise<ChainId[]> => {
      const diffIds: Digest[] = [];
      for (const files of layers) {
        await using pending = await unpack(files);
        const parent = chainIds(diffIds).at(-1);
        diffIds.push(pending.unpacked.diffId);
        await pending.commit(chainIds(diffIds).at(-1) as ChainId, parent);
      }
      return chainIds(diffIds);
    };
    /** Places where something is mounted when these roots are in use. */
    const mountsOf = (...roots: string[]): string[] => (place.isWhole ? [] : roots);
    const mounted = async (key: string, parent: ChainId | undefined): Promise<string> => {
      await snapshots.prepare(key, parent);
      return await snapshots.mount(key);
    };

    test('unpack() tells the digest of the uncompressed tar and the bytes of the files', async () => {
      const archive = await tar([file('a', 'hello'), file('b', 'world!')]);
      for (const input of [archive, Bun.gzipSync(new Uint8Array(archive)), Bun.zstdCompressSync(archive)]) {
        await using pending = await snapshots.unpack({ stream: stream(input) }, { signal });
        expect(pending.unpacked).toEqual({ diffId: sha256(archive), sizeBytes: 11 });
      }
    });

    test('a layer that is not committed leaves nothing', async () => {
      {
        await using pending = await unpack([file('a', 'x')]);
        expect(snapshots.has(pending.unpacked.diffId)).toBe(false);
      }
      await place.settled();
      expect(await place.layerCount()).toBe(0);
    });

    test('committed layers are known, sized and still there after reopening', async () => {
      const [bottom, top] = (await stack([file('a', 'abc')], [file('b', 'defgh')])) as [ChainId, ChainId];
      snapshots = await place.open();
      expect(snapshots.has(bottom)).toBe(true);
      expect(snapshots.layerSize(top)).toBe(5);
      expect(snapshots.layerSize(sha256('nothing'))).toBeUndefined();
      expect(await Promise.all(snapshots.layerDirs(top).map(dir => readdir(dir)))).toEqual(place.isWhole ? [] : [['b'], ['a']]);
      expect(() => snapshots.layerDirs(sha256('nothing'))).toThrow('is not unpacked here');
      const root = await mounted('box', top);
      expect((await readdir(root)).sort()).toEqual(['a', 'b']);
    });

    test('commit() on a parent that is not there rejects with NotFound, and leaves nothing', async () => {
      {
        await using pending = await unpack([file('a', 'x')]);
        expect(await failure(pending.commit(sha256('top'), sha256('nothing')))).toBe('NotFound');
      }
      await place.settled();
      expect(await place.layerCount()).toBe(0);
    });

    test('the second copy of a layer is dropped', async () => {
      const [first] = await stack([file('a', 'x')]);
      const [second] = await stack([file('a', 'x')]);
      expect(second).toBe(first as ChainId);
      await place.settled();
      expect(await place.layerCount()).toBe(1);
    });

    test('reopening removes layers that were being unpacked', async () => {
      await unpack([file('a', 'x')]);
      expect(await place.layerCount()).toBe(1);
      snapshots = await place.open();
      await place.settled();
      expect(await place.layerCount()).toBe(0);
    });

    test('whiteouts and opaque directories hide what is below', async () => {
      const chain = await stack(
        [directory('dir'), file('dir/old', '1'), directory('gone'), file('gone/x', '1'), file('kept', '1'), file('removed', '1')],
        [directory('dir'), file('dir/.wh..wh..opq', ''), file('dir/new', '2'), file('.wh.removed', ''), file('.wh.gone', '')],
      );
      const root = await mounted('box', chain.at(-1));
      expect((await readdir(root)).sort()).toEqual(['dir', 'kept']);
      expect(await readdir(join(root, 'dir'))).toEqual(['new']);
    });

    test('a directory that replaces a removed one starts empty, in either order', async () => {
      const lower = [directory('a'), file('a/old', '1'), directory('b'), file('b/old', '1'), file('f', '1')];
      const upper = [
        file('.wh.a', ''),
        directory('a'),
        file('a/new', '2'),
        directory('b'),
        file('b/new', '2'),
        file('.wh.b', ''),
        file('.wh.f', ''),
        file('f', '2'),
      ];
      const chain = await stack(lower, upper);
      const root = await mounted('box', chain.at(-1));
      expect(await readdir(join(root, 'a'))).toEqual(['new']);
      expect(await readdir(join(root, 'b'))).toEqual(['new']);
      expect(await readFile(join(root, 'f'), 'utf8')).toBe('2');
    });

    test('directories that a layer does not name keep the attributes they have below', async () => {
      const owned: NewTarFile = {
        entry: { name: 'tmp', type: 'directory', mode: 0o1777, uid: 12, gid: 34, mtime: { seconds: 1_500_000_000, nanoseconds: 5 } },
      };
      const chain = await stack([owned, directory('.', 0o711)], [file('tmp/deep/er/file', 'x')]);
      const root = await mounted('box', chain.at(-1));
      const stats = await lstat(join(root, 'tmp'), { bigint: true });
      expect([stats.mode & 0o7777n, stats.uid, stats.gid, stats.mtimeNs]).toEqual([0o1777n, 12n, 34n, 1_500_000_000_000_000_005n]);
      expect((await lstat(join(root, 'tmp/deep/er'))).mode & 0o7777).toBe(0o755);
      expect((await lstat(root)).mode & 0o7777).toBe(0o711);
    });

    test('hard links reach files of lower layers', async () => {
      const chain = await stack(
        [{ entry: { name: 'bin/tool', mode: 0o4755, uid: 7 }, content: bytes('#!') }],
        [
          { entry: { name: 'usr/alias', type: 'link', linkName: 'bin/tool' } },
          { entry: { name: 'again', type: 'link', linkName: '/usr/alias' } },
        ],
      );
      const root = await mounted('box', chain.at(-1));
      const stats = await Promise.all(['bin/tool', 'usr/alias', 'again'].map(path => lstat(join(root, path))));
      expect(new Set(stats.map(({ ino }) => ino)).size).toBe(1);
      expect(stats.map(({ mode, uid }) => [mode & 0o7777, uid])).toEqual(Array(3).fill([0o4755, 7]));
      // fuse-overlayfs counts those links that somebody has looked at.
      expect(stats.some(({ nlink }) => nlink > 1)).toBe(true);
    });

    test('a hard link to nothing is refused', async () => {
      await using pending = await unpack([{ entry: { name: 'a', type: 'link', linkName: 'nowhere' } }]);
      expect(await failure(pending.commit(pending.unpacked.diffId, undefined))).toBe('InvalidArgument');
    });

    test('writable layers are private and keep what was written', async () => {
      const [chain] = await stack([file('shared', 'lower')]);
      const one = await mounted('one', chain);
      const two = await mounted('two', chain);
      await writeFile(join(one, 'shared'), 'upper');
      await rm(join(two, 'shared'));
      expect(await readFile(join(one, 'shared'), 'utf8')).toBe('upper');
      expect(await readdir(two)).toEqual([]);
      await snapshots.unmount('one');
      expect(await readFile(join(await snapshots.mount('one'), 'shared'), 'utf8')).toBe('upper');
      expect(snapshots.keys()).toEqual(['one', 'two']);
    });

    test('the root of a writable layer has the attributes of the image', async () => {
      const chain = await stack([directory('.', 0o2750)]);
      expect((await lstat(await mounted('box', chain[0]))).mode & 0o7777).toBe(0o2750);
    });

    test('a writable layer needs no image', async () => {
      const root = await mounted('empty', undefined);
      await mkdir(join(root, 'made'));
      expect(await readdir(root)).toEqual(['made']);
    });

    test('prepare() of a key that exists rejects with AlreadyExists, on an unknown chain with NotFound', async () => {
      await snapshots.prepare('box', undefined);
      expect(await failure(snapshots.prepare('box', undefined))).toBe('AlreadyExists');
      expect(await failure(snapshots.prepare('other', sha256('nothing')))).toBe('NotFound');
      expect(await failure(snapshots.mount('other'))).toBe('NotFound');
      await place.settled();
      expect(await place.layerCount()).toBe(1);
    });

    test('mounting and unmounting twice is fine', async () => {
      const root = await mounted('box', undefined);
      expect(await snapshots.mount('box')).toBe(root);
      expect(place.mounts()).toEqual(mountsOf(root));
      await snapshots.unmount('box');
      await snapshots.unmount('box');
      await snapshots.unmount('unknown');
      expect(place.mounts()).toEqual([]);
    });

    test('hold() keeps a layer mounted through unmount(), and lets go of what nobody wants', async () => {
      await snapshots.prepare('box', undefined);
      const first = await snapshots.hold('box');
      const second = await snapshots.hold('box');
      expect([first.path, second.path, ...place.mounts()]).toEqual([first.path, first.path, ...mountsOf(first.path)]);
      await first[Symbol.asyncDispose]();
      await first[Symbol.asyncDispose]();
      await snapshots.mount('box');
      await snapshots.unmount('box');
      expect(place.mounts()).toEqual(mountsOf(first.path));
      await second[Symbol.asyncDispose]();
      expect(place.mounts()).toEqual([]);
      const third = await snapshots.hold('box');
      await snapshots.mount('box');
      await third[Symbol.asyncDispose]();
      expect(place.mounts()).toEqual(mountsOf(first.path));
      expect(await failure(snapshots.hold('unknown'))).toBe('NotFound');
    });

    test('remove() does not wait for who holds the layer', async () => {
      await snapshots.prepare('box', undefined);
      const held = await snapshots.hold('box');
      expect(await snapshots.remove('box')).toBe(true);
      expect(place.mounts()).toEqual([]);
      const root = await mounted('box', undefined);
      await held[Symbol.asyncDispose]();
      expect(place.mounts()).toEqual(mountsOf(root));
    });

    test('a volatile mount can be mounted again', async () => {
      await snapshots.prepare('box', undefined);
      for (const volatile of [true, true, false, true]) {
        await writeFile(join(await snapshots.mount('box', { volatile }), 'x'), 'y');
        await snapshots.unmount('box');
      }
      expect(place.mounts()).toEqual([]);
    });

    test('remove() unmounts, and says false when there was none', async () => {
      await mounted('box', undefined);
      expect(await snapshots.remove('box')).toBe(true);
      expect(await snapshots.remove('box')).toBe(false);
      await place.settled();
      expect(place.mounts()).toEqual([]);
      expect(await place.layerCount()).toBe(0);
    });

    test('remove() takes directories away that nobody may write', async () => {
      const root = await mounted('box', undefined);
      await mkdir(join(root, 'locked/inside'), { recursive: true });
      await chmod(join(root, 'locked'), 0o000);
      await snapshots.remove('box');
      await place.settled();
      expect(await place.layerCount()).toBe(0);
    });

    test('mounts that outlive the process are taken over', async () => {
      const root = await mounted('box', undefined);
      await writeFile(join(root, 'x'), 'before');
      snapshots = await place.open();
      expect(await snapshots.mount('box')).toBe(root);
      expect(place.mounts()).toEqual(mountsOf(root));
      expect(await readFile(join(root, 'x'), 'utf8')).toBe('before');
      await snapshots.unmount('box');
      expect(place.mounts()).toEqual([]);
    });

    test('collect() removes what nobody needs, and only that', async () => {
      const kept = await stack([file('a', '1')], [file('b', '22')]);
      const used = await stack([file('a', '1')], [file('c', '333')]);
      await stack([file('a', '1')], [file('d', '4444')], [file('e', '55555')]);
      await snapshots.prepare('box', used[1]);
      expect(snapshots.pinned()).toEqual(new Set([used[1] as ChainId]));
      expect(await snapshots.collect(new Set([kept[1] as ChainId]))).toBe(9);
      expect([...kept, ...used].every(chain => snapshots.has(chain))).toBe(true);
      await place.settled();
      expect(await place.layerCount()).toBe(4);
      await snapshots.remove('box');
      expect(await snapshots.collect(new Set())).toBe(6);
      expect(snapshots.has(kept[0] as ChainId)).toBe(false);
    });

    test('usage() counts what the writable layer holds itself', async () => {
      const [chain] = await stack([file('lower', 'x'.repeat(1000))]);
      const root = await mounted('box', chain);
      expect(await snapshots.usage('box')).toBe(0);
      await mkdir(join(root, 'dir'));
      await writeFile(join(root, 'dir/new'), 'x'.repeat(123));
      await rm(join(root, 'lower'));
      expect(await snapshots.usage('box')).toBe(123);
      await link(join(root, 'dir/new'), join(root, 'again'));
      await symlink('dir/new', join(root, 'link'));
      expect(await snapshots.usage('box')).toBe(123 + 'dir/new'.length);
      expect(await failure(snapshots.usage('unknown'))).toBe('NotFound');
    });

    test('paths() say where the changes are: of a whole tree also since when', async () => {
      const [chain] = await stack([file('lower', '1')]);
      const root = await mounted('box', chain);
      await writeFile(join(root, 'new'), '2');
      const { upperDir, lowerDirs, mergedDir, copiedAtNs } = snapshots.paths('box');
      expect(mergedDir).toBe(root);
      expect([...(await readdir(upperDir))].sort()).toEqual(place.isWhole ? ['lower', 'new'] : ['new']);
      expect(await readdir(lowerDirs[0] ?? '')).toEqual(['lower']);
      expect(copiedAtNs !== undefined).toBe(place.isWhole);
      const { ctimeNs: lowerTime } = await lstat(join(root, 'lower'), { bigint: true });
      if (copiedAtNs !== undefined) expect(lowerTime).toBeLessThanOrEqual(BigInt(copiedAtNs));
    });

    test('owners, modes, times, attributes and kinds of files are those of the image', async () => {
      const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
      const mtime = { seconds: 1_500_000_000, nanoseconds: 7 };
      const chain = await stack(
        [
          {
            entry: {
              name: 'ping',
              mode: 0o755,
              mtime,
              xattrs: new Map([
                ['security.capability', new Uint8Array(capability)],
                ['user.a', bytes('b')],
              ]),
            },
            content: bytes('x'),
          },
          { entry: { name: 'su', mode: 0o4755, uid: 5, gid: 6, mtime }, content: bytes('s') },
          { entry: { name: 'null', type: 'char', mode: 0o666, devMajor: 1, devMinor: 3 } },
          { entry: { name: 'pipe', type: 'fifo', mode: 0o600 } },
          { entry: { name: 'link', type: 'symlink', linkName: '/nowhere', uid: 9, mtime } },
          { entry: { name: 'one', mode: 0o644 }, content: bytes('1') },
          { entry: { name: 'two', type: 'link', linkName: 'one' } },
        ],
        [file('above', 'x')],
      );
      const root = await mounted('box', chain[1]);
      const stats = async (name: string) => await lstat(join(root, name), { bigint: true });
      const [ping, su, device, pipe, symbolic, one, two] = await Promise.all(
        ['ping', 'su', 'null', 'pipe', 'link', 'one', 'two'].map(stats),
      );
      expect([ping?.mtimeNs, su?.mtimeNs, symbolic?.mtimeNs]).toEqual(Array(3).fill(1_500_000_000_000_000_007n));
      expect([su?.mode, su?.uid, su?.gid, symbolic?.uid]).toEqual([0o104755n, 5n, 6n, 9n]);
      expect([device?.isCharacterDevice(), device?.rdev, pipe?.isFIFO()]).toEqual([true, 0x103n, true]);
      expect([one?.ino === two?.ino, one?.nlink]).toEqual([true, 2n]);
      expect(Buffer.from(place.attributeOf(join(root, 'ping'), 'security.capability') ?? []).toString('hex')).toBe(
        capability.toString('hex'),
      );
      expect(place.attributeOf(join(root, 'ping'), 'user.a')).toEqual(bytes('b'));
    });

    test('a file in the place of a directory, and the reverse; a link in the place of either leads nowhere', async () => {
      const chain = await stack(
        [
          directory('d'),
          file('d/x', '1'),
          file('f', '1'),
          directory('l'),
          file('l/kept', '1'),
          { entry: { name: 's', type: 'symlink', linkName: 'l' } },
        ],
        [file('d', '2'), directory('f'), file('f/y', '2'), directory('s'), file('s/new', '2'), file('.wh.l', '')],
      );
      const root = await mounted('box', chain[1]);
      expect([(await readdir(root)).sort(), await readFile(join(root, 'd'), 'utf8'), await readdir(join(root, 'f'))]).toEqual([
        ['d', 'f', 's'],
        '2',
        ['y'],
      ]);
      expect(await readdir(join(root, 's'))).toEqual(['new']);
    });

    test('commit() makes a writable layer a layer for others, in which what was removed stays removed', async () => {
      const [base] = await stack([file('kept', 'k'), file('gone', 'g')]);
      const root = await mounted('box', base);
      await writeFile(join(root, 'new'), 'made here');
      await rm(join(root, 'gone'));
      const chain = sha256('made');
      await snapshots.commit('box', chain, { sizeBytes: 9 });
      expect([snapshots.keys(), place.mounts(), snapshots.layerSize(chain)]).toEqual([[], [], 9]);
      snapshots = await place.open();
      const above = await mounted('other', chain);
      expect((await readdir(above)).sort()).toEqual(['kept', 'new']);
      await snapshots.remove('other');
      expect(await snapshots.collect(new Set([chain]))).toBe(0);
      expect(await failure(snapshots.commit('box', sha256('again'), { sizeBytes: 0 }))).toBe('NotFound');
    });

    test('commit() of a layer that is there already drops the copy', async () => {
      const [base] = await stack([file('a', '1')]);
      await mounted('box', undefined);
      await snapshots.commit('box', base as ChainId, { sizeBytes: 0 });
      await place.settled();
      expect([await place.layerCount(), place.mounts()]).toEqual([1, []]);
      expect(await readdir(await mounted('other', base))).toEqual(['a']);
    });

    test('127 layers are not too many', async () => {
      // Copies of all below each are the slower the more there are.
      const count = place.isWhole ? 20 : 127;
      const diffIds: Digest[] = [];
      for (let i = 0; i < count; i += 1) {
        await using pending = await unpack([file(`file-${String(i)}`, String(i)), file('last', String(i))]);
        const parent = chainIds(diffIds).at(-1);
        diffIds.push(pending.unpacked.diffId);
        await pending.commit(chainIds(diffIds).at(-1) as ChainId, parent);
      }
      const root = await mounted('box', chainIds(diffIds).at(-1));
      expect(await readdir(root)).toHaveLength(count + 1);
      expect(await readFile(join(root, 'last'), 'utf8')).toBe(String(count - 1));
    }, 60_000);

    test('symlinks keep their text, whatever it is', async () => {
      const chain = await stack([{ entry: { name: 'out', type: 'symlink', linkName: '../../../etc/passwd' } }]);
      expect(await readlink(join(await mounted('box', chain[0]), 'out'))).toBe('../../../etc/passwd');
    });

    test('an aborted unpacking leaves nothing', async () => {
      const stop = new AbortController();
      const endless = async function* (): AsyncGenerator<Uint8Array> {
        yield (await tar([{ entry: { name: 'big' }, content: new Uint8Array(100_000) }])).subarray(0, 50_000);
        stop.abort(new DOMException('enough', 'AbortError'));
        await new Promise(resolve => setImmediate(resolve));
        for (;;) yield new Uint8Array(65_536);
      };
      expect(await failure(snapshots.unpack({ stream: endless() }, { signal: stop.signal }))).toBe('Canceled');
      await place.settled();
      expect(await place.layerCount()).toBe(0);
    });
  });
}
