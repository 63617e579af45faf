import { describe, expect, test } from 'bun:test';
import { bytesOf, dockerListType, dockerManifestType, makeIndex, makeManifest, ociIndexType } from '#test/helpers/registry-content.ts';
import { basicCredentials } from './auth/htpasswd.ts';
import { parseScopes } from './auth/scopes.ts';
import { readManifest } from './manifest-content.ts';
import { parseManifestReference, parseRepository } from './names.ts';
import { Refusal } from './refusal.ts';
import { byteRange } from './routes/range.ts';
import { routeOf } from './routes/route.ts';

const config = bytesOf('config');
const layer = bytesOf('layer');

describe('what a manifest refers to', () => {
  test('an image: its config and its layers', () => {
    for (const mediaType of [undefined, dockerManifestType]) {
      const made = makeManifest({ config, layers: [layer], ...(mediaType !== undefined && { mediaType }) });
      const content = readManifest(made.bytes, made.mediaType);
      expect(content.blobs.map(({ size }) => size)).toEqual([6, 5]);
      expect([content.mediaType, content.manifests, content.subject]).toEqual([made.mediaType, [], undefined]);
    }
  });

  test('an index: its manifests', () => {
    const image = makeManifest({ config, layers: [] });
    for (const type of [ociIndexType, dockerListType]) {
      const content = readManifest(makeIndex([image], type).bytes, type);
      expect([content.blobs, content.manifests.map(({ digest }) => digest)]).toEqual([[], [image.digest]]);
    }
  });

  test('what kind of thing it is', () => {
    const plain = makeManifest({ config, layers: [] });
    expect(readManifest(plain.bytes, undefined).artifactType).toBe('application/vnd.oci.image.config.v1+json');
    const typed = makeManifest({ config, layers: [], extra: { artifactType: 'a/b' } });
    expect(readManifest(typed.bytes, undefined).artifactType).toBe('a/b');
    expect(readManifest(makeIndex([plain]).bytes, undefined).artifactType).toBeUndefined();
  });

  test('the withdrawn artifact manifest of OCI 1.1 candidates', () => {
    const type = 'application/vnd.oci.artifact.manifest.v1+json';
    const bytes = bytesOf(
      JSON.stringify({ mediaType: type, artifactType: 'a/b', blobs: [{ mediaType: 'x', digest: `sha256:${'1'.repeat(64)}`, size: 3 }] }),
    );
    expect(readManifest(bytes, type)).toMatchObject({ mediaType: type, artifactType: 'a/b', blobs: [{ size: 3 }] });
  });
});

/** A sequence that is the same for the same seed. */
function* numbers(seed: number): Generator<number> {
  for (let state = seed >>> 0; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state / 2 ** 32;
  }
}

describe('whatever bytes come', () => {
  const random = numbers(7);
  const below = (limit: number): number => Math.floor((random.next().value ?? 0) * limit);
  const refusedOrFine = (action: () => unknown): void => {
    try {
      action();
    } catch (err) {
      if (!(err instanceof Refusal) || err.status >= 500) throw err;
    }
  };

  test('a manifest is read or refused, nothing else', () => {
    const extra = {
      subject: { mediaType: 'a', digest: `sha256:${'2'.repeat(64)}`, size: 1 },
      annotations: { a: 'b' },
      artifactType: 'x/y',
    };
    const seeds = [makeManifest({ config, layers: [layer, layer], extra }), makeIndex([makeManifest({ config, layers: [] })])];
    const pieces = [
      'null',
      '[]',
      '{}',
      '""',
      '-1',
      '1e309',
      '"\\ud800"',
      '{"a":',
      '}',
      ']',
      ',',
      ':',
      '"__proto__":{"x":1},',
      '\u0000',
      '9'.repeat(400),
    ];
    for (let round = 0; round < 4000; round += 1) {
      let text = new TextDecoder().decode(seeds[below(seeds.length)]?.bytes);
      for (let changes = 1 + below(4); changes > 0; changes -= 1) {
        const [at, length] = [below(text.length), below(12)];
        text = text.slice(0, at) + (pieces[below(pieces.length)] ?? '') + text.slice(at + length);
      }
      const bytes = bytesOf(text);
      if (below(4) === 0) bytes[below(bytes.length)] = below(256);
      refusedOrFine(() => readManifest(bytes, below(2) === 0 ? undefined : 'application/vnd.oci.image.manifest.v1+json'));
    }
    expect(({} as { x?: number }).x).toBeUndefined();
  });

  test('paths, names, ranges, scopes and credentials are read or refused', () => {
    const alphabet = [
      '/',
      '%',
      '%2f',
      '%00',
      '..',
      ':',
      '@',
      'v2',
      'blobs',
      'uploads',
      'manifests',
      'tags',
      'list',
      'referrers',
      'a',
      'A',
      '-',
      '_',
      '\n',
      'é',
      'sha256:',
      '0'.repeat(64),
      'bytes=',
      '5',
      ',',
      ' ',
      '=',
    ];
    for (let round = 0; round < 5000; round += 1) {
      const text = Array.from({ length: below(9) }, () => alphabet[below(alphabet.length)] ?? '').join('');
      refusedOrFine(() => {
        const route = routeOf(`/v2/${text}`);
        if (route !== undefined && 'name' in route) expect(parseRepository(route.name)).not.toMatch(/\.\.|\/\/|^\/|[\n\0]/);
      });
      refusedOrFine(() => parseManifestReference(text));
      refusedOrFine(() => parseScopes([text]));
      refusedOrFine(() => basicCredentials(`Basic ${text}`));
      const range = byteRange(`bytes=${text}`, 100);
      if (typeof range === 'object') expect(range.start >= 0 && range.start <= range.end && range.end < 100).toBe(true);
    }
  });
});
