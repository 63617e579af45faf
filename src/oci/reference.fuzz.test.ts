import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { holds, outcomeOf } from '#test/helpers/fuzz.ts';
import { parseDigest, tryParseDigest } from './digest.ts';
import { canonicalString, familiarString, parseReference, tryParseReference } from './reference.ts';

const alphabet = fc.constantFrom(
  ...'aA0zZ9._-/:@[]#%\\ \0é'.split(''),
  'docker.io',
  'library/',
  'localhost',
  'sha256:',
  'a'.repeat(64),
  '__',
  '--',
  '@sha256:',
  'f'.repeat(64),
);
const text = fc.oneof(
  fc.string(),
  fc.array(alphabet, { maxLength: 40 }).map(parts => parts.join('')),
  fc.tuple(fc.constantFrom('a', '-', 'a-', 'a.', '_', '/', 'a/', ':'), fc.nat({ max: 3000 })).map(([part, times]) => part.repeat(times)),
);

test('a reference is read or refused, and what is read is written so that it is read again', () => {
  holds(text, input => {
    const outcome = outcomeOf(() => parseReference(input), ['InvalidArgument']);
    expect(tryParseReference(input) === undefined).toBe('kind' in outcome);
    if ('kind' in outcome) return;
    const { value } = outcome;
    expect(parseReference(canonicalString(value))).toEqual(value);
    expect(parseReference(familiarString(value))).toEqual(value);
    expect(value.domain.length + value.path.length).toBeLessThan(256);
  });
}, 600_000);

test('references that are made of their parts are read as these parts', () => {
  const domain = fc.stringMatching(/^[a-z0-9]{1,10}\.[a-z]{2,5}(:[0-9]{1,5})?$/);
  const path = fc
    .array(fc.stringMatching(/^[a-z0-9]{1,8}([._-][a-z0-9]{1,8})?$/), { minLength: 1, maxLength: 4 })
    .map(parts => parts.join('/'));
  const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,40}$/);
  const digest = fc.stringMatching(/^[0-9a-f]{64}$/).map(hex => `sha256:${hex}`);
  holds(
    domain,
    path,
    fc.option(tag, { nil: undefined }),
    fc.option(digest, { nil: undefined }),
    (host, repository, tagText, digestText) => {
      if (host.startsWith('index.docker.io')) return;
      const written = `${host}/${repository}${tagText === undefined ? '' : `:${tagText}`}${digestText === undefined ? '' : `@${digestText}`}`;
      const read = parseReference(written);
      expect([read.domain, read.path, read.tag, read.digest as string | undefined]).toEqual([host, repository, tagText, digestText]);
    },
  );
}, 600_000);

test('a digest is read or refused', () => {
  holds(text, input => {
    const outcome = outcomeOf(() => parseDigest(input), ['InvalidArgument']);
    expect(tryParseDigest(input) as string | undefined).toBe('kind' in outcome ? undefined : input);
  });
}, 600_000);
