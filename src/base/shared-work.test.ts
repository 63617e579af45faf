import { expect, test } from 'bun:test';
import { SharedWork } from './shared-work.ts';

const never = new AbortController().signal;

test('equal work is done once, and who joins late hears everything', async () => {
  const shared = new SharedWork<number, string>();
  const gate = Promise.withResolvers<void>();
  let runs = 0;
  const work = async (tell: (event: string) => void): Promise<number> => {
    runs += 1;
    tell('begun');
    await gate.promise;
    tell('ended');
    return runs;
  };
  const [first, second]: [string[], string[]] = [[], []];
  const one = shared.run('k', work, event => first.push(event), never);
  const two = shared.run('k', work, event => second.push(event), never);
  gate.resolve();
  expect(await Promise.all([one, two])).toEqual([1, 1]);
  expect([first, second]).toEqual([
    ['begun', 'ended'],
    ['begun', 'ended'],
  ]);
  expect(await shared.run('k', work, () => undefined, never)).toBe(2);
});

test('one who leaves does not stop the others; the last one does', async () => {
  const shared = new SharedWork<string, never>();
  const stopped = Promise.withResolvers<unknown>();
  const work = async (_tell: unknown, signal: AbortSignal): Promise<string> => {
    await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()));
    stopped.resolve(signal.reason);
    throw signal.reason as Error;
  };
  const [one, two, three] = [new AbortController(), new AbortController(), new AbortController()];
  const first = shared.run('k', work, () => undefined, one.signal);
  const second = shared.run('k', work, () => undefined, two.signal);
  let firstHasLeft = false;
  void first.catch(() => (firstHasLeft = true));
  const joined = shared.run('k', work, () => undefined, three.signal);
  three.abort(new Error('joined and left'));
  expect(joined).rejects.toThrow('joined and left');
  await joined.catch(() => undefined);
  one.abort(new Error('first left'));
  const state = await Promise.race([stopped.promise, new Promise(resolve => setImmediate(() => resolve('goes on')))]);
  expect(state).toBe('goes on');
  // Its work goes on with what is its own, for the other.
  expect(firstHasLeft).toBe(false);
  two.abort(new Error('second left'));
  expect(second).rejects.toThrow('second left');
  expect(await stopped.promise).toEqual(new Error('second left'));
  expect(first).rejects.toThrow('first left');
});
