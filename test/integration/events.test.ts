import { expect } from 'bun:test';
import { create, remove, sh, sharedDaemon, start, waitForExit } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

interface Event {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
  readonly time: number;
  readonly timeNano: number;
}

describe('events', () => {
  const daemon = sharedDaemon();
  const past = async (query: string): Promise<Event[]> => {
    const { text } = await daemon().api.get(`/events?${query}`);
    return text
      .split('\n')
      .filter(line => line.trim() !== '')
      .map(line => JSON.parse(line) as Event);
  };

  test('the life of a container, as it happens', async () => {
    const abort = new AbortController();
    const response = await daemon().api.open('GET', '/events', { signal: abort.signal });
    let text = '';
    const reading = (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? []) text += decoder.decode(chunk, { stream: true });
    })().catch(() => undefined);
    const id = await start(daemon(), sh('exit 3', { Labels: { a: 'b' } }), 'watched');
    await waitForExit(daemon(), id);
    await remove(daemon(), id);
    await eventually('the last event', () => text.includes('"destroy"'));
    abort.abort();
    await reading;
    const events = text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Event);
    const container = events.filter(({ Type }) => Type === 'container');
    expect(container.map(({ Action }) => Action)).toEqual(['create', 'start', 'die', 'destroy']);
    for (const { Actor } of container) {
      expect(Actor.ID).toBe(id);
      expect(Actor.Attributes).toMatchObject({ name: 'watched', image: 'busybox', a: 'b' });
    }
    expect(container[2]?.Actor.Attributes.exitCode).toBe('3');
    expect(events.filter(({ Type }) => Type === 'network').map(({ Action }) => Action)).toEqual(['connect', 'disconnect']);
    const times = events.map(({ timeNano }) => timeNano);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });

  test('since and until give the past, filters choose', async () => {
    const began = Math.floor(Date.now() / 1000);
    const id = await create(daemon(), sh('true'), 'remembered');
    await remove(daemon(), id);
    const until = Math.floor(Date.now() / 1000) + 1;
    const mine = (filters: object): Promise<Event[]> =>
      past(
        `since=${String(began)}&until=${String(until)}&filters=${encodeURIComponent(JSON.stringify({ container: ['remembered'], ...filters }))}`,
      );
    expect((await mine({})).map(({ Action }) => Action)).toEqual(['create', 'destroy']);
    expect((await mine({ event: ['destroy'] })).map(({ Action }) => Action)).toEqual(['destroy']);
    expect(await mine({ type: ['volume'] })).toEqual([]);
  });
});
