import { expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { networkFailpoints } from './failpoints.ts';

test('the list of failpoints is what the code has', () => {
  const sources = readdirSync(import.meta.dirname).filter(name => name.endsWith('.ts') && !name.startsWith('failpoints'));
  const used = sources.flatMap(name =>
    [...readFileSync(`${import.meta.dirname}/${name}`, 'utf8').matchAll(/failpoint\('([^']+)'\)/g)].map(([, point]) => point ?? ''),
  );
  expect(used.toSorted()).toEqual([...networkFailpoints].toSorted());
});
