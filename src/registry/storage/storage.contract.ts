import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ByteRange, Storage } from './storage.ts';

export interface StoragePlace extends AsyncDisposable {
  open(): Promise<Storage>;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** What any storage must do. */
export function storageContract(name: string, make: () => Promise<StoragePlace>): void {
  describe(`${name} as a storage`, () => {
    let place: StoragePlace;
    let storage: Storage;
    beforeEach(async () => {
      place = await make();
      storage = await place.open();
    });
    afterEach(async () => {
      await place[Symbol.asyncDispose]();
    });

    const textAt = async (path: string): Promise<string | undefined> => {
      const data = await storage.get(path);
      return data === undefined ? undefined : new TextDecoder().decode(data);
    };
    const read = async (path: string, size: number, range?: ByteRange): Promise<string> => {
      const content = storage.content(path, size, range);
      if ('redirect' in content) throw new Error('a redirect');
      return await new Response(content.body).text();
    };
    const names = async (folder: string): Promise<string[]> =>
      (await storage.list(folder)).map(entry => `${entry.name}${entry.isFolder ? '/' : ''}`).toSorted();

    test('what was put can be got, and is replaced by the next', async () => {
      expect(await storage.get('a/b/c')).toBeUndefined();
      await storage.put('a/b/c', bytes('one'));
      expect(await textAt('a/b/c')).toBe('one');
      await storage.put('a/b/c', bytes('two and more'));
      expect(await textAt('a/b/c')).toBe('two and more');
      expect(await storage.stat('a/b/c')).toMatchObject({ sizeBytes: 12 });
      expect(Math.abs(((await storage.stat('a/b/c'))?.modifiedAt ?? 0) - Date.now())).toBeLessThan(60_000);
    });

    test('what is not there is undefined, also below an object', async () => {
      await storage.put('a/b', bytes('x'));
      expect(await storage.stat('a')).toSatisfy(value => value === undefined || typeof value === 'object');
      expect(await storage.stat('a/none')).toBeUndefined();
      expect(await storage.get('none/none')).toBeUndefined();
      expect(await storage.list('none')).toEqual([]);
    });

    test('it is there for the next process', async () => {
      await storage.put('a/b', bytes('kept'));
      storage = await place.open();
      expect(await textAt('a/b')).toBe('kept');
    });

    test('a file is taken over, whole or in part for readers', async () => {
      const file = join(storage.stagingFolder, 'mine');
      const data = 'x'.repeat(6_000_000).concat('the end');
      await Bun.write(file, data);
      await storage.adopt('big/data', file);
      expect(existsSync(file)).toBe(false);
      expect(await storage.stat('big/data')).toMatchObject({ sizeBytes: data.length });
      expect((await read('big/data', data.length)) === data).toBe(true);
      expect(await read('big/data', data.length, { start: data.length - 7, end: data.length - 1 })).toBe('the end');
      expect(await read('big/data', data.length, { start: 5_999_999, end: 6_000_002 })).toBe('xthe');
    });

    test('an empty object', async () => {
      const file = join(storage.stagingFolder, 'empty');
      await Bun.write(file, '');
      await storage.adopt('empty/data', file);
      expect(await storage.stat('empty/data')).toMatchObject({ sizeBytes: 0 });
      expect(await read('empty/data', 0)).toBe('');
    });

    test('folders list what is directly in them', async () => {
      await storage.put('r/a/one', bytes('1'));
      await storage.put('r/b/two', bytes('2'));
      await storage.put('r/three', bytes('3'));
      await storage.put('rest', bytes('4'));
      expect(await names('r')).toEqual(['a/', 'b/', 'three']);
    });

    test('a folder goes with all that is in it, and nothing else', async () => {
      await storage.put('r/a/one', bytes('1'));
      await storage.put('r/a/deep/two', bytes('2'));
      await storage.put('r/ab', bytes('3'));
      await storage.remove('r/a');
      expect(await names('r')).toEqual(['ab']);
      expect(await storage.get('r/a/deep/two')).toBeUndefined();
      await storage.remove('r/a');
      await storage.remove('none');
      await storage.put('r/a/one', bytes('again'));
      expect(await textAt('r/a/one')).toBe('again');
    });

    test('removing and putting side by side never fails and ends with what came last', async () => {
      for (let round = 0; round < 10; round += 1) {
        await storage.put('p/q/link', bytes('x'));
        await Promise.all([storage.remove('p/q'), storage.put('p/r/link', bytes('y'))]);
        expect(await textAt('p/r/link')).toBe('y');
        await storage.remove('p/r');
      }
    });

    test('touching makes an object young and leaves it as it is', async () => {
      await storage.put('t/link', bytes('same'));
      const before = await storage.stat('t/link');
      await storage.touch('t/link');
      expect((await storage.stat('t/link'))?.modifiedAt ?? 0).toBeGreaterThanOrEqual(before?.modifiedAt ?? Number.MAX_VALUE);
      expect(await textAt('t/link')).toBe('same');
      await storage.touch('t/none');
      expect(await storage.stat('t/none')).toBeUndefined();
    });

    test('it works', async () => {
      await storage.check();
    });
  });
}
