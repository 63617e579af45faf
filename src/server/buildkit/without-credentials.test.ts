import { expect, test } from 'bun:test';
import { withoutCredentials } from './without-credentials.ts';

test('what is kept of options lets nobody in', () => {
  expect(
    withoutCredentials({
      context: 'https://me:token@example.com/r.git#main',
      'context:one': 'docker-image://busybox',
      'build-arg:PROXY': 'http://u:p@proxy:3128 and git@example.com:r',
      'cache-imports': JSON.stringify([{ Type: 'gha', Attrs: { scope: 'x', token: 'secret', url: 'https://cache' } }]),
      target: 'a@b',
    }),
  ).toEqual({
    context: 'https://example.com/r.git#main',
    'context:one': 'docker-image://busybox',
    'build-arg:PROXY': 'http://proxy:3128 and git@example.com:r',
    'cache-imports': JSON.stringify([{ Type: 'gha', Attrs: { scope: 'x' } }]),
    target: 'a@b',
  });
});
