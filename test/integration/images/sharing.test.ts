import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'bun:test';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { expectTraces, imageTraces } from '#test/helpers/image-traces.ts';
import { makeImage, oldArchive } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { publishImage } from '#test/helpers/publish-image.ts';
import { startSmallRegistry } from '#test/helpers/small-registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

describe('layers', () => {
  const daemon = sharedDaemon({ busybox: false, args: ['--insecure-registry', '127.0.0.0/8'] });
  const load = async (texts: readonly string[], ...tags: string[]): Promise<string> => {
    const image = makeImage(texts);
    const raw = new Uint8Array(oldArchive([{ image, tags }]));
    const { text } = await daemon().api.call('POST', '/images/load', { raw });
    if (text.includes('errorDetail')) throw new Error(text);
    return image.id;
  };
  const layerCount = (): number => imageTraces(daemon()).filter(path => /^layers\/\d+$/.test(path)).length;
  const create = async (image: string): Promise<string> =>
    (await daemon().api.expect<{ Id: string }>('POST', '/containers/create', { body: { Image: image, Cmd: ['/none'] } })).Id;
  const lowerOf = async (id: string): Promise<string[]> =>
    (
      await daemon().api.expect<{ GraphDriver: { Data: { LowerDir: string } } }>('GET', `/containers/${id}/json`)
    ).GraphDriver.Data.LowerDir.split(':');

  test('are stored once for all images, and go with the last of them', async () => {
    await load(['base', 'one'], 'one:1');
    await load(['base', 'two'], 'two:1');
    expect(layerCount()).toBe(3);
    await daemon().api.expect('DELETE', '/images/one:1');
    expect(layerCount()).toBe(2);
    await daemon().api.expect('DELETE', '/images/two:1');
    await expectTraces(daemon(), []);
  });

  test('stay for a container whose image was removed by force, and go with it', async () => {
    await load(['base', 'one'], 'one:1');
    const id = await create('one:1');
    expect((await daemon().api.delete('/images/one:1')).status).toBe(409);
    await daemon().api.expect('DELETE', '/images/one:1?force=1');
    const lower = await lowerOf(id);
    expect(lower.length).toBeGreaterThanOrEqual(2);
    expect(lower.filter(dir => existsSync(join(dir, 'file-0')))).toHaveLength(1);
    // The same image again takes them over.
    await load(['base', 'one'], 'again:1');
    expect(layerCount()).toBe(3);
    await daemon().api.expect('DELETE', '/images/again:1?force=1');
    await daemon().api.expect('DELETE', `/containers/${id}`);
    await expectTraces(daemon(), []);
  });

  test('many at once: loading, pulling, naming, using and removing images that share layers leaves nothing', async () => {
    await using registry = startSmallRegistry();
    const stacks = [['base'], ['base', 'a'], ['base', 'a', 'b'], ['base', 'c'], ['other'], ['other', 'a']];
    for (const [index, texts] of stacks.entries()) publishImage(registry, 'shared', `v${index}`, makeImage(texts, { compress: true }));
    const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T;
    const expectedFailure = /No such image|conflict|is being used|is in use|not found|a prune operation is already running/;
    const unexpected: string[] = [];
    const attempt = async (what: string, work: () => Promise<unknown>): Promise<void> => {
      await work().catch((err: unknown) => {
        if (!expectedFailure.test(String(err))) unexpected.push(`${what}: ${String(err)}`);
      });
    };
    const name = (index: number): string => `${registry.address}/shared:v${index}`;
    const index = (): number => Math.floor(Math.random() * stacks.length);
    const steps: Record<string, () => Promise<unknown>> = {
      load: async () => {
        const at = index();
        await load(stacks[at] ?? [], name(at));
      },
      pull: async () => {
        const { text } = await daemon().api.call('POST', `/images/create?fromImage=${registry.address}/shared&tag=v${index()}`);
        if (text.includes('errorDetail') || text.startsWith('{"message"')) throw new Error(text);
      },
      'cancelled pull': async () => {
        const stop = AbortSignal.timeout(Math.random() * 6);
        await daemon()
          .api.call('POST', `/images/create?fromImage=${registry.address}/shared&tag=v${index()}`, { signal: stop })
          .catch(() => undefined);
      },
      tag: () => daemon().api.expect('POST', `/images/${name(index())}/tag?repo=more&tag=v${index()}`),
      remove: () => daemon().api.expect('DELETE', `/images/${name(index())}?force=1`),
      untag: () => daemon().api.expect('DELETE', `/images/more:v${index()}`),
      save: async () => {
        const answer = await daemon().api.open('GET', `/images/${name(index())}/get`);
        const bytes = (await answer.arrayBuffer()).byteLength;
        if (answer.status === 200 && bytes < 4096) throw new Error(`an archive of ${bytes} bytes`);
      },
      use: async () => {
        const id = await create(pick([name(index()), `more:v${index()}`]));
        const lower = await lowerOf(id);
        if (!lower.some(dir => existsSync(join(dir, 'file-0')))) throw new Error(`container without its files: ${lower.join(' ')}`);
        await daemon().api.expect('DELETE', `/containers/${id}`);
      },
      list: () => daemon().api.expect('GET', '/images/json?all=1'),
      prune: () => daemon().api.expect('POST', '/images/prune'),
    };
    const worker = async (): Promise<void> => {
      for (let i = 0; i < 60; i += 1) {
        const what = pick(Object.keys(steps));
        await attempt(what, steps[what] ?? (() => Promise.resolve()));
      }
    };
    await Promise.all(Array.from({ length: 6 }, worker));
    expect(unexpected).toEqual([]);
    // The daemon may hear that the client of a pull has gone when the image was just recorded.
    await eventually('nothing left of all images', async () => {
      for (const { Id } of await daemon().api.expect<{ Id: string }[]>('GET', '/images/json?all=1')) {
        const saved = await daemon().api.open('GET', `/images/${Id}/get`);
        expect(saved.status).toBe(200);
        await saved.arrayBuffer();
        await daemon().api.expect('DELETE', `/images/${Id}?force=1`);
      }
      await daemon().api.expect('POST', '/images/prune');
      const more = imageTraces(daemon());
      if (more.length > 0) throw new Error(`there is more: ${more.join(' ')}`);
      return true;
    });
  }, 60_000);
});
