import { describe, expect, test } from 'bun:test';
import { messageOf } from '#base/errors.ts';
import { StartAhead } from './start-ahead.ts';

const { signal } = new AbortController();

/** A start whose steps are noted, and which takes a while to be unmade. */
function starting() {
  const steps: string[] = [];
  const bringUp = async (gate: Promise<void>, stop: AbortSignal): Promise<void> => {
    steps.push('ready');
    try {
      await gate;
      stop.throwIfAborted();
      steps.push('runs');
    } catch (err) {
      await Bun.sleep(5);
      steps.push('unmade');
      throw err;
    }
  };
  return { steps, bringUp };
}

describe('StartAhead', () => {
  test('goes on when the start is asked for, once', async () => {
    const ahead = new StartAhead();
    const { steps, bringUp } = starting();
    ahead.begin('a', bringUp);
    expect(steps).toEqual(['ready']);
    expect(await ahead.finish('a', signal)).toBe(true);
    expect(steps).toEqual(['ready', 'runs']);
    expect(await ahead.finish('a', signal)).toBe(false);
    await ahead.abandon('a');
    expect(steps).toEqual(['ready', 'runs']);
  });

  test('unmakes what it made before something else is done', async () => {
    const ahead = new StartAhead();
    const { steps, bringUp } = starting();
    ahead.begin('a', bringUp);
    await ahead.abandon('b');
    expect(steps).toEqual(['ready']);
    await ahead.abandon('a');
    expect(steps).toEqual(['ready', 'unmade']);
    expect(await ahead.finish('a', signal)).toBe(false);
  });

  test('a start that comes while it is unmade waits and begins anew', async () => {
    const ahead = new StartAhead();
    const { steps, bringUp } = starting();
    ahead.begin('a', bringUp);
    const abandoned = ahead.abandon();
    expect(await ahead.finish('a', signal)).toBe(false);
    expect(steps).toEqual(['ready', 'unmade']);
    await abandoned;
  });

  test('is over when nobody comes, or when it fails by itself; another may begin then', async () => {
    const ahead = new StartAhead();
    ahead.begin('a', () => Promise.reject(new Error('no room')));
    await Bun.sleep(0);
    expect(await ahead.finish('a', signal)).toBe(false);
    const { steps, bringUp } = starting();
    ahead.begin('b', bringUp);
    ahead.begin('c', () => Promise.reject(new Error('two at a time')));
    expect(await ahead.finish('b', signal)).toBe(true);
    expect(steps).toEqual(['ready', 'runs']);
  });

  test('tells the failure of a start that was asked for, and ends it with the client', async () => {
    const ahead = new StartAhead();
    ahead.begin('a', async gate => {
      await gate;
      throw new Error('port is taken');
    });
    expect(await ahead.finish('a', signal).catch(messageOf)).toBe('port is taken');
    const client = new AbortController();
    const { steps, bringUp } = starting();
    ahead.begin('b', bringUp);
    client.abort(new Error('client left'));
    expect(await ahead.finish('b', client.signal).catch(messageOf)).toBe('client left');
    expect(steps).toEqual(['ready', 'unmade']);
  });
});
