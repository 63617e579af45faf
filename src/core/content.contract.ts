import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { open, writeFile } from 'node:fs/promises';
import { kindOf } from '#base/errors.ts';
import { type Digest, sha256 } from '#oci/digest.ts';
import type { ContentStore } from './content.ts';

export interface ContentPlace {
  /** Opens the store; a second time as after a restart of the process. */
  open(): Promise<ContentStore>;
  /** Changes the stored bytes of this blob behind the store's back. */
  damage(digest: Digest): Promise<void>;
  /** Files that an unfinished write has on disk. */
  unfinished(): Promise<number>;
  dispose(): Promise<void>;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const failure = async (action: Promise<unknown>): Promise<string> =>
  await action.then(
    () => 'nothing',
    (err: unknown) => kindOf(err),
  );

/** What any content store must do. */
export function contentStoreContract(name: string, make: () => Promise<ContentPlace>): void {
  describe(`${name} as a content store`, () => {
    let place: ContentPlace;
    let store: ContentStore;
    beforeEach(async () => {
      place = await make();
      store = await place.open();
    });
    afterEach(async () => {
      await place.dispose();
    });

    const write = async (parts: readonly string[], expected?: { digest?: Digest; sizeBytes?: number }) => {
      await using writer = await store.writer();
      for (const part of parts) await writer.write(bytes(part));
      return await writer.commit(expected);
    };

    test('a committed blob can be read, listed and found, also after reopening', async () => {
      const info = await write(['hello ', 'world'], { digest: sha256('hello world'), sizeBytes: 11 });
      expect(info).toEqual({ digest: sha256('hello world'), sizeBytes: 11 });
      store = await place.open();
      expect(Buffer.from(await store.read(info.digest)).toString()).toBe('hello world');
      expect(await Bun.file(await store.path(info.digest)).text()).toBe('hello world');
      expect(await store.info(info.digest)).toEqual(info);
      expect(await Array.fromAsync(store.list())).toEqual([info]);
    });

    test('an empty blob is a blob', async () => {
      expect(await write([])).toEqual({ digest: sha256(''), sizeBytes: 0 });
      expect(await store.read(sha256(''))).toHaveLength(0);
    });

    test('nothing is visible before commit, and disposing without it leaves nothing', async () => {
      {
        await using writer = await store.writer();
        await writer.write(bytes('half'));
        expect(writer.sizeBytes).toBe(4);
        expect(await store.info(sha256('half'))).toBeUndefined();
      }
      expect(await place.unfinished()).toBe(0);
      expect(await Array.fromAsync(store.list())).toEqual([]);
    });

    test('a file that somebody else fills becomes a blob, or nothing', async () => {
      const digest = sha256('from elsewhere');
      {
        await using file = await store.file();
        await writeFile(file.path, 'from elsewhere');
        expect(await store.info(digest)).toBeUndefined();
        expect(await file.commit({ digest, sizeBytes: 14 })).toEqual({ digest, sizeBytes: 14 });
      }
      {
        await using again = await store.file();
        await writeFile(again.path, 'from elsewhere');
        await again.commit({ digest, sizeBytes: 14 });
        await using wrong = await store.file();
        await writeFile(wrong.path, 'cut');
        expect(await failure(wrong.commit({ digest: sha256('cut off'), sizeBytes: 7 }))).toBe('DataLoss');
        await using dropped = await store.file();
        await writeFile(dropped.path, 'dropped');
      }
      expect(await place.unfinished()).toBe(0);
      expect((await Array.fromAsync(store.list())).map(info => info.digest)).toEqual([digest]);
      expect(Buffer.from(await store.read(digest)).toString()).toBe('from elsewhere');
    });

    test('what is written can be read alongside, to the end also after the commit', async () => {
      await using writer = await store.writer();
      const { path, grown } = writer.growing;
      const told = grown[Symbol.asyncIterator]();
      await writer.write(bytes('hello '));
      expect((await told.next()).value).toBe(6);
      const file = await open(path);
      await writer.write(bytes('world'));
      const { digest } = await writer.commit();
      expect((await told.next()).value).toBe(11);
      expect((await told.next()).done).toBe(true);
      expect(await file.readFile('utf8')).toBe('hello world');
      await file.close();
      expect(digest).toBe(sha256('hello world'));
    });

    test('a reader alongside hears that a writer was closed before its time, or wrote something wrong', async () => {
      const closed = await store.writer();
      const waiting = closed.growing.grown[Symbol.asyncIterator]().next();
      const first = failure(waiting);
      await closed[Symbol.asyncDispose]();
      expect(await first).toBe('Internal');
      await using wrong = await store.writer();
      await wrong.write(bytes('a'));
      expect(await failure(wrong.commit({ digest: sha256('b') }))).toBe('DataLoss');
      expect(await failure(Array.fromAsync(wrong.growing.grown))).not.toBe('nothing');
    });

    test('many small pieces arrive in order', async () => {
      const parts = Array.from({ length: 5_000 }, (_, i) => `${String(i)},`);
      const { digest } = await write(parts);
      expect(digest).toBe(sha256(parts.join('')));
      expect(Buffer.from(await store.read(digest)).toString()).toBe(parts.join(''));
    });

    test('reopening removes what an unfinished write left', async () => {
      const writer = await store.writer();
      await writer.write(bytes('half'));
      await writer.write(bytes('more'));
      expect(await place.unfinished()).toBe(1);
      store = await place.open();
      expect(await place.unfinished()).toBe(0);
      await writer[Symbol.asyncDispose]();
    });

    test('an interrupted ingest is gone on with, by another process too', async () => {
      const digest = sha256('hello world');
      {
        await using first = await store.writer({ resume: digest });
        await first.write(bytes('hello '));
      }
      store = await place.open();
      await using second = await store.writer({ resume: digest });
      expect(second.sizeBytes).toBe(6);
      expect((await second.growing.grown[Symbol.asyncIterator]().next()).value).toBe(6);
      // Somebody else at the same time gets one of its own.
      await using beside = await store.writer({ resume: digest });
      expect(beside.sizeBytes).toBe(0);
      await second.write(bytes('world'));
      expect(await second.commit({ digest, sizeBytes: 11 })).toEqual({ digest, sizeBytes: 11 });
      await using third = await store.writer({ resume: digest });
      expect(third.sizeBytes).toBe(0);
    });

    test('an interrupted ingest that turns out wrong, or is discarded, is not gone on with', async () => {
      const digest = sha256('right');
      await using first = await store.writer({ resume: digest });
      await first.write(bytes('wrong'));
      expect(await failure(first.commit({ digest }))).toBe('DataLoss');
      await using second = await store.writer({ resume: digest });
      expect(second.sizeBytes).toBe(0);
      await second.write(bytes('rig'));
      await second.discard();
      await using third = await store.writer({ resume: digest });
      expect(third.sizeBytes).toBe(0);
    });

    test('removeUnfinished() takes what is old enough and not being written', async () => {
      const [old, busy] = [sha256('old'), sha256('busy')];
      {
        await using left = await store.writer({ resume: old });
        await left.write(bytes('ol'));
      }
      await using writing = await store.writer({ resume: busy });
      await writing.write(bytes('bu'));
      expect(await store.unfinishedUsage()).toBeGreaterThan(0);
      expect(await store.removeUnfinished(60_000)).toBe(0);
      expect(await store.removeUnfinished(0)).toBe(2);
      await using again = await store.writer({ resume: old });
      expect(again.sizeBytes).toBe(0);
      await writing.write(bytes('sy'));
      expect((await writing.commit({ digest: busy })).sizeBytes).toBe(4);
    });

    test('commit() rejects with DataLoss when digest or size differ, and stores nothing', async () => {
      expect(await failure(write(['a'], { digest: sha256('b') }))).toBe('DataLoss');
      expect(await failure(write(['a'], { sizeBytes: 2 }))).toBe('DataLoss');
      expect(await place.unfinished()).toBe(0);
      expect(await Array.fromAsync(store.list())).toEqual([]);
    });

    test('a digest of another algorithm is verified and kept', async () => {
      const digest = `sha512:${new Bun.CryptoHasher('sha512').update('x').digest('hex')}` as Digest;
      expect(await write(['x'], { digest })).toEqual({ digest, sizeBytes: 1 });
      expect(Buffer.from(await store.read(digest)).toString()).toBe('x');
      expect(await failure(write(['y'], { digest }))).toBe('DataLoss');
    });

    test('the same blob twice is fine, also at the same time', async () => {
      const all = await Promise.all([write(['same']), write(['same']), store.put(bytes('same'))]);
      expect(new Set(all.map(info => info.digest)).size).toBe(1);
      expect(await store.put(bytes('same'))).toEqual({ digest: sha256('same'), sizeBytes: 4 });
      expect(await Array.fromAsync(store.list())).toHaveLength(1);
      expect(await place.unfinished()).toBe(0);
    });

    test('closing a writer twice is fine, using it afterwards is not', async () => {
      const writer = await store.writer();
      await writer.write(bytes('x'));
      await writer.commit();
      await writer[Symbol.asyncDispose]();
      expect(await failure(writer.write(bytes('y')))).toBe('Internal');
      expect(await failure(writer.commit())).toBe('Internal');
      expect(await store.info(sha256('x'))).toBeDefined();
    });

    test('remove() takes a blob away, and says false when there was none', async () => {
      await store.put(bytes('x'));
      expect(await store.remove(sha256('x'))).toBe(true);
      expect(await store.remove(sha256('x'))).toBe(false);
      expect(await failure(store.read(sha256('x')))).toBe('NotFound');
      expect(await failure(store.path(sha256('x')))).toBe('NotFound');
    });

    test('read() of a blob that has changed on disk rejects with DataLoss', async () => {
      const { digest } = await store.put(bytes('precious'));
      await place.damage(digest);
      expect(await failure(store.read(digest))).toBe('DataLoss');
    });
  });
}
