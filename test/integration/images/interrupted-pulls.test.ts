import { expect } from 'bun:test';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '#oci/digest.ts';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { expectTraces } from '#test/helpers/image-traces.ts';
import { makeImage } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { publishImage } from '#test/helpers/publish-image.ts';
import { blobAnswer, slowly, type SmallRegistry, startSmallRegistry } from '#test/helpers/small-registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

const noise = Buffer.concat(Array.from({ length: 32 }, () => crypto.getRandomValues(new Uint8Array(65_536)))).toString('hex');
const image = makeImage(['base', noise], { compress: true });
const layer = image.layers[1] as Uint8Array;

describe('an interrupted pull', () => {
  const daemon = sharedDaemon({ busybox: false });
  const begin = async (name: string, signal?: AbortSignal): Promise<string> =>
    await daemon()
      .api.open('POST', `/images/create?fromImage=${name}&tag=1`, signal === undefined ? {} : { signal })
      .then(answer => answer.text());
  const arrived = (): number => {
    const folder = join(daemon().dataRoot, 'content/partial');
    return readdirSync(folder).reduce((bytes, file) => bytes + statSync(join(folder, file)).size, 0);
  };
  /** The first byte that each request for the layer asked for. */
  const starts = (registry: SmallRegistry): number[] =>
    registry.requests
      .filter(({ line }) => line.endsWith(`/blobs/${sha256(layer)}`))
      .map(({ headers }) => Number(/^bytes=(\d+)-/.exec(headers.get('range') ?? '')?.[1] ?? 0));

  const interrupted = async (interrupt: (stop: AbortController) => Promise<void>): Promise<SmallRegistry> => {
    const registry = startSmallRegistry();
    publishImage(registry, 'big', '1', image);
    registry.intercept = (request, path) =>
      path.endsWith(sha256(layer)) ? blobAnswer(request, layer, bytes => slowly(bytes, 100_000, 20)) : undefined;
    const stop = new AbortController();
    const pulling = begin(`${registry.address}/big`, stop.signal).catch(() => '');
    await eventually('a part of the layer is here', () => arrived() > 500_000);
    await interrupt(stop);
    await pulling;
    registry.intercept = undefined;
    registry.requests.length = 0;
    return registry;
  };
  const finish = async (registry: SmallRegistry): Promise<void> => {
    expect(await begin(`${registry.address}/big`)).toContain('Downloaded newer image');
    expect(starts(registry)).toHaveLength(1);
    expect(starts(registry)[0]).toBeGreaterThan(500_000);
    await daemon().api.expect('DELETE', `/images/${registry.address}/big:1`);
    await expectTraces(daemon(), []);
  };

  test('goes on after its client went away', async () => {
    await using registry = await interrupted(stop => Promise.resolve(stop.abort()));
    await finish(registry);
  });

  test('goes on after the daemon was killed', async () => {
    await using registry = await interrupted(() => daemon().kill());
    await daemon().start();
    expect(arrived()).toBeGreaterThan(500_000);
    await finish(registry);
  });

  test('is forgotten by a prune, which says how much that was', async () => {
    await using _registry = await interrupted(stop => Promise.resolve(stop.abort()));
    const { SpaceReclaimed } = await daemon().api.expect<{ SpaceReclaimed: number }>('POST', '/images/prune');
    expect(SpaceReclaimed).toBeGreaterThan(500_000);
    await expectTraces(daemon(), []);
  });
});
