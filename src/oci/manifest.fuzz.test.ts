import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { damaged, holds, outcomeOf } from '#test/helpers/fuzz.ts';
import { sha256 } from './digest.ts';
import { encodeManifest, manifestMediaTypes, mediaTypes, parseManifest, selectManifest } from './manifest.ts';
import { hostPlatform } from './platform.ts';

const digest = fc.uint8Array({ maxLength: 4 }).map(sha256);
const size = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const layerType = fc.constantFrom(mediaTypes.ociLayer, mediaTypes.ociLayerGzip, mediaTypes.dockerLayer, mediaTypes.dockerLayerGzip);
const layers = fc.array(fc.record({ mediaType: layerType, digest, size }), { maxLength: 5 });
const made = fc.tuple(digest, size, layers).map(([config, bytes, all]) => encodeManifest({ digest: config, size: bytes }, all));

const json = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
/** Something like a manifest or an index, with anything in any place. */
const likely = fc
  .record(
    {
      schemaVersion: fc.oneof(fc.constant(2), fc.anything()),
      mediaType: fc.oneof(fc.constantFrom(...manifestMediaTypes), fc.anything()),
      config: fc.oneof(fc.record({ mediaType: fc.string(), digest, size }), fc.anything()),
      layers: fc.oneof(layers, fc.anything()),
      manifests: fc.oneof(
        fc.array(
          fc.record({
            digest,
            size,
            platform: fc.oneof(fc.record({ os: fc.string(), architecture: fc.string(), variant: fc.anything() }), fc.anything()),
            annotations: fc.anything(),
          }),
        ),
        fc.anything(),
      ),
    },
    { requiredKeys: [] },
  )
  .map(value =>
    new TextEncoder().encode(JSON.stringify(value, (_key, each: unknown) => (typeof each === 'bigint' ? String(each) : each)) ?? 'null'),
  );

test('any bytes are a manifest or refused as DataLoss', () => {
  const announced = fc.option(fc.oneof(fc.constantFrom(...manifestMediaTypes, 'text/html; charset=utf-8'), fc.string()), {
    nil: undefined,
  });
  holds(
    fc.oneof(
      fc.uint8Array({ maxLength: 2000 }),
      likely,
      damaged(made),
      fc.json().map(text => new TextEncoder().encode(text)),
    ),
    announced,
    (bytes, type) => {
      const outcome = outcomeOf(() => parseManifest(bytes, type), ['DataLoss']);
      if ('kind' in outcome) return;
      if (outcome.value.kind === 'index') selectManifest(outcome.value, hostPlatform('x64'));
      expect(manifestMediaTypes).toContain(outcome.value.mediaType);
    },
  );
}, 600_000);

test('a manifest that was made says what it was made of', () => {
  holds(digest, size, layers, (config, bytes, all) => {
    const parsed = parseManifest(encodeManifest({ digest: config, size: bytes }, all));
    if (parsed.kind !== 'manifest') throw new Error(json(new Uint8Array(0)));
    expect([parsed.config.digest, parsed.config.size]).toEqual([config, bytes]);
    expect(parsed.layers.map(layer => [layer.digest, layer.size])).toEqual(all.map(layer => [layer.digest, layer.size]));
  });
}, 600_000);
