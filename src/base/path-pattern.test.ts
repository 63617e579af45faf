import { describe, expect, test } from 'bun:test';
import { cleanPath, PathPatterns, segmentRegExp } from './path-pattern.ts';

test.each([
  ['*.o', 'a.o', true],
  ['*.o', 'a.b/c.o', false],
  ['?', 'ab', false],
  ['[a-c]x', 'bx', true],
  ['[^a-c]x', 'bx', false],
  ['\\*', '*', true],
  ['a.c', 'abc', false],
])('%s matches %s: %p', (pattern, name, expected) => expect(segmentRegExp(pattern).test(name)).toBe(expected));

test.each(['[', '[]', '[a-', 'a\\'])('%s is no pattern', pattern =>
  expect(() => segmentRegExp(pattern)).toThrow('syntax error in pattern'),
);

describe('PathPatterns', () => {
  test.each([
    [['a'], 'a/b/c', true],
    [['a'], 'b/a', false],
    [['**/a'], 'b/c/a', true],
    [['**/a'], 'a', true],
    [['a/**'], 'a/b', true],
    [['/a/'], 'a', true],
    [['*', '!keep'], 'keep/in', false],
    [['*', '!keep', 'keep/not'], 'keep/not', true],
    [[''], 'a', false],
  ] as const)('%j of %s: %p', (patterns, path, expected) => expect(new PathPatterns(patterns).matches(path)).toBe(expected));
});

test('cleanPath() does not lead above the root', () => {
  expect(['/a/./b/../c/', '../../x', '/', '.'].map(cleanPath)).toEqual(['a/c', 'x', '', '']);
});
