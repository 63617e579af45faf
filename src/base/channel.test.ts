import { expect, test } from 'bun:test';
import { messageOf } from './errors.ts';
import { Channel } from './channel.ts';

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const values: T[] = [];
  for await (const value of source) values.push(value);
  return values;
}

test('everything arrives in order, then the end', async () => {
  const channel = new Channel<number>(2);
  const reading = collect(channel);
  for (let i = 0; i < 10; i += 1) await channel.push(i);
  channel.end();
  expect(await reading).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('push() waits for the reader when the channel is full', async () => {
  const channel = new Channel<number>(2);
  await channel.push(1);
  let isPushed = false;
  const pushing = channel.push(2).then(() => {
    isPushed = true;
  });
  await Promise.resolve();
  expect(isPushed).toBe(false);
  const reading = collect(channel);
  await pushing;
  channel.end();
  expect(await reading).toEqual([1, 2]);
});

test('a reader that leaves lets the writer go on', async () => {
  const channel = new Channel<number>(1);
  const first = (async () => {
    for await (const value of channel) return value;
    return undefined;
  })();
  await channel.push(1);
  await channel.push(2);
  await channel.push(3);
  expect(await first).toBe(1);
});

test('fail() reaches the reader and frees the writer', async () => {
  const channel = new Channel<number>(1);
  const pushing = channel.push(1);
  channel.fail(new Error('broken'));
  await pushing;
  expect(await collect(channel).catch(messageOf)).toBe('broken');
});
