import { expect, test } from 'bun:test';
import { formatWarning, Linter, parseCheckOptions, shortWarning } from './linter.ts';
import { rules } from './rules.ts';

test('there are 22 checks, each under its own name', () => {
  expect(Object.keys(rules).length).toBe(22);
  for (const [name, rule] of Object.entries(rules)) expect(rule.name).toBe(name);
  expect(rules.JSONArgsRecommended.url).toBe('https://docs.docker.com/go/dockerfile/rule/json-args-recommended/');
  expect(rules.FromPlatformFlagConstDisallowed.url).toBe('https://docs.docker.com/go/dockerfile/rule/from-platform-flag-const-disallowed/');
});

test('parseCheckOptions() reads and refuses', () => {
  expect(parseCheckOptions('skip=A, B;error=true;experimental=all')).toEqual({
    skip: new Set(['A', 'B']),
    error: true,
    experimental: 'all',
  });
  expect(parseCheckOptions('skip=all;error=F')).toMatchObject({ skip: 'all', error: false });
  expect(() => parseCheckOptions('error=maybe')).toThrow('expected true or false');
  expect(() => parseCheckOptions('what=1')).toThrow('invalid check option "what"');
  expect(() => parseCheckOptions('skip')).toThrow('invalid check option "skip"');
});

test('a warning in one line and in several', () => {
  const lint = new Linter();
  const range = { start: { line: 2, column: 1 }, end: { line: 2, column: 9 } };
  lint.report('LegacyKeyValueFormat', range, 'say it otherwise');
  lint.report('LegacyKeyValueFormat', range, 'say it otherwise');
  const [warning] = lint.warnings;
  if (warning === undefined || lint.warnings.length > 1) throw new Error('expected one warning');
  expect(shortWarning(warning)).toBe('LegacyKeyValueFormat: say it otherwise (line 2)');
  expect(formatWarning(warning, { name: 'Dockerfile', text: 'FROM a\nENV b c\n' })).toBe(
    [
      '',
      'WARNING: LegacyKeyValueFormat - https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/',
      'say it otherwise',
      'Dockerfile:2',
      '--------------------',
      '   1 |     FROM a',
      '   2 | >>> ENV b c',
      '   3 |     ',
      '--------------------',
      '',
    ].join('\n'),
  );
});
