import { gzipSync } from 'node:zlib';
import { expect } from 'bun:test';
import type { VerifiedStore } from '#api/types/store.ts';
import { sha256 } from '#oci/digest.ts';
import { build } from '#test/helpers/build.ts';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { expectTraces } from '#test/helpers/image-traces.ts';
import { splitFrames } from '#test/helpers/http.ts';
import { type MadeImage, makeTar } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { publishImage } from '#test/helpers/publish-image.ts';
import { type SmallRegistry, startSmallRegistry } from '#test/helpers/small-registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

/** How long everything is done at once: BERTH_COLLECTION_SECONDS. */
const seconds = Number(process.env.BERTH_COLLECTION_SECONDS ?? 20);
/** BERTH_COLLECTION_SEED makes the same choices again; what happens at the same moment differs all the same. */
const seed = Number(process.env.BERTH_COLLECTION_SEED ?? Math.floor(Math.random() * 2 ** 31));
const workers = 4;
const lifeMs = [1500, 4000] as const;

/** Numbers from 0 to 1 (xorshift). */
function randomFrom(start: number): () => number {
  let state = start | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Which layers the images have, besides that of busybox. */
const stacks = [['a'], ['a', 'b'], ['a', 'b', 'c'], ['d'], ['d', 'b'], ['e']] as const;

/** An image of the registry with one more layer for each name, whose label says what must be in it. */
function stacked(base: { readonly layer: Uint8Array; readonly diffId: string }, names: readonly string[]): MadeImage {
  const tars = names.map(name => makeTar({ [`mark-${name}`]: `mark ${name}`, [`data-${name}`]: 'x'.repeat(20_000) }));
  const diffIds = [base.diffId, ...tars.map(sha256)];
  const config = new TextEncoder().encode(
    JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : 'arm64',
      os: 'linux',
      config: { Cmd: ['sh'], Labels: { marks: names.join(' ') } },
      rootfs: { type: 'layers', diff_ids: diffIds },
    }),
  );
  return { id: sha256(config), config, diffIds, layers: [base.layer, ...tars.map(each => new Uint8Array(gzipSync(each)))] };
}

/** Whatever was asked of a daemon that died is unknown. */
class DaemonDied extends Error {}

class World {
  readonly daemon: TestDaemon;
  readonly registry: SmallRegistry;
  readonly #random: () => number;
  #isUp: Promise<void> = Promise.resolve();
  #count = 0;
  kills = 0;
  readonly done = new Map<string, number>();

  constructor(daemon: TestDaemon, registry: SmallRegistry, random: () => number) {
    this.daemon = daemon;
    this.registry = registry;
    this.#random = random;
  }

  index = (): number => Math.floor(this.#random() * stacks.length);
  chance = (part: number): boolean => this.#random() < part;
  fresh = (): string => `n${String((this.#count += 1))}`;
  imageName = (index: number): string => `${this.registry.address}/stack:v${String(index)}`;

  async killAgainAndAgain(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await Bun.sleep(lifeMs[0] + this.#random() * (lifeMs[1] - lifeMs[0]));
      if (stop.aborted) return;
      const restarted = Promise.withResolvers<void>();
      this.#isUp = restarted.promise;
      await this.daemon.kill();
      this.kills += 1;
      await this.daemon.start();
      restarted.resolve();
    }
  }

  /** Asks; rejects with DaemonDied when there was no answer because the daemon went. */
  async ask(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<{ status: number; text: string; json: unknown }> {
    await this.#isUp;
    const { kills } = this;
    try {
      return await this.daemon.api.call(method, path, body === undefined ? {} : { body });
    } catch (err) {
      await Bun.sleep(50);
      await this.#isUp;
      if (this.kills > kills) throw new DaemonDied(path, { cause: err });
      throw err;
    }
  }

  /** The same until there is an answer: for what can be asked twice. */
  async persist(method: 'GET' | 'POST' | 'DELETE', path: string): Promise<{ status: number; text: string; json: unknown }> {
    for (;;) {
      try {
        return await this.ask(method, path);
      } catch (err) {
        if (!(err instanceof DaemonDied)) throw err;
      }
    }
  }

  note(what: string): void {
    this.done.set(what, (this.done.get(what) ?? 0) + 1);
  }
}

/** A budget may have no room for what is new. */
const isRefused = (text: string): boolean => text.includes('no room in the disk budget');

const fails = (what: string, { status, text }: { status: number; text: string }): never => {
  throw new Error(`${what} answered ${String(status)}: ${text}`);
};

/** What a container of an image must find in it: every mark that its label names. */
const look = 'for m in $MARKS; do cat /mark-$m; echo; done';

async function marksOf(world: World, image: string): Promise<{ readonly id: string; readonly marks: string } | undefined> {
  const { status, json } = await world.persist('GET', `/images/${image}/json`);
  if (status !== 200) return undefined;
  const { Id, Config } = json as { Id: string; Config: { Labels?: Record<string, string> | null } };
  return { id: Id, marks: Config.Labels?.marks ?? '' };
}

/** Makes a container; from the answer on its image's layers must stay, whatever happens to the image. Undefined: there is no such image. */
async function createOn(world: World, image: string, marks: string, script = look): Promise<string | undefined> {
  const name = world.fresh();
  const answer = await world.ask('POST', `/containers/create?name=${name}`, {
    Image: image,
    Cmd: ['sh', '-c', script],
    Env: [`MARKS=${marks}`],
  });
  if (answer.status === 404 || answer.status === 409) return undefined;
  return answer.status === 201 ? name : fails('create', answer);
}

/** Runs it to its end; what it printed. */
async function runToEnd(world: World, name: string): Promise<string> {
  const started = await world.persist('POST', `/containers/${name}/start`);
  if (started.status !== 204 && started.status !== 304) fails(`start ${name}`, started);
  const waited = await world.persist('POST', `/containers/${name}/wait`);
  if (waited.status !== 200) fails(`wait ${name}`, waited);
  for (;;) {
    await world.persist('GET', '/_ping');
    try {
      const response = await world.daemon.api.open('GET', `/containers/${name}/logs?stdout=1&stderr=1`);
      const { stdout, stderr } = splitFrames(new Uint8Array(await response.arrayBuffer()));
      return stdout + stderr;
    } catch {
      await Bun.sleep(50);
    }
  }
}

const wanted = (marks: string): string =>
  marks
    .split(' ')
    .filter(Boolean)
    .map(mark => `mark ${mark}\n`)
    .join('');

async function use(world: World, image: string, when: () => Promise<unknown> = async () => undefined): Promise<void> {
  const found = await marksOf(world, image);
  // By its id: a name may be given to another image meanwhile.
  const name = found && (await createOn(world, found.id, found.marks));
  if (found === undefined || name === undefined) return;
  const { marks } = found;
  await when();
  const said = await runToEnd(world, name);
  if (said !== wanted(marks))
    throw new Error(`container ${name} of ${image} found ${JSON.stringify(said)} and not ${JSON.stringify(wanted(marks))}`);
  await world.persist('DELETE', `/containers/${name}?force=1`);
}

const steps: Readonly<Record<string, (world: World) => Promise<void>>> = {
  async pull(world) {
    const { text } = await world.ask('POST', `/images/create?fromImage=${world.registry.address}/stack&tag=v${String(world.index())}`);
    if (isRefused(text)) world.note('refusal');
    else if (text.includes('errorDetail')) throw new Error(text);
  },
  use: world => use(world, world.imageName(world.index())),
  async 'use while it is removed'(world) {
    const image = world.imageName(world.index());
    await use(world, image, () => world.persist('DELETE', `/images/${image}?force=1`));
  },
  async remove(world) {
    await world.ask('DELETE', `/images/${world.imageName(world.index())}${world.chance(0.5) ? '?force=1' : ''}`);
  },
  async prune(world) {
    await world.ask('POST', `/images/prune?filters=${encodeURIComponent(JSON.stringify({ dangling: [String(world.chance(0.5))] }))}`);
  },
  async 'prune builds'(world) {
    await world.ask('POST', `/build/prune${world.chance(0.5) ? '?all=1' : ''}`);
  },
  async commit(world) {
    const image = world.imageName(world.index());
    const found = await marksOf(world, image);
    const mark = world.fresh();
    const name = found && (await createOn(world, found.id, '', `echo -n mark ${mark} > /mark-${mark}`));
    if (found === undefined || name === undefined) return;
    const { marks } = found;
    await runToEnd(world, name);
    const changes = encodeURIComponent(`LABEL marks="${marks} ${mark}"`);
    const committed = await world.ask('POST', `/commit?container=${name}&repo=committed&tag=${mark}&changes=${changes}`);
    // Its image may have been removed by force.
    if (committed.status !== 201 && committed.status !== 404 && !isRefused(committed.text)) fails('commit', committed);
    await use(world, `committed:${mark}`);
    await world.persist('DELETE', `/containers/${name}?force=1`);
    if (world.chance(0.7)) await world.ask('DELETE', `/images/committed:${mark}`);
  },
  async build(world) {
    const index = world.index();
    const mark = world.chance(0.5) ? `made${String(index)}` : world.fresh();
    const tag = world.fresh();
    const marks = `${stacks[index]?.join(' ') ?? ''} ${mark}`;
    const dockerfile = `FROM ${world.imageName(index)}\nRUN echo -n mark ${mark} > /mark-${mark}\nLABEL marks="${marks}"\n`;
    await world.persist('GET', '/_ping');
    const kills = world.kills;
    const built = await build(world.daemon.api, { Dockerfile: dockerfile }, { t: `built:${tag}` }).catch((err: unknown) => {
      throw new DaemonDied('build', { cause: err });
    });
    // Its base may have been removed in the moment after it was pulled.
    const isExpected =
      world.kills > kills || !world.daemon.isRunning || /No such image/.test(built.error ?? '') || isRefused(built.error ?? '');
    if (built.imageId === undefined && !isExpected) throw new Error(`the build failed: ${built.error ?? built.text}`);
    await use(world, `built:${tag}`);
    if (world.chance(0.7)) await world.ask('DELETE', `/images/built:${tag}`);
  },
  async save(world) {
    await world.persist('GET', '/_ping');
    const response = await world.daemon.api.open('GET', `/images/${world.imageName(world.index())}/get`).catch((err: unknown) => {
      throw new DaemonDied('save', { cause: err });
    });
    await response.arrayBuffer().catch(() => undefined);
  },
  async tag(world) {
    await world.ask('POST', `/images/${world.imageName(world.index())}/tag?repo=named&tag=v${String(world.index())}`);
    await use(world, `named:v${String(world.index())}`);
  },
  async untag(world) {
    await world.ask('DELETE', `/images/named:v${String(world.index())}`);
  },
};

describe('collection never takes what is in use', () => {
  test.each([
    ['', seconds, []],
    // Too small for a layer and its blob together.
    [', within a disk budget that is too small', seconds / 2, ['--disk-budget', '3MB', '--disk-budget-images', 'unused']],
  ] as const)(
    'beside pulls, runs, commits, builds, removals and prunes, and a daemon that is killed%s',
    async (_how, lasting, args) => {
      console.log(`collection with BERTH_COLLECTION_SEED=${String(seed)}`);
      await using registry = startSmallRegistry();
      await using daemon = await startDaemon({ args: ['--insecure-registry', '127.0.0.0/8', ...args] });
      // The layer of busybox, as a push packs it.
      await daemon.api.expect('POST', `/images/busybox/tag?repo=${registry.address}/base&tag=1`);
      await daemon.api.expect('POST', `/images/${registry.address}/base/push?tag=1`, { headers: { 'X-Registry-Auth': 'e30=' } });
      const manifest = JSON.parse(Buffer.from(registry.manifests.get('base:1')?.bytes ?? []).toString()) as {
        layers: { digest: string }[];
      };
      const layer = registry.blobs.get(manifest.layers[0]?.digest ?? '') ?? new Uint8Array(0);
      const base = { layer, diffId: sha256(Bun.gunzipSync(new Uint8Array(layer))) };
      for (const [index, names] of stacks.entries()) publishImage(registry, 'stack', `v${String(index)}`, stacked(base, names));
      for (const name of ['busybox', `${registry.address}/base:1`]) await daemon.api.expect('DELETE', `/images/${name}`);
      await expectTraces(daemon, []);

      const world = new World(daemon, registry, randomFrom(seed));
      const stop = new AbortController();
      const violations: string[] = [];
      const killer = world.killAgainAndAgain(stop.signal);
      const until = performance.now() + lasting * 1000;
      await Promise.all(
        Array.from({ length: workers }, async (_, worker) => {
          const random = randomFrom(seed + 7919 * (worker + 1));
          while (performance.now() < until && violations.length === 0) {
            const names = Object.keys(steps);
            const name = names[Math.floor(random() * names.length)] ?? 'pull';
            try {
              await steps[name]?.(world);
              world.note(name);
            } catch (err) {
              if (!(err instanceof DaemonDied)) violations.push(`${name}: ${String(err)}`);
            }
          }
        }),
      );
      stop.abort();
      await killer;
      console.log(`${String(world.kills)} kills, ${[...world.done].map(([name, count]) => `${name} ${String(count)}`).join(', ')}`);
      // Told at once: what the daemon leaves behind after one would hide it.
      for (const violation of violations) console.log(`violation: ${violation}`);
      expect(violations).toEqual([]);

      // Whatever is left runs, and nothing of it is damaged.
      await daemon.removeContainers();
      for (const { Id } of await daemon.api.expect<{ Id: string }[]>('GET', '/images/json?all=1')) await use(world, Id);
      const answer = await daemon.api.call('POST', '/berth/system/verify?heal=0');
      const report = answer.text
        .trim()
        .split('\n')
        .map(line => JSON.parse(line) as { aux?: VerifiedStore })
        .at(-1)?.aux;
      expect(report?.Damage).toEqual([]);

      // And nothing more than that is there.
      await daemon.removeContainers();
      for (const { Id } of await daemon.api.expect<{ Id: string }[]>('GET', '/images/json?all=1'))
        await daemon.api.call('DELETE', `/images/${Id}?force=1`);
      await daemon.api.expect('POST', `/images/prune?filters=${encodeURIComponent('{"dangling":["false"]}')}`);
      await daemon.api.expect('POST', '/build/prune?all=1');
      await expectTraces(daemon, []);
      await eventually('df tells of nothing', async () => {
        const { LayersSize, Images } = await daemon.api.expect<{ LayersSize: number; Images: unknown[] }>('GET', '/system/df');
        return LayersSize === 0 && Images.length === 0;
      });
    },
    seconds * 1000 + 120_000,
  );
});
