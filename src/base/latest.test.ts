import { expect, test } from 'bun:test';
import { messageOf } from './errors.ts';
import { Latest } from './latest.ts';

test('a reader gets the newest value, the final one in any case, then the end', async () => {
  const latest = new Latest<number>();
  latest.set(1);
  latest.set(2);
  const reader = latest[Symbol.asyncIterator]();
  expect((await reader.next()).value).toBe(2);
  const waiting = reader.next();
  latest.set(3);
  expect((await waiting).value).toBe(3);
  latest.set(4);
  latest.end();
  expect((await reader.next()).value).toBe(4);
  expect((await reader.next()).done).toBe(true);
});

test('a failure reaches a reader that waits, before any value', async () => {
  const latest = new Latest<number>();
  const waiting = latest[Symbol.asyncIterator]()
    .next()
    .catch((err: unknown) => err);
  latest.set(1);
  latest.fail(new Error('broken'));
  expect(messageOf(await waiting)).toBe('broken');
  latest.end();
  expect(await latest[Symbol.asyncIterator]().next().catch(messageOf)).toBe('broken');
});
