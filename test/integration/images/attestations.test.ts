import { afterAll, beforeAll, expect } from 'bun:test';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StoreDamage, VerifiedStore } from '#api/types/store.ts';
import { sha256 } from '#oci/digest.ts';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { makeImage, ociArchive } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { type PublishedIndex, publishImage, publishIndex } from '#test/helpers/publish-image.ts';
import { type SmallRegistry, startSmallRegistry } from '#test/helpers/small-registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

const provenance = 'https://slsa.dev/provenance/v0.2';
const packages = 'https://spdx.dev/Document';
/** Read and written anew, this would be another text. */
const said = '{"_type": "https://in-toto.io/Statement/v0.1", "predicate": {"ratio": 1.0, "big": 12345678901234567890}}';
const listed = '{"_type":"https://in-toto.io/Statement/v0.1","predicate":{"packages":[]}}';

interface Statement {
  readonly Descriptor: { readonly mediaType: string; readonly digest: string; readonly size: number };
  readonly PredicateType: string;
  readonly Statement?: unknown;
}

describe('what is attested of an image', () => {
  const daemon = sharedDaemon({ busybox: false });
  const own = process.arch === 'x64' ? 'amd64' : 'arm64';
  const other = own === 'amd64' ? 'arm64' : 'amd64';
  const ownImage = makeImage(['own'], { compress: true, architecture: own });
  let registry: SmallRegistry;
  let published: PublishedIndex;
  let name: string;
  beforeAll(async () => {
    registry = startSmallRegistry();
    name = `${registry.address}/app:1`;
    published = publishIndex(registry, 'app', '1', {
      [own]: { image: ownImage, statements: { [provenance]: said, [packages]: listed } },
      [other]: {
        image: makeImage(['other'], { compress: true, architecture: other }),
        statements: { [provenance]: '{"predicate":"other"}' },
      },
    });
    publishImage(registry, 'plain', '1', makeImage(['plain'], { compress: true }));
    for (const repository of ['app', 'plain'])
      await daemon().api.expect('POST', `/images/create?fromImage=${registry.address}/${repository}&tag=1`);
  });
  afterAll(() => registry[Symbol.asyncDispose]());

  const ask = async (image: string, query = '') => await daemon().api.call('GET', `/images/${image}/attestations?${query}`);
  const types = async (image: string, query = ''): Promise<string[]> => {
    const answer = await ask(image, query);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/json']);
    return (answer.json as Statement[]).map(({ PredicateType }) => PredicateType);
  };
  const platform = (architecture: string): string => `platform=${encodeURIComponent(JSON.stringify({ os: 'linux', architecture }))}`;

  test('is listed, with what it says on demand, to the letter', async () => {
    const { json } = await ask(name);
    expect(json).toEqual([
      {
        Descriptor: {
          mediaType: 'application/vnd.in-toto+json',
          digest: sha256(said),
          size: said.length,
          annotations: { 'in-toto.io/predicate-type': provenance },
        },
        PredicateType: provenance,
      },
      expect.objectContaining({ PredicateType: packages }),
    ]);
    const { text, json: full } = await ask(name, 'statement=true');
    expect(text).toContain(`"Statement":${said}`);
    expect((full as Statement[])[1]?.Statement).toEqual(JSON.parse(listed));
    expect(await types(name, 'statement=0')).toEqual([provenance, packages]);
  });

  test('can be chosen by type, of which there may be several', async () => {
    expect(await types(name, `type=${encodeURIComponent(packages)}`)).toEqual([packages]);
    expect(await types(name, `type=${encodeURIComponent(packages)}&type=${encodeURIComponent(provenance)}`)).toEqual([
      provenance,
      packages,
    ]);
    expect(await types(name, 'type=nothing')).toEqual([]);
    expect(await types(name, 'type=')).toEqual([provenance, packages]);
  });

  test('is of one platform; by default of what this machine runs, by id of that image', async () => {
    expect(await types(name, platform(own))).toEqual([provenance, packages]);
    expect(await types(ownImage.id)).toEqual([provenance, packages]);
    const notHere = await ask(name, platform(other));
    expect([notHere.status, notHere.text]).toEqual([404, expect.stringContaining('not available locally')]);
    await daemon().api.expect('POST', `/images/create?fromImage=${registry.address}/app&tag=1&platform=linux/${other}`);
    expect(await types(name, platform(other))).toEqual([provenance]);
    // The name stands for the other one now.
    expect(await types(name)).toEqual([provenance, packages]);
    expect(await types(ownImage.id)).toEqual([provenance, packages]);
    const none = await ask(name, platform('s390x'));
    expect([none.status, none.text]).toEqual([404, expect.stringContaining('no image manifest for platform linux/s390x')]);
  });

  test('is nothing of an image that came without an index; bad questions are refused', async () => {
    expect(await types(`${registry.address}/plain:1`)).toEqual([]);
    expect((await ask('nosuch')).status).toBe(404);
    for (const query of [`${platform(own)}&${platform(other)}`, 'platform=linux/amd64', 'platform={}'])
      expect([query, (await ask(name, query)).status]).toEqual([query, 400]);
  });

  const verify = async (): Promise<{ code: number; damage: StoreDamage[] }> => {
    const { exitCode: code, stdout, stderr } = await daemon().berth(['system', 'verify', '--format', 'json']);
    if (stdout === '') throw new Error(stderr);
    return { code, damage: (JSON.parse(stdout) as VerifiedStore).Damage };
  };
  const blob = (digest: string): string => join(daemon().dataRoot, 'content/blobs', digest.replace(':', '/'));
  const spoil = (digest: string): void => {
    const bytes = readFileSync(blob(digest));
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    writeFileSync(blob(digest), bytes);
  };
  const configOf = (digest: string): string =>
    (JSON.parse(readFileSync(blob(digest), 'utf8')) as { config: { digest: string } }).config.digest;

  test('is verified with the image, and pulled again with its index', async () => {
    expect(await verify()).toEqual({ code: 0, damage: [] });
    const attestation = published.attestations.get(own) ?? '';
    const config = configOf(attestation);
    spoil(published.index);
    rmSync(blob(attestation));
    spoil(sha256(said));
    rmSync(blob(config));
    const failed = await ask(name, 'statement=1');
    expect(failed.status).toBe(404);
    const { code, damage } = await verify();
    expect(code).toBe(0);
    const kinds = new Map(damage.map(({ Id, Kind, Healed, Images }) => [Id, [Kind, Healed, Images]]));
    expect(kinds).toEqual(
      new Map([
        [published.index, ['index', true, [name]]],
        [attestation, ['attestation', true, [name]]],
        [sha256(said), ['attestation', true, [name]]],
        [config, ['attestation', true, [name]]],
      ]),
    );
    expect(damage.every(({ Note }) => Note === `pulled again from ${registry.address}/app`)).toBe(true);
    expect((await ask(name, 'statement=1')).text).toContain(said);
    expect(await verify()).toEqual({ code: 0, damage: [] });
  });

  test('cannot be healed without a registry: that is said, and nothing is taken away', async () => {
    registry.intercept = () => new Response('gone', { status: 404 });
    spoil(published.index);
    const { code, damage } = await verify();
    expect([code, damage.map(({ Kind, Healed, Images }) => [Kind, Healed, Images])]).toEqual([1, [['index', false, [name]]]]);
    expect(readFileSync(blob(published.index)).length).toBeGreaterThan(0);
    registry.intercept = undefined;
    expect((await verify()).code).toBe(0);
  });

  test('comes with an archive too, and goes with the image', async () => {
    const archive = new Uint8Array(await (await daemon().api.open('GET', `/images/${name}/get`)).arrayBuffer());
    await daemon().api.expect('DELETE', `/images/${name}?force=1`);
    expect(() => readFileSync(blob(published.index))).toThrow();
    await daemon().api.expect('POST', '/images/load', { raw: archive });
    expect(await types(name)).toEqual([provenance, packages]);
    spoil(published.index);
    const { code, damage } = await verify();
    expect([code, damage[0]?.Kind, damage[0]?.Note]).toEqual([
      1,
      'index',
      expect.stringContaining('it was built, loaded or imported here'),
    ]);
    await daemon().api.expect('DELETE', `/images/${name}?force=1`);
    // An archive with nothing attested of its image.
    const { tar } = ociArchive([
      { image: makeImage(['silent']), annotations: { 'io.containerd.image.name': 'docker.io/library/silent:1' } },
    ]);
    await daemon().api.expect('POST', '/images/load', { raw: new Uint8Array(tar) });
    expect(await types('silent:1')).toEqual([]);
  });
});
