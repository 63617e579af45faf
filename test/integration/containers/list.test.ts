import { expect } from 'bun:test';
import { create, remove, sh, sharedDaemon, start, waitForExit, waiting } from '#test/helpers/containers.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

interface Summary {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly Image: string;
  readonly Command: string;
  readonly State: string;
  readonly Status: string;
  readonly Labels: Readonly<Record<string, string>>;
}

describe('the list of containers', () => {
  const daemon = sharedDaemon();
  const list = async (query: string, filters?: object): Promise<string[]> => {
    const suffix = filters === undefined ? '' : `&filters=${encodeURIComponent(JSON.stringify(filters))}`;
    const all = await daemon().api.expect<Summary[]>('GET', `/containers/json?${query}${suffix}`);
    return all.map(({ Names }) => Names[0]?.slice(1) ?? '');
  };

  test('shows running ones, with all=1 all, newest first; filters choose', async () => {
    const one = await start(daemon(), waiting({ Labels: { color: 'red', size: 'small' } }), 'one');
    const two = await start(daemon(), sh('exit 3', { Labels: { color: 'blue' } }), 'two');
    await waitForExit(daemon(), two);
    const three = await create(daemon(), sh('true', { Labels: { color: 'red' } }), 'three');

    expect(await list('')).toEqual(['one']);
    expect(await list('all=1')).toEqual(['three', 'two', 'one']);
    expect(await list('limit=2')).toEqual(['three', 'two']);
    expect(await list('all=1', { status: ['exited'] })).toEqual(['two']);
    expect(await list('', { status: { created: true } })).toEqual(['three']);
    expect(await list('all=1', { exited: ['3'] })).toEqual(['two']);
    expect(await list('all=1', { label: ['color=red'] })).toEqual(['three', 'one']);
    expect(await list('all=1', { label: ['color=red', 'size'] })).toEqual(['one']);
    expect(await list('all=1', { name: ['t'] })).toEqual(['three', 'two']);
    expect(await list('all=1', { id: [one.slice(0, 10)] })).toEqual(['one']);
    expect(await list('all=1', { before: ['two'] })).toEqual(['one']);
    expect(await list('all=1', { since: ['two'] })).toEqual(['three']);
    expect(await list('all=1', { ancestor: ['busybox'] })).toEqual(['three', 'two', 'one']);
    expect(await list('all=1', { ancestor: ['nothing'] })).toEqual([]);
    for (const id of [one, two, three]) await remove(daemon(), id);
  });

  test('a row says what runs and since when', async () => {
    const id = await start(daemon(), waiting({ Labels: { a: 'b' } }), 'row');
    const [row] = await daemon().api.expect<Summary[]>('GET', '/containers/json');
    expect(row).toMatchObject({ Id: id, Names: ['/row'], Image: 'busybox', State: 'running', Labels: { a: 'b' } });
    expect(row?.Command).toStartWith('sh -c ');
    expect(row?.Status).toMatch(/^Up (Less than a second|\d+ seconds?)$/);
    await remove(daemon(), id);
  });

  test('an unknown filter and bad JSON are refused', async () => {
    for (const filters of ['{"nonsense":["x"]}', '{broken']) {
      expect((await daemon().api.get(`/containers/json?filters=${encodeURIComponent(filters)}`)).status).toBe(400);
    }
  });
});
