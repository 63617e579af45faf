import { expect, test } from 'bun:test';
import type { ContainerState } from './model.ts';
import { ageText, statusText } from './status-text.ts';
import { aContainer } from './test-values.ts';

test('ageText()', () => {
  const second = 1000;
  const [minute, hour, day] = [60 * second, 3600 * second, 86_400 * second];
  const cases: readonly [number, string][] = [
    [999, 'Less than a second'],
    [second, '1 second'],
    [59 * second, '59 seconds'],
    [minute, 'About a minute'],
    [2 * minute, '2 minutes'],
    [59 * minute, '59 minutes'],
    [60 * minute, 'About an hour'],
    [89 * minute, 'About an hour'],
    [90 * minute, '2 hours'],
    [47 * hour, '47 hours'],
    [2 * day, '2 days'],
    [14 * day, '2 weeks'],
    [59 * day, '8 weeks'],
    [60 * day, '2 months'],
    [729 * day, '24 months'],
    [730 * day, '2 years'],
  ];
  for (const [age, text] of cases) expect(ageText(age)).toBe(text);
});

test('statusText()', () => {
  const now = Date.parse('2026-01-01T00:01:00Z');
  const text = (state: ContainerState): string => statusText(aContainer({ state }), now);
  const past = { startedAt: '2026-01-01T00:00:00Z', finishedAt: '2026-01-01T00:00:57Z', exitCode: 3, oomKilled: false };
  expect(text({ status: 'created' })).toBe('Created');
  expect(text({ status: 'running', pid: 1, startedAt: past.startedAt, paused: false })).toBe('Up About a minute');
  expect(text({ status: 'running', pid: 1, startedAt: past.startedAt, paused: true })).toBe('Up About a minute (Paused)');
  expect(text({ status: 'exited', ...past })).toBe('Exited (3) 3 seconds ago');
  expect(text({ status: 'restarting', ...past })).toBe('Restarting (3) 3 seconds ago');
  expect(text({ status: 'removing', ...past, withVolumes: false })).toBe('Removal In Progress');
  expect(text({ status: 'dead', ...past })).toBe('Dead');
});
