import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { RecordStore } from './records.ts';

/** What any record store must do. `open` is called anew for the same place after a close. */
export function recordStoreContract(name: string, make: () => { open: () => RecordStore; dispose: () => void }): void {
  describe(`${name} as a record store`, () => {
    let place: ReturnType<typeof make>;
    let store: RecordStore;
    beforeEach(() => {
      place = make();
      store = place.open();
    });
    afterEach(() => {
      store.close();
      place.dispose();
    });

    test('put() then get() gives an equal value, also after reopening', () => {
      store.table('cups').put('a', { size: 3, tags: ['x'] });
      store.close();
      store = place.open();
      expect(store.table('cups').get('a')).toEqual({ size: 3, tags: ['x'] });
    });

    test('get() of an unknown key is undefined, delete() of one is false', () => {
      expect(store.table('cups').get('nope')).toBeUndefined();
      expect(store.table('cups').delete('nope')).toBe(false);
    });

    test('nouns do not see each other', () => {
      store.table('cups').put('a', 1);
      expect(store.table('plates').list()).toEqual([]);
    });

    test('list() keeps the order of first insertion when a value is replaced', () => {
      const cups = store.table<number>('cups');
      cups.put('b', 1);
      cups.put('a', 2);
      cups.put('b', 3);
      expect(cups.list()).toEqual([
        { key: 'b', value: 3 },
        { key: 'a', value: 2 },
      ]);
    });

    test('transaction() that throws changes nothing, nested ones included', () => {
      const cups = store.table<number>('cups');
      expect(() =>
        store.transaction(() => {
          cups.put('a', 1);
          store.transaction(() => cups.put('b', 2));
          throw new Error('stop');
        }),
      ).toThrow('stop');
      expect(cups.list()).toEqual([]);
    });

    test('close() twice is fine', () => {
      store.close();
      store.close();
    });
  });
}
