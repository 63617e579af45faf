import { describe, expect, test } from 'bun:test';
import { Arrivals } from './arrivals.ts';

const missing = (): Error => new Error('it did not come');

describe('Arrivals', () => {
  test('gives what is there, and to everybody who waits what comes', async () => {
    const things = new Arrivals<number>();
    const { signal } = new AbortController();
    const waiting = [1, 2].map(() => things.get('a', { patienceMs: 60_000, missing }, signal));
    things.arrive('b', 2);
    things.arrive('a', 1);
    expect(await Promise.all(waiting)).toEqual([1, 1]);
    expect(await things.get('b', { patienceMs: 0, missing }, signal)).toBe(2);
  });

  test('rejects when nothing comes, and with the reason of a signal that aborts', async () => {
    const things = new Arrivals<number>();
    expect(things.get('a', { patienceMs: 1, missing }, new AbortController().signal)).rejects.toThrow('it did not come');
    const gone = new AbortController();
    const waiting = things.get('a', { patienceMs: 60_000, missing }, gone.signal);
    gone.abort(new Error('left'));
    expect(waiting).rejects.toThrow('left');
    expect(things.get('a', { patienceMs: 60_000, missing }, gone.signal)).rejects.toThrow('left');
  });

  test('what leaves does not take away what has come in its place', () => {
    const things = new Arrivals<number>();
    things.arrive('a', 1);
    things.arrive('a', 2);
    things.leave('a', 1);
    expect(things.find('a')).toBe(2);
    things.leave('a', 2);
    expect(things.find('a')).toBeUndefined();
  });
});
