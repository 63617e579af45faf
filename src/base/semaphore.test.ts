import { expect, test } from 'bun:test';
import { messageOf } from './errors.ts';
import { Semaphore } from './semaphore.ts';

const signal = new AbortController().signal;

test('lets so many run, the rest in order', async () => {
  const semaphore = new Semaphore(2);
  const gates = [0, 1, 2].map(() => Promise.withResolvers<void>());
  const started: number[] = [];
  const runs = gates.map((gate, index) =>
    semaphore.run(signal, async () => {
      started.push(index);
      await gate.promise;
    }),
  );
  expect(started).toEqual([0, 1]);
  expect(semaphore.isFree).toBe(false);
  gates[1]?.resolve();
  await runs[1];
  await Promise.resolve();
  expect(started).toEqual([0, 1, 2]);
  for (const gate of gates) gate.resolve();
  await Promise.all(runs);
  expect(semaphore.isFree).toBe(true);
});

test('one that gives up waiting does not take a turn', async () => {
  const semaphore = new Semaphore(1);
  const gate = Promise.withResolvers<void>();
  const first = semaphore.run(signal, () => gate.promise);
  const leaving = new AbortController();
  const second = semaphore.run(leaving.signal, () => Promise.resolve());
  leaving.abort(new Error('no patience'));
  expect(await second.catch(messageOf)).toBe('no patience');
  gate.resolve();
  await first;
  expect(await semaphore.run(signal, () => Promise.resolve('third'))).toBe('third');
});
