import { expect, jest, test } from 'bun:test';
import { Agenda } from './agenda.ts';

const later = (): { readonly resolved: Promise<void>; readonly resolve: () => void } => {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { resolved: promise, resolve };
};

test('things are done in the order of their times, whatever the order they were planned in', async () => {
  using agenda = new Agenda<string>();
  const done: string[] = [];
  const last = later();
  agenda.plan('third', 30, () => {
    done.push('third');
    last.resolve();
  });
  agenda.plan('first', 1, () => done.push('first'));
  agenda.plan('second', 15, () => done.push('second'));
  expect(agenda.size).toBe(3);
  expect([agenda.has('first'), agenda.has('fourth')]).toEqual([true, false]);
  await last.resolved;
  expect(done).toEqual(['first', 'second', 'third']);
  expect(agenda.size).toBe(0);
});

test('a later plan for the same key replaces the earlier one; what was cancelled is not done', async () => {
  using agenda = new Agenda<string>();
  const done: string[] = [];
  const last = later();
  agenda.plan('one', 1, () => done.push('early'));
  agenda.plan('one', 5, () => done.push('late'));
  agenda.plan('two', 2, () => done.push('cancelled'));
  agenda.cancel('two');
  agenda.cancel('never planned');
  agenda.plan('end', 10, last.resolve);
  await last.resolved;
  expect(done).toEqual(['late']);
});

test('an action may plan the next one', async () => {
  using agenda = new Agenda<string>();
  const last = later();
  let count = 0;
  const again = (): void => {
    count += 1;
    if (count === 3) last.resolve();
    else agenda.plan('beat', 1, again);
  };
  agenda.plan('beat', 1, again);
  await last.resolved;
  expect(count).toBe(3);
});

test('there is one timer for all, and none for nothing', () => {
  const set = jest.spyOn(globalThis, 'setTimeout');
  const clear = jest.spyOn(globalThis, 'clearTimeout');
  try {
    using agenda = new Agenda<number>();
    for (let key = 0; key < 100; key += 1) agenda.plan(key, 60_000 + key, () => undefined);
    expect(set).toHaveBeenCalledTimes(1);
    for (let key = 0; key < 100; key += 1) agenda.cancel(key);
    expect(clear).toHaveBeenLastCalledWith(set.mock.results[0]?.value);
    expect(set).toHaveBeenCalledTimes(1);
  } finally {
    set.mockRestore();
    clear.mockRestore();
  }
});

test('disposed, it does and takes nothing any more', () => {
  const agenda = new Agenda<string>();
  agenda.plan('one', 0, () => expect.unreachable());
  agenda[Symbol.dispose]();
  agenda.plan('two', 0, () => expect.unreachable());
  expect(agenda.size).toBe(0);
});
