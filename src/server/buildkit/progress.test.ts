import { expect, test } from 'bun:test';
import { Progress } from './progress.ts';

const never = new AbortController().signal;

test('whoever asks late hears everything, and the end', async () => {
  const progress = new Progress('build');
  const vertex = progress.vertex('1', 'RUN x');
  vertex.start();
  vertex.output('stderr', new TextEncoder().encode('said'));
  vertex.finish({ isCached: true });
  progress.end();
  const updates = await Array.fromAsync(progress.updates(never));
  expect(
    updates.flatMap(({ vertexes = [] }) => vertexes.map(({ name, cached, completed }) => [name, cached ?? false, completed !== undefined])),
  ).toEqual([
    ['RUN x', false, false],
    ['RUN x', true, true],
  ]);
  expect(updates.flatMap(({ logs = [] }) => logs.map(({ stream, msg }) => [stream, new TextDecoder().decode(msg)]))).toEqual([[2, 'said']]);
});

test('what is under way at the end was given up', async () => {
  const progress = new Progress('build');
  progress.vertex('1', 'RUN x').start();
  progress.end();
  const last = (await Array.fromAsync(progress.updates(never))).at(-1);
  expect(last?.vertexes).toMatchObject([{ name: 'RUN x', error: 'context canceled' }]);
});

test('a step that says too much is clipped, in pieces that get through', async () => {
  const progress = new Progress('build');
  const vertex = progress.vertex('1', 'RUN yes');
  for (let index = 0; index < 3; index += 1) vertex.output('stdout', new Uint8Array(1024 * 1024));
  vertex.output('stdout', new Uint8Array(10));
  progress.end();
  const logs = (await Array.fromAsync(progress.updates(never))).flatMap(update => update.logs ?? []);
  const sizes = logs.map(({ msg }) => msg.length);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(16 * 1024);
  expect(sizes.slice(0, -1).reduce((sum, size) => sum + size, 0)).toBe(2 * 1024 * 1024);
  expect(new TextDecoder().decode(logs.at(-1)?.msg)).toContain('output clipped');
});
