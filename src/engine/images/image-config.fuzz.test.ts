import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { sha256 } from '#oci/digest.ts';
import { normalizePlatform } from '#oci/platform.ts';
import { damaged, holds, outcomeOf } from '#test/helpers/fuzz.ts';
import { diffIdsOf } from './add-image.ts';
import { parseConfig } from './image-store.ts';

const diffId = fc.uint8Array({ maxLength: 4 }).map(sha256);
const anything = fc.anything({ withBigInt: false });
const config = fc
  .record(
    {
      os: fc.oneof(fc.constantFrom('linux', 'constructor', '__proto__'), anything),
      architecture: fc.oneof(fc.constantFrom('amd64', 'constructor', '__proto__'), anything),
      variant: fc.oneof(fc.string(), anything),
      rootfs: fc.oneof(fc.record({ type: fc.constant('layers'), diff_ids: fc.oneof(fc.array(diffId), anything) }), anything),
      config: anything,
      history: anything,
    },
    { requiredKeys: [] },
  )
  .map(value => new TextEncoder().encode(JSON.stringify(value)));

test('any bytes are an image configuration or refused as DataLoss', () => {
  holds(
    fc.oneof(
      config,
      damaged(config),
      fc.uint8Array(),
      fc.json().map(text => new TextEncoder().encode(text)),
    ),
    fc.nat({ max: 3 }),
    (bytes, count) => {
      const outcome = outcomeOf(() => parseConfig(bytes, sha256(bytes)), ['DataLoss']);
      if ('kind' in outcome) return;
      expect(typeof normalizePlatform(outcome.value).architecture).toBe('string');
      outcomeOf(() => diffIdsOf(outcome.value, count), ['DataLoss']);
    },
  );
}, 600_000);
