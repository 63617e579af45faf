import { expect, test } from 'bun:test';
import { type GitReference, isHttpSource, parseGitReference } from './git-reference.ts';

const references: readonly (readonly [text: string, reference: GitReference | undefined])[] = [
  ['https://example.com/a.git', { remote: 'https://example.com/a.git' }],
  ['https://example.com/a', undefined],
  ['https://example.com/a.git/', undefined],
  ['http://example.com/a.git#main', { remote: 'http://example.com/a.git', ref: 'main' }],
  ['https://example.com/a.git#main:sub/dir/', { remote: 'https://example.com/a.git', ref: 'main', subdirectory: 'sub/dir' }],
  ['https://example.com/a.git#:../../sub', { remote: 'https://example.com/a.git', subdirectory: 'sub' }],
  ['https://me:x@example.com/a.git', { remote: 'https://me:x@example.com/a.git' }],
  ['git://example.com/a', { remote: 'git://example.com/a' }],
  ['ssh://git@example.com:2222/a#v1', { remote: 'ssh://git@example.com:2222/a', ref: 'v1' }],
  ['git@example.com:a/b.git#v1:sub', { remote: 'git@example.com:a/b.git', ref: 'v1', subdirectory: 'sub' }],
  ['git@example.com:a?ref=v1', { remote: 'git@example.com:a', ref: 'v1' }],
  ['https://example.com/a.git?tag=v1&subdir=x', { remote: 'https://example.com/a.git', ref: 'refs/tags/v1', subdirectory: 'x' }],
  ['https://example.com/a.git?branch=b', { remote: 'https://example.com/a.git', ref: 'refs/heads/b' }],
  [
    'https://example.com/a.git?ref=v1&commit=abc&keep-git-dir&submodules=false&mtime=commit&fetch-by-commit=1',
    {
      remote: 'https://example.com/a.git',
      ref: 'v1',
      checksum: 'abc',
      keepGitDir: true,
      submodules: false,
      mtime: 'commit',
      fetchByCommit: true,
    },
  ],
  ['./a.git', undefined],
  ['a/b', undefined],
  ['example.com:x', undefined],
  ['ftp://example.com/a.git', undefined],
];

test.each(references)('parseGitReference(%s)', (text, reference) => {
  expect(parseGitReference(text)).toEqual(reference);
});

test.each([
  ['?x=1', 'unexpected query "x"'],
  ['?ref=', 'query "ref" has no value'],
  ['?ref=a&ref=b', 'query "ref" has multiple values'],
  ['?ref=a#b', 'ref conflicts: "b" vs "a"'],
  ['?subdir=a#:b', 'subdir conflicts: "b" vs "a"'],
  ['?tag=a&branch=b', 'branch conflicts with tag'],
  ['?mtime=now', 'invalid mtime value: "now" (must be "checkout" or "commit")'],
  ['?submodules=maybe', 'invalid submodules value: "maybe"'],
])('a repository with %s is refused', (query, message) => {
  expect(() => parseGitReference(`https://example.com/a.git${query}`)).toThrow(message);
});

test('isHttpSource() is for URLs that are no repositories', () => {
  expect(['https://a/b', 'http://a/b.tar', 'https://a/b.git', 'a'].map(isHttpSource)).toEqual([true, true, false, false]);
});
