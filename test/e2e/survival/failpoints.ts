import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Glob } from 'bun';
import { projectRoot } from '#test/helpers/paths.ts';

/** Every name that the daemon's sources pass to `failpoint()`, so that a new one is tested without being listed anywhere. */
export function failpointNames(): string[] {
  const names = new Set<string>();
  for (const file of new Glob('src/**/*.ts').scanSync(projectRoot)) {
    // The registry is a program of its own, whose tests end it at each of its own.
    if (file.endsWith('.test.ts') || file === 'src/base/failpoint.ts' || file.startsWith('src/registry/')) continue;
    const text = readFileSync(join(projectRoot, file), 'utf8');
    const calls = [...text.matchAll(/\bfailpoint\(([^)]*)\)/g)];
    for (const [call, argument] of calls) {
      const found = [...(argument ?? '').matchAll(/'([^']+)'/g)].map(([, name = '']) => name);
      if (found.length === 0) throw new Error(`${file}: ${call}: a failpoint's name has to be a plain text, or no test can find it`);
      for (const name of found) names.add(name);
    }
  }
  return [...names].toSorted();
}
