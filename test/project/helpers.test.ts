import { expect, test } from 'bun:test';
import { eventually } from '#test/helpers/eventually.ts';
import { splitFrames } from '#test/helpers/http.ts';
import { compareMachines, type MachineState } from '#test/helpers/machine.ts';
import { median } from '../../bench/statistics.ts';

const state = (mounts: readonly string[]): MachineState => ({ mounts, links: [], nftTables: [], cgroups: [], processes: [], netns: [] });

test('compareMachines() names what is new and what is gone, and counts what is there twice', () => {
  expect(compareMachines(state(['a', 'b']), state(['a', 'b']))).toEqual([]);
  expect(compareMachines(state(['a', 'b']), state(['b', 'c']))).toEqual(['mounts: new: c', 'mounts: gone: a']);
  expect(compareMachines(state(['a']), state(['a', 'a']))).toEqual(['mounts: new: a']);
});

test('splitFrames() keeps the streams apart', () => {
  const frame = (stream: number, text: string): number[] => [stream, 0, 0, 0, 0, 0, 0, text.length, ...Buffer.from(text)];
  expect(splitFrames(new Uint8Array([...frame(1, 'one'), ...frame(2, 'err'), ...frame(1, 'two')]))).toEqual({
    stdout: 'onetwo',
    stderr: 'err',
  });
});

test('eventually() gives up with the last error as its cause', async () => {
  const failing = eventually('never', () => Promise.reject(new Error('because')), { timeoutMs: 30, everyMs: 5 });
  expect(await failing.catch((err: unknown) => err)).toMatchObject({ cause: { message: 'because' } });
});

test('median() of odd and even counts', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});
