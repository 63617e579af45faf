import { describe, expect, test } from 'bun:test';
import { canonicalString, familiarName, familiarString, parseReference, withDefaultTag, withTag } from './reference.ts';

const digest = `sha256:${'a'.repeat(64)}`;

describe('parseReference()', () => {
  for (const [text, canonical, familiar] of [
    ['busybox', 'docker.io/library/busybox', 'busybox'],
    ['busybox:1.36', 'docker.io/library/busybox:1.36', 'busybox:1.36'],
    ['user/app', 'docker.io/user/app', 'user/app'],
    ['docker.io/busybox', 'docker.io/library/busybox', 'busybox'],
    ['index.docker.io/library/busybox', 'docker.io/library/busybox', 'busybox'],
    ['docker.io/library/a/b', 'docker.io/library/a/b', 'library/a/b'],
    ['docker.io/a.b/c', 'docker.io/a.b/c', 'docker.io/a.b/c'],
    ['docker.io/localhost/app:1', 'docker.io/localhost/app:1', 'docker.io/localhost/app:1'],
    ['localhost/app', 'localhost/app', 'localhost/app'],
    ['localhost:5000/app:x', 'localhost:5000/app:x', 'localhost:5000/app:x'],
    ['Host/app', 'Host/app', 'Host/app'],
    ['[::1]:5000/app', '[::1]:5000/app', '[::1]:5000/app'],
    [`quay.io/a/b:t@${digest}`, `quay.io/a/b:t@${digest}`, `quay.io/a/b:t@${digest}`],
    ['a__b/c--d', 'docker.io/a__b/c--d', 'a__b/c--d'],
  ] as const) {
    test(`reads ${text}`, () => {
      const ref = parseReference(text);
      expect(canonicalString(ref)).toBe(canonical);
      expect(familiarString(ref)).toBe(familiar);
    });
  }

  for (const text of [
    '',
    ':tag',
    'a//b',
    '-a',
    'a:',
    'a@',
    'a b',
    'a:b c',
    'a/',
    '/a',
    'a___b',
    `a@sha256:${'a'.repeat(63)}`,
    'a:b/c',
    'http://a/b',
  ]) {
    test(`refuses "${text}"`, () => expect(() => parseReference(text)).toThrow('invalid reference format'));
  }

  test('names the part that must be lower case', () => {
    expect(() => parseReference('Foo:x')).toThrow('invalid reference format: repository name (library/Foo) must be lowercase');
    expect(() => parseReference('quay.io/Foo')).toThrow('repository name (Foo) must be lowercase');
  });

  test('refuses what looks like an image id, and names that are too long', () => {
    expect(() => parseReference('a'.repeat(64))).toThrow('cannot specify 64-byte hexadecimal strings');
    expect(() => parseReference(`quay.io/${'a'.repeat(256)}`)).toThrow('must not be more than 255 characters');
  });
});

test('withDefaultTag() leaves tags and digests alone', () => {
  expect(familiarString(withDefaultTag(parseReference('a')))).toBe('a:latest');
  expect(familiarString(withDefaultTag(parseReference('a:b')))).toBe('a:b');
  expect(familiarString(withDefaultTag(parseReference(`a@${digest}`)))).toBe(`a@${digest}`);
});

test('withTag() replaces tag and digest, and checks the tag', () => {
  expect(familiarString(withTag(parseReference(`a:b@${digest}`), 'c'))).toBe('a:c');
  expect(() => withTag(parseReference('a'), 'no way')).toThrow('invalid tag format: "no way"');
});

test('familiarName() has neither tag nor digest', () => {
  expect(familiarName(parseReference('busybox:1'))).toBe('busybox');
});
