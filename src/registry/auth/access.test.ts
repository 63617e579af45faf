import { describe, expect, test } from 'bun:test';
import { AccessRules, anonymousPull, defaultRules, repositoryPattern } from './access.ts';
import { repositoryOf } from '#test/helpers/open-registry.ts';

describe('patterns of repositories', () => {
  test.each([
    ['**', 'a', true],
    ['**', 'a/b/c', true],
    ['a', 'a', true],
    ['a', 'a/b', false],
    ['a/*', 'a/b', true],
    ['a/*', 'a/b/c', false],
    ['a/*', 'a', false],
    ['a/**', 'a', true],
    ['a/**', 'a/b/c', true],
    ['a/**', 'ab', false],
    ['**/c', 'c', true],
    ['**/c', 'a/b/c', true],
    ['team-*/app', 'team-x/app', true],
    ['team-*/app', 'team-x/y/app', false],
    ['a.b', 'axb', false],
  ])('%s and %s: %p', (pattern, name, expected) => {
    expect(repositoryPattern(pattern)(name)).toBe(expected);
  });
});

describe('access rules', () => {
  const allowed = (rules: AccessRules, user: string, name: string): string => [...rules.allowed(user, name)].join();

  test('by default who is known may do everything and others nothing', () => {
    const rules = new AccessRules(defaultRules);
    expect([allowed(rules, 'ann', 'x'), allowed(rules, '', 'x')]).toEqual(['pull,push,delete', '']);
    expect([rules.mayList('ann'), rules.mayList(''), rules.letAnonymousIn]).toEqual([true, false, false]);
  });

  test('anonymous users may read when the operator says so', () => {
    const rules = new AccessRules([...defaultRules, anonymousPull]);
    expect([allowed(rules, '', 'x'), rules.letAnonymousIn, rules.mayList('')]).toEqual(['pull', true, true]);
  });

  test('what several rules give adds up; a place of one’s own', () => {
    const rules = new AccessRules([
      { repositories: ['public/**'], users: ['anonymous'], actions: ['pull'] },
      { repositories: ['{user}/**'], users: ['authenticated'], actions: ['pull', 'push'] },
      { repositories: ['public/**'], users: ['ann'], actions: ['push'] },
    ]);
    expect(allowed(rules, '', 'public/a')).toBe('pull');
    expect(allowed(rules, 'ann', 'public/a')).toBe('pull,push');
    expect(allowed(rules, 'bob', 'public/a')).toBe('pull');
    expect([allowed(rules, 'bob', 'bob/app'), allowed(rules, 'bob', 'ann/app'), allowed(rules, '', '/app')]).toEqual(['pull,push', '', '']);
    expect([allowed(rules, '**', 'ann/app'), allowed(rules, '*', 'ann/app')]).toEqual(['', '']);
    const actor = rules.actor('ann');
    expect(actor.may({ repository: repositoryOf('public/a'), actions: ['pull', 'push'] })).toBe(true);
    expect(actor.may({ repository: repositoryOf('public/a'), actions: ['delete'] })).toBe(false);
    expect(actor.may({ catalog: true })).toBe(false);
  });
});
