import { afterEach, beforeEach, expect, type describe as Describe, test } from 'bun:test';
import { chmod, lchown, link, mkdir, readdir, readFile, rm, symlink, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { kindOf } from '#base/errors.ts';
import { chainIds, type Digest, sha256 } from '#oci/digest.ts';
import { type NewTarFile, writeTar } from '#oci/tar/writer.ts';
import type { SnapshotPlace } from './snapshots.contract.ts';
import type { ChainId, LayerDamage, Snapshotter } from './snapshots.ts';

const { signal } = new AbortController();
const file = (name: string, content: string | Uint8Array, more: object = {}): NewTarFile => ({
  entry: { name, ...more },
  content: typeof content === 'string' ? new TextEncoder().encode(content) : content,
});
const tarOf = async (files: Iterable<NewTarFile>): Promise<Uint8Array> => Buffer.concat(await Array.fromAsync(writeTar(files)));

async function* pieces(archive: Uint8Array, size = 70_001): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < archive.length; at += size) yield archive.subarray(at, at + size);
}

/** How any snapshotter gives back the tars of its layers, finds what is damaged in them, and replaces them. */
export function layerTarContract(name: string, make: () => Promise<SnapshotPlace>, describe: typeof Describe): void {
  describe(`${name}: the tars of layers`, () => {
    let place: SnapshotPlace;
    let snapshots: Snapshotter;
    beforeEach(async () => {
      place = await make();
      snapshots = await place.open();
    });
    afterEach(async () => {
      await place.dispose();
    });

    const add = async (archive: Uint8Array, parents: readonly Digest[] = []): Promise<ChainId> => {
      await using pending = await snapshots.unpack({ stream: pieces(archive) }, { signal });
      const chain = chainIds([...parents, pending.unpacked.diffId]).at(-1) as ChainId;
      await pending.commit(chain, chainIds(parents).at(-1));
      return chain;
    };
    const back = async (chain: ChainId): Promise<Uint8Array> => Buffer.concat(await Array.fromAsync(snapshots.tar(chain, { signal })));
    const directoryOf = (chain: ChainId): string => snapshots.layerDirs(chain)[0] as string;
    const damageOf = async (chain: ChainId): Promise<readonly LayerDamage[]> => (await snapshots.check(chain, { signal })).damage;

    const all: NewTarFile[] = [
      { entry: { name: 'etc', type: 'directory', mode: 0o755, mtime: { seconds: 5, nanoseconds: 0 } } },
      file('etc/passwd', 'root:x:0:0', { mtime: { seconds: 1_700_000_000, nanoseconds: 123_456_789 }, uid: 3, gid: 4 }),
      file('etc/empty', ''),
      file('bin/tool', new Uint8Array(300_000).fill(7), { mode: 0o4755 }),
      { entry: { name: 'bin/link', type: 'symlink', linkName: 'tool' } },
      { entry: { name: 'bin/again', type: 'link', linkName: 'bin/tool' } },
      { entry: { name: 'lib', type: 'symlink', linkName: 'bin' } },
      file('lib/through', 'a link'),
      file('n\udcffame', 'no text'),
      file('.wh.gone', ''),
      file('etc/.wh..wh..opq', ''),
      { entry: { name: 'null', type: 'char', devMajor: 1, devMinor: 3 } },
      { entry: { name: 'pipe', type: 'fifo' } },
    ];

    test('come back byte for byte, what follows their end included, also after reopening', async () => {
      const archive = Buffer.concat([await tarOf(all), Buffer.alloc(9000)]);
      const chain = await add(archive);
      expect(snapshots.tarSize(chain)).toBe(archive.length);
      expect(sha256(await back(chain))).toBe(sha256(archive));
      snapshots = await place.open();
      expect(sha256(await back(chain))).toBe(sha256(archive));
      expect(await snapshots.check(chain, { signal })).toEqual({ diffId: sha256(archive), damage: [] });
    });

    test('of which a member took the place of another cannot be made again; they can be compared', async () => {
      const archive = await tarOf([file('twice', 'first'), file('once', '1'), file('twice', 'second')]);
      const chain = await add(archive);
      expect(snapshots.tarSize(chain)).toBeUndefined();
      const check = async () => (await snapshots.check(chain, { tar: pieces(archive), signal })).damage;
      expect(await check()).toEqual([]);
      await writeFile(join(directoryOf(chain), 'twice'), 'SECOND');
      await utimes(join(directoryOf(chain), 'twice'), 0, 0);
      expect(await check()).toEqual([{ path: 'twice', what: 'has other contents' }]);
    });

    test('layers whose links and directories come from below are not damaged', async () => {
      const below = await tarOf([
        { entry: { name: 'd', type: 'directory', mode: 0o700, uid: 9 } },
        file('d/file', 'x'),
        file('gone/a', '1'),
      ]);
      await add(below);
      const chain = await add(
        await tarOf([
          { entry: { name: 'other', type: 'link', linkName: 'd/file' } },
          file('d/new', 'y'),
          { entry: { name: 'gone', type: 'directory' } },
          file('.wh.gone', ''),
          file('gone/b', '2'),
        ]),
        [sha256(below)],
      );
      expect(await damageOf(chain)).toEqual([]);
    });

    test('damage is named', async () => {
      const chain = await add(await tarOf(all));
      const at = (path: string): string => join(directoryOf(chain), path);
      const damages: Readonly<Record<string, () => Promise<unknown>>> = {
        'etc/passwd has other contents': async () => {
          await writeFile(at('etc/passwd'), 'toor:x:0:0');
          await utimes(at('etc/passwd'), 1_700_000_000.123456789, 1_700_000_000.123456789);
        },
        'bin/tool has the mode 755': () => chmod(at('bin/tool'), 0o755),
        'bin/again has the mode 755': async () => undefined,
        'etc/empty is not there': () => unlink(at('etc/empty')),
        'bin/link leads elsewhere': async () => {
          await unlink(at('bin/link'));
          await symlink('fool', at('bin/link'));
        },
        'pipe belongs to 1:1': () => lchown(at('pipe'), 1, 1),
        'gone hides nothing of the layers below any more': async () => {
          await unlink(at('gone'));
          await writeFile(at('gone'), '');
        },
        'null is a file, not a char': async () => {
          await unlink(at('null'));
          await writeFile(at('null'), '');
        },
        'etc/more is not from the image': () => writeFile(at('etc/more'), 'x'),
        'made is not from the image': () => mkdir(at('made')),
      };
      for (const damage of Object.values(damages)) await damage();
      const told = (await damageOf(chain)).map(({ path, what }) => `${path} ${what}`);
      for (const words of Object.keys(damages)) {
        // How exactly a time can be set depends on the file system.
        if (words.startsWith('etc/passwd')) expect(told.some(line => line.startsWith('etc/passwd has '))).toBe(true);
        else expect(told).toContain(words);
      }
      expect(kindOf(await back(chain).catch((err: unknown) => err))).toBe('DataLoss');
    });

    test('a damaged layer is replaced; what is mounted on it keeps it until it is unmounted, also across a reopening', async () => {
      const archive = await tarOf([file('name', 'sound'), file('more', 'm')]);
      const chain = await add(archive);
      await snapshots.prepare('box', chain);
      const root = await snapshots.mount('box');
      const old = directoryOf(chain);
      await writeFile(join(old, 'name'), 'rotten');
      await using pending = await snapshots.unpack({ stream: pieces(archive) }, { signal });
      expect(await pending.replace(chain)).toEqual(['box']);
      expect(directoryOf(chain)).not.toBe(old);
      expect(await damageOf(chain)).toEqual([]);
      snapshots = await place.open();
      await place.settled();
      expect(await readFile(join(root, 'more'), 'utf8')).toBe('m');
      expect((await readdir(old)).length).toBe(2);
      await snapshots.unmount('box');
      await place.settled();
      expect(await readdir(old).catch(() => 'gone')).toBe('gone');
      expect(await readFile(join(await snapshots.mount('box'), 'name'), 'utf8')).toBe('sound');
      expect(await place.layerCount()).toBe(2);
    });

    test('a damaged layer that nothing is mounted on goes at once', async () => {
      const archive = await tarOf([file('name', 'sound')]);
      const chain = await add(archive);
      const old = directoryOf(chain);
      await rm(join(old, 'name'));
      await using pending = await snapshots.unpack({ stream: pieces(archive) }, { signal });
      expect(await pending.replace(chain)).toEqual([]);
      await place.settled();
      expect(await readdir(old).catch(() => 'gone')).toBe('gone');
      await link(join(directoryOf(chain), 'name'), join(directoryOf(chain), 'again'));
      expect(await damageOf(chain)).toEqual([{ path: 'again', what: 'is not from the image' }]);
    });
  });
}
