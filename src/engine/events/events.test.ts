import { expect, test } from 'bun:test';
import { messageOf } from '#base/errors.ts';
import type { EngineEvent } from '#core/events.ts';
import { createEventBus } from './bus.ts';
import { createNanoClock } from './clock.ts';
import { matchesEvent } from './filter.ts';

const start = {
  type: 'container',
  action: 'start',
  actorId: 'abcdef',
  attributes: { name: 'web', image: 'nginx:1', tier: 'front' },
} as const;
const all = { sinceNano: undefined, untilNano: undefined, filters: new Map<string, string[]>() };

async function take(events: AsyncIterable<EngineEvent>, count: number): Promise<EngineEvent[]> {
  const taken: EngineEvent[] = [];
  for await (const event of events) if (taken.push(event) === count) break;
  return taken;
}

test('time never stands still nor goes back', () => {
  const readings = [5n, 5n, 3n, 9n];
  const now = createNanoClock(() => readings.shift() ?? 0n);
  expect([now(), now(), now(), now()]).toEqual([5n, 6n, 7n, 9n]);
});

test('a subscriber hears what is published after it subscribed, in order', async () => {
  const bus = createEventBus();
  bus.publish({ ...start, action: 'create' });
  const events = bus.subscribe(all, new AbortController().signal);
  expect(bus.listenerCount).toBe(1);
  bus.publish(start);
  bus.publish({ ...start, action: 'die' });
  expect((await take(events, 2)).map(({ action }) => action)).toEqual(['start', 'die']);
  expect(bus.listenerCount).toBe(0);
});

test('`since` brings back up to 256 past events, `until` ends the stream', async () => {
  let time = 0n;
  const bus = createEventBus(() => ++time);
  for (let i = 0; i < 300; i++) bus.publish({ ...start, action: `a${i}` });
  const past = await Array.fromAsync(bus.subscribe({ ...all, sinceNano: 1n, untilNano: 299n }, new AbortController().signal));
  expect(past.length).toBe(255);
  expect([past[0]?.action, past.at(-1)?.action]).toEqual(['a44', 'a298']);
});

test('a stream ends when its signal aborts, and one that is not read ends with an error', async () => {
  const bus = createEventBus();
  const abort = new AbortController();
  const events = bus.subscribe(all, abort.signal);
  abort.abort();
  expect(await Array.fromAsync(events)).toEqual([]);
  const slow = bus.subscribe(all, new AbortController().signal);
  for (let i = 0; i < 20_000; i++) bus.publish(start);
  expect(await Array.fromAsync(slow).then(() => 'all', messageOf)).toContain('read too slowly');
  expect(bus.listenerCount).toBe(0);
});

test.each([
  [{ type: ['container'] }, true],
  [{ type: ['image'] }, false],
  [{ event: ['start', 'stop'] }, true],
  [{ event: ['sta'] }, false],
  [{ container: ['abc'] }, true],
  [{ container: ['web'] }, true],
  [{ container: ['other'] }, false],
  [{ image: ['nginx'] }, true],
  [{ image: ['ngin'] }, false],
  [{ label: ['tier=front', 'name'] }, true],
  [{ label: ['tier=back'] }, false],
  [{ type: ['container'], event: ['die'] }, false],
  [{ type: [], event: ['start'] }, true],
  [{ network: ['abc'], scope: ['local'] }, true],
  [{ scope: ['swarm'] }, false],
])('filter %j', (filters, expected) => {
  expect(matchesEvent({ ...start, timeNano: 1n }, new Map(Object.entries(filters)))).toBe(expected);
});

test('actions with a detail match by their first word', () => {
  const event = { ...start, action: 'health_status: healthy', timeNano: 1n };
  expect(matchesEvent(event, new Map([['event', ['health_status']]]))).toBeTrue();
  expect(matchesEvent(event, new Map([['event', ['health_status: unhealthy']]]))).toBeFalse();
  expect(matchesEvent(event, new Map([['event', ['health_status: healthy']]]))).toBeTrue();
  expect(matchesEvent(event, new Map([['event', ['health_status: heal']]]))).toBeFalse();
});
