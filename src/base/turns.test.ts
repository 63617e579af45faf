import { expect, test } from 'bun:test';
import { letOthersGoFirst } from './turns.ts';

const workFor = (ms: number): void => {
  for (const begin = performance.now(); performance.now() - begin < ms; );
};

test('loops that never wait for anything let others go first, together every few milliseconds', async () => {
  let turns = 0;
  let isOver = false;
  const others = (): void => {
    turns += 1;
    if (!isOver) setImmediate(others);
  };
  setImmediate(others);
  const loop = async (): Promise<void> => {
    for (let step = 0; step < 20; step += 1) {
      workFor(1);
      await letOthersGoFirst();
    }
  };
  await Promise.all([loop(), loop()]);
  isOver = true;
  expect(turns).toBeGreaterThanOrEqual(8);
});

test('many who begin at the same moment do not all go on after the same pause', async () => {
  let turns = 0;
  let isOver = false;
  const others = (): void => {
    turns += 1;
    if (!isOver) setImmediate(others);
  };
  setImmediate(others);
  const step = async (): Promise<void> => {
    await letOthersGoFirst();
    workFor(1);
  };
  workFor(3);
  await Promise.all(Array.from({ length: 40 }, step));
  isOver = true;
  expect(turns).toBeGreaterThanOrEqual(10);
});

test('steps that take no time are not held up', async () => {
  let turns = 0;
  let isOver = false;
  const others = (): void => {
    turns += 1;
    if (!isOver) setImmediate(others);
  };
  await letOthersGoFirst();
  setImmediate(others);
  const begin = performance.now();
  for (let step = 0; step < 1000; step += 1) await letOthersGoFirst();
  isOver = true;
  expect(turns).toBeLessThanOrEqual(2 + (performance.now() - begin) / 2);
});
