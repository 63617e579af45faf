import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { evaluate, readCorpus } from './test-corpus.ts';

const folder = join(import.meta.dir, 'corpus');

for (const file of readdirSync(folder).sort()) {
  describe(`Dockerfiles of corpus/${file}`, () => {
    for (const corpusCase of readCorpus(readFileSync(join(folder, file), 'utf8'))) {
      test(corpusCase.name, () => {
        const { warnings, ...outcome } = evaluate(corpusCase);
        // Warnings are compared where a case has some, and everywhere in the file about them.
        const expectsWarnings = file === 'checks.txt' || corpusCase.expected.warnings !== undefined;
        expect(expectsWarnings && warnings !== undefined ? { ...outcome, warnings } : outcome).toEqual(corpusCase.expected);
      });
    }
  });
}

test('the corpus is large', () => {
  const files = readdirSync(folder).map(file => readCorpus(readFileSync(join(folder, file), 'utf8')));
  expect(files.flat().length).toBeGreaterThan(200);
  for (const cases of files) expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
});
