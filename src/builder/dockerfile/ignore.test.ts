import { describe, expect, test } from 'bun:test';
import { IgnoreMatcher, parseIgnoreFile, type PathMatch } from './ignore.ts';

describe('parseIgnoreFile()', () => {
  test('comments, blanks, slashes, exceptions', () => {
    const text = '\uFEFF# comment\n  \nfoo/\n/bar\n./a/../b//c\n ! keep /\n#x\n x # y\r\n/\n**/z\n!/q\n';
    expect(parseIgnoreFile(text)).toEqual(['foo', 'bar', 'b/c', '!keep ', 'x # y', '/', '**/z', '!q']);
  });
});

describe('IgnoreMatcher', () => {
  /** Patterns, a path, whether it is left out. */
  const table: readonly (readonly [patterns: string, path: string, isExcluded: boolean])[] = [
    ['foo', 'foo', true],
    ['foo', 'foo/bar', true],
    ['foo', 'bar/foo', false],
    ['foo', 'foobar', false],
    ['*', 'a', true],
    ['*', 'a/b/c', true],
    ['*/b', 'a/b', true],
    ['*/b', 'a/b/c', true],
    ['*/b', 'b', false],
    ['*.md', 'x.md', true],
    ['*.md', 'a/x.md', false],
    ['**/*.md', 'x.md', true],
    ['**/*.md', 'a/b/x.md', true],
    ['**/foo', 'a/foo', true],
    ['**/foo', 'afoo', false],
    ['**/foo', 'foo', true],
    ['a/**', 'a', false],
    ['a/**', 'a/b/c', true],
    ['a/**/b', 'a/b', true],
    ['a/**/b', 'a/x/y/b', true],
    ['a/**/b', 'ab', false],
    ['a/**/*.txt', 'a/x/y.txt', true],
    ['**', 'anything/at/all', true],
    ['a**b', 'a/x/b', true],
    ['file?', 'file1', true],
    ['file?', 'file/', false],
    ['file?', 'file10', false],
    ['[a-c]x', 'bx', true],
    ['[^a-c]x', 'dx', true],
    ['[^a-c]x', 'bx', false],
    ['a\\*b', 'a*b', true],
    ['a\\*b', 'axb', false],
    ['a+b(c){d}|$^.', 'a+b(c){d}|$^.', true],
    ['*.c++', 'x.c++', true],
    ['x.y', 'xzy', false],
    ['* !keep', 'keep', false],
    ['* !keep', 'keep/all/of/it', false],
    ['* !keep', 'other', true],
    ['* !a/b', 'a/b/c', false],
    ['* !a/b', 'a/c', true],
    ['a !a/b a/b/c', 'a/b/c', true],
    ['a !a/b a/b/c', 'a/b/d', false],
    ['!a a', 'a', true],
    ['a !a', 'a', false],
    ['*.md !README*.md README-secret.md', 'README-secret.md', true],
    ['*.md !README*.md README-secret.md', 'README-x.md', false],
    ['*.md README-secret.md !README*.md', 'README-secret.md', false],
    ['**/node_modules !**/node_modules/keep', 'x/node_modules/keep/y', false],
    ['日本*', '日本語', true],
    ['?x', '語x', true],
  ];

  test.each(table)('%s leaves out %s: %p', (patterns, path, isExcluded) => {
    expect(new IgnoreMatcher(patterns.split(' ')).isExcluded(path)).toBe(isExcluded);
  });

  test.each(['[', '[a', '[]a]', 'a[', '[-]', '[a-]', 'x\\', '[^', '!', '! '])('%s is no pattern', pattern => {
    expect(() => new IgnoreMatcher([pattern])).toThrow(/syntax error in pattern|illegal exclusion pattern/);
  });

  test('what lies below a directory that is left out', () => {
    const matcher = new IgnoreMatcher(['*', '!a/b/c', '!src/*/keep', '!**/deep', 'x']);
    const shallow = new IgnoreMatcher(['*', '!a/b/c', '!src/*/keep']);
    expect(['a', 'a/b', 'src', 'src/x', 'a/b/c', 'a/x', 'x', 'src/x/y'].map(path => shallow.mayHoldExceptions(path))).toEqual([
      ...[true, true, true, true],
      ...[false, false, false, false],
    ]);
    expect(matcher.mayHoldExceptions('anything/at/all')).toBe(true);
  });

  test('walking says the same as asking for each path', () => {
    const names = ['a', 'b', 'keep', 'x.md', 'README.md'];
    const paths = names.flatMap(one => [one, ...names.flatMap(two => [`${one}/${two}`, ...names.map(three => `${one}/${two}/${three}`)])]);
    const sets = [
      ['*', '!keep'],
      ['**/*.md', '!**/README.md', 'a/README.md'],
      ['a', '!a/b', 'a/b/x.md', '!a/b/keep/README.md'],
      ['*/*', '!*/keep'],
      ['b/**', '!b/keep/**'],
    ];
    for (const patterns of sets) {
      const matcher = new IgnoreMatcher(patterns);
      const walked = new Map<string, { readonly isExcluded: boolean; readonly match: PathMatch }>();
      for (const path of paths) {
        const parent = walked.get(path.slice(0, Math.max(0, path.lastIndexOf('/'))));
        walked.set(path, matcher.match(path, parent?.match));
        expect([patterns, path, walked.get(path)?.isExcluded]).toEqual([patterns, path, matcher.isExcluded(path)]);
        // A directory that is left out is not read unless it may hold exceptions: then nothing in it may be one.
        if (parent?.isExcluded === true && !matcher.mayHoldExceptions(path.slice(0, path.lastIndexOf('/')))) {
          expect([path, walked.get(path)?.isExcluded]).toEqual([path, true]);
        }
      }
    }
  });

  test('a hundred thousand paths take no time', () => {
    const matcher = new IgnoreMatcher(['**/node_modules', '*.log', '**/*.tmp', 'dist', '!dist/keep', 'docs/**', '.git', 'build*']);
    const began = performance.now();
    let excluded = 0;
    for (let directory = 0; directory < 1_000; directory += 1) {
      const { match } = matcher.match(`dir${directory}`, undefined);
      for (let file = 0; file < 100; file += 1)
        if (matcher.match(`dir${directory}/file${file}.${file % 10 === 0 ? 'tmp' : 'js'}`, match).isExcluded) excluded += 1;
    }
    expect(excluded).toBe(10_000);
    expect(performance.now() - began).toBeLessThan(3_000);
  });

  test('what COPY names and the patterns leave out for certain', () => {
    const matcher = new IgnoreMatcher(['secret', '*.log']);
    expect(['secret', './secret/x', '/secret', 'a.log', 'other', '.'].map(path => matcher.excludedSource(path))).toEqual([
      ...['secret', 'secret/x', 'secret', 'a.log'],
      ...[undefined, undefined],
    ]);
    expect(new IgnoreMatcher(['*']).excludedSource('.')).toBe('.');
    expect(new IgnoreMatcher(['*', '!x']).excludedSource('secret')).toBeUndefined();
  });
});
