import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { holds } from '#test/helpers/fuzz.ts';
import { parseChallenge } from './challenge.ts';

const piece = fc.constantFrom(
  'Bearer',
  'Basic',
  'Digest',
  'bearer ',
  'realm',
  '=',
  '"',
  '\\',
  ',',
  ' ',
  '\t',
  'service="x"',
  'scope="repository:a:pull,push"',
  'realm="https://a/b"',
  'a=b',
  '=="',
  '"\\"',
  '__proto__="x"',
  'constructor=1',
);
const header = fc.oneof(
  fc.string({ maxLength: 200 }),
  fc.array(piece, { maxLength: 30 }).map(parts => parts.join('')),
  fc
    .tuple(fc.constantFrom('"', '\\', ' ', ',', 'a', 'a=', 'a="'), fc.nat({ max: 20_000 }))
    .map(([part, times]) => `Bearer realm=${part.repeat(times)}`),
);

test('any header is a challenge that can be answered, or none; it takes time like its length', () => {
  holds(header, text => {
    const challenge = parseChallenge(text);
    if (challenge === undefined) return;
    expect(['bearer', 'basic']).toContain(challenge.scheme);
    if (challenge.scheme === 'bearer') expect(typeof challenge.realm).toBe('string');
  });
}, 600_000);

test('a challenge that is made by the rules is understood, whatever stands around it', () => {
  const value = fc.string({ maxLength: 60 });
  const quote = (text: string): string => `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
  const space = fc.constantFrom('', ' ', '  ');
  const before = fc.constantFrom('', 'Basic realm="x", ', 'Negotiate, ', 'Digest realm="a", nonce="b", qop="auth", ');
  holds(value, value, value, space, before, (realm, service, scope, gap, first) => {
    const text = `${first}Bearer realm${gap}=${gap}${quote(realm)}${gap},${gap}service=${quote(service)},scope=${quote(scope)}`;
    expect(parseChallenge(text)).toEqual({ scheme: 'bearer', realm, service, scope });
  });
}, 600_000);
