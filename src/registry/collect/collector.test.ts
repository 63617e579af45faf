import { describe, expect, test } from 'bun:test';
import { utimesSync } from 'node:fs';
import { join } from 'node:path';
import { kindOf } from '#base/errors.ts';
import { type Digest, sha256 } from '#oci/digest.ts';
import { openTestRegistry, repositoryOf, tagOf } from '#test/helpers/open-registry.ts';
import { bytesOf, makeIndex, makeManifest, type MadeManifest, randomBytes } from '#test/helpers/registry-content.ts';
import { layerLink, revisionLink } from '../layout.ts';
import type { Repository } from '../names.ts';
import type { Registry } from '../registry.ts';
import { openFilesystemStorage } from '../storage/filesystem.ts';

const now = { graceMs: 0, untagged: false, dryRun: false };

async function push(
  registry: Registry,
  name: Repository,
  tag: string | undefined,
  parts: { config?: Uint8Array; layers?: Uint8Array[]; extra?: Record<string, unknown> } = {},
): Promise<MadeManifest> {
  const config = parts.config ?? bytesOf(`{"id":"${crypto.randomUUID()}"}`);
  const layers = parts.layers ?? [randomBytes(100)];
  for (const data of [config, ...layers]) await registry.uploads.store(name, sha256(data), data);
  const manifest = makeManifest({ config, layers, extra: parts.extra ?? {} });
  await put(registry, name, tag, manifest);
  return manifest;
}

async function put(registry: Registry, name: Repository, tag: string | undefined, manifest: MadeManifest): Promise<void> {
  const to = tag === undefined ? { digest: manifest.digest } : { tag: tagOf(tag) };
  await registry.services.manifests.put(name, to, { bytes: manifest.bytes, contentType: manifest.mediaType, tags: [] });
}

/** Everything that a manifest needs is there. */
async function isWhole(registry: Registry, name: Repository, digest: Digest): Promise<boolean> {
  const { manifests, blobs } = registry.services;
  const stored = await manifests.find(name, { digest });
  const content = await manifests.content(digest);
  if (stored === undefined || content === undefined) return false;
  for (const { digest: blob, size } of content.blobs) {
    if ((await blobs.find(name, blob)) !== size || (await blobs.sizeOf(blob)) !== size) return false;
  }
  return true;
}

describe('collection', () => {
  const name = repositoryOf('a/b');

  test('removes blobs that no manifest refers to, and nothing else', async () => {
    await using place = await openTestRegistry();
    const { registry } = place;
    const kept = await push(registry, name, 'latest');
    const lost = randomBytes(1000);
    await registry.uploads.store(name, sha256(lost), lost);
    expect(await registry.collect({ ...now, dryRun: true })).toMatchObject({ links: 1, blobs: 1, bytes: 1000 });
    expect(await registry.services.blobs.find(name, sha256(lost))).toBe(1000);
    expect(await registry.collect(now)).toMatchObject({ repositories: 1, manifests: 0, links: 1, blobs: 1, bytes: 1000 });
    expect(await registry.services.blobs.find(name, sha256(lost))).toBeUndefined();
    expect(await registry.services.blobs.sizeOf(sha256(lost))).toBeUndefined();
    expect(await isWhole(registry, name, kept.digest)).toBe(true);
    expect(await registry.collect(now)).toMatchObject({ manifests: 0, links: 0, blobs: 0 });
  });

  test('keeps what another repository still needs', async () => {
    await using place = await openTestRegistry();
    const { registry } = place;
    const other = repositoryOf('other');
    const shared = randomBytes(500);
    const first = await push(registry, name, 'latest', { layers: [shared] });
    const second = await push(registry, other, 'latest', { layers: [shared] });
    await registry.services.manifests.remove(name, first.digest);
    await registry.collect(now);
    expect(await registry.services.blobs.find(name, sha256(shared))).toBeUndefined();
    expect(await isWhole(registry, other, second.digest)).toBe(true);
    await registry.services.manifests.remove(other, second.digest);
    await registry.collect(now);
    expect(await registry.services.blobs.sizeOf(sha256(shared))).toBeUndefined();
    expect(await registry.services.catalog.names()).toEqual([]);
  });

  test('leaves what is young, and counts age from when a client was last told of it', async () => {
    await using place = await openTestRegistry({ graceMs: 60_000 });
    const { registry, folder } = place;
    const young = randomBytes(10);
    await registry.uploads.store(name, sha256(young), young);
    const request = { ...now, graceMs: 60_000 };
    expect(await registry.collect(request)).toMatchObject({ links: 0, blobs: 0 });
    const old = new Date(Date.now() - 120_000);
    const grow = (): void => utimesSync(join(folder, layerLink(name, sha256(young))), old, old);
    grow();
    // What is in memory is from before: as after a restart.
    await using later = await openTestRegistry({ graceMs: 60_000, storage: openFilesystemStorage(folder) });
    expect(await later.registry.services.blobs.promise(name, sha256(young))).toBe(10);
    expect(await later.registry.collect(request)).toMatchObject({ links: 0, blobs: 0 });
    grow();
    expect(await later.registry.collect(request)).toMatchObject({ links: 1, blobs: 1 });
    expect(await later.registry.services.blobs.promise(name, sha256(young))).toBeUndefined();
  });

  test('removes manifests without tags only when asked, and keeps what tags reach through indexes and subjects', async () => {
    await using place = await openTestRegistry();
    const { registry } = place;
    const child = await push(registry, name, undefined);
    const index = makeIndex([child]);
    await put(registry, name, 'multi', index);
    const signature = await push(registry, name, undefined, {
      extra: { subject: { mediaType: child.mediaType, digest: child.digest, size: child.bytes.length } },
    });
    const alone = await push(registry, name, undefined);
    const orphan = await push(registry, name, undefined, {
      extra: { subject: { mediaType: alone.mediaType, digest: alone.digest, size: alone.bytes.length } },
    });
    await registry.collect(now);
    for (const { digest } of [child, signature, alone, orphan]) expect(await isWhole(registry, name, digest)).toBe(true);
    expect(await registry.collect({ ...now, untagged: true })).toMatchObject({ manifests: 2 });
    for (const { digest } of [child, signature]) expect(await isWhole(registry, name, digest)).toBe(true);
    for (const { digest } of [alone, orphan]) expect(await registry.services.manifests.has(name, digest)).toBe(false);
    expect(await registry.services.manifests.find(name, { tag: tagOf('multi') })).toMatchObject({ digest: index.digest });
  });

  test('a child of an index that is young stays with it', async () => {
    await using place = await openTestRegistry();
    const { registry, folder } = place;
    const child = await push(registry, name, undefined);
    await put(registry, name, undefined, makeIndex([child]));
    const old = new Date(Date.now() - 120_000);
    utimesSync(join(folder, revisionLink(name, child.digest)), old, old);
    expect(await registry.collect({ graceMs: 60_000, untagged: true, dryRun: false })).toMatchObject({ manifests: 0 });
    expect(await isWhole(registry, name, child.digest)).toBe(true);
  });

  /** A sequence that is the same for the same seed. */
  function* numbers(seed: number): Generator<number> {
    for (let state = seed >>> 0; ; ) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      yield state / 2 ** 32;
    }
  }

  test.each(Array.from({ length: 8 }, (_, seed) => seed))(
    'beside pushes, mounts, deletes and collections: what was accepted stays whole (seed %d)',
    async seed => {
      await using place = await openTestRegistry({ graceMs: 0 });
      const { registry } = place;
      const { blobs, manifests } = registry.services;
      const names = ['one', 'two', 'deep/three'].map(repositoryOf);
      const contents = Array.from({ length: 8 }, () => randomBytes(64));
      let isOver = false;
      const accepted = new Map<string, { name: Repository; digest: Digest }>();
      const refusals: string[] = [];
      const random = numbers(seed);
      const chance = (below: number): number => Math.floor((random.next().value ?? 0) * below);
      const yields = async (): Promise<void> => {
        for (let turns = chance(4); turns > 0; turns -= 1) await new Promise<void>(resolve => setImmediate(resolve));
      };

      const client = async (rounds: number): Promise<void> => {
        for (let round = 0; round < rounds; round += 1) {
          const name = names[chance(names.length)] ?? names[0]!;
          const from = names[chance(names.length)] ?? names[0]!;
          const chosen = [0, 1, 2].map(() => contents[chance(contents.length)] ?? contents[0]!);
          for (const data of chosen) {
            // As clients do: ask, mount, and send only what is not there.
            if ((await blobs.promise(name, sha256(data))) !== undefined) continue;
            await yields();
            if ((await blobs.mount(name, sha256(data), from)) !== undefined) continue;
            await registry.uploads.store(name, sha256(data), data);
            await yields();
          }
          const manifest = makeManifest({
            config: chosen[0]!,
            layers: chosen.slice(1),
            extra: { annotations: { round: String(round), seed: String(chance(1000)) } },
          });
          try {
            await put(registry, name, `t${String(chance(5))}`, manifest);
            accepted.set(`${name}@${manifest.digest}`, { name, digest: manifest.digest });
            expect(await isWhole(registry, name, manifest.digest)).toBe(true);
          } catch (err) {
            // Without a time of grace a blob may go between the question and the manifest: the manifest must be refused then.
            if (kindOf(err) !== 'FailedPrecondition') throw err;
            refusals.push(manifest.digest);
          }
          if (chance(4) === 0) {
            const victim = [...accepted.entries()][chance(accepted.size)];
            if (victim !== undefined) {
              accepted.delete(victim[0]);
              await manifests.remove(victim[1].name, victim[1].digest).catch((err: unknown) => {
                if (kindOf(err) !== 'NotFound') throw err;
              });
            }
          }
          await yields();
        }
      };
      const collecting = (async () => {
        let collections = 0;
        for (; !isOver; collections += 1) await registry.collect(now);
        return collections;
      })();
      await Promise.all([client(15), client(15), client(15), client(15)]);
      isOver = true;
      expect(await collecting).toBeGreaterThan(0);
      await registry.collect(now);
      for (const { name, digest } of accepted.values())
        expect({ name, digest, whole: await isWhole(registry, name, digest) }).toEqual({ name, digest, whole: true });
      // And what nobody has any more is gone.
      for (const { name, digest } of accepted.values()) await manifests.remove(name, digest).catch(() => undefined);
      await registry.collect({ ...now, untagged: true });
      for (const name of names) for (const digest of await manifests.digests(name)) await manifests.remove(name, digest);
      await registry.collect(now);
      for (const data of contents) expect(await blobs.sizeOf(sha256(data))).toBeUndefined();
    },
  );

  test('with a time of grace no push in progress is disturbed', async () => {
    await using place = await openTestRegistry({ graceMs: 60_000 });
    const { registry } = place;
    const { blobs } = registry.services;
    let isOver = false;
    const collecting = (async () => {
      while (!isOver) await registry.collect({ ...now, graceMs: 60_000 });
    })();
    const contents = Array.from({ length: 6 }, () => randomBytes(64));
    await Promise.all(
      Array.from({ length: 4 }, async (_, worker) => {
        for (let round = 0; round < 15; round += 1) {
          const chosen = contents.filter((_data, index) => (index + round + worker) % 3 === 0);
          for (const data of chosen)
            if ((await blobs.promise(name, sha256(data))) === undefined) await registry.uploads.store(name, sha256(data), data);
          const manifest = makeManifest({
            config: chosen[0]!,
            layers: chosen.slice(1),
            extra: { annotations: { worker: String(worker), round: String(round) } },
          });
          await put(registry, name, undefined, manifest);
          expect(await isWhole(registry, name, manifest.digest)).toBe(true);
          await registry.services.manifests.remove(name, manifest.digest);
        }
      }),
    );
    isOver = true;
    await collecting;
  });
});
