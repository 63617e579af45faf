import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'bun:test';
import { registrySettings } from '#main/registry-settings.ts';
import { Glob } from 'bun';
import { projectRoot } from '#test/helpers/paths.ts';

const read = (path: string): string => readFileSync(join(projectRoot, path), 'utf8');
const manifest = JSON.parse(read('package.json')) as {
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
};

test('docs/decisions/dependencies.md gives a reason for each dependency and for no other', () => {
  const listed = read('docs/decisions/dependencies.md')
    .split('\n')
    .filter(line => line.startsWith('| `'))
    .flatMap(line => [...(line.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
  expect(listed.toSorted()).toEqual([...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)].toSorted());
});

test('dependencies are pinned to one version', () => {
  for (const version of Object.values({ ...manifest.dependencies, ...manifest.devDependencies }))
    expect(version).toMatch(/^\d+\.\d+\.\d+$/);
});

test('every npm script exists, and the README names only scripts that do', () => {
  for (const command of Object.values(manifest.scripts)) {
    const script = /sh (scripts\/\S+)/.exec(command)?.[1];
    if (script !== undefined) expect({ script, exists: existsSync(join(projectRoot, script)) }).toEqual({ script, exists: true });
  }
  for (const [, name = ''] of read('README.md').matchAll(/npm run ([\w-]+)/g)) expect(Object.keys(manifest.scripts)).toContain(name);
});

test('docs/ARCHITECTURE.md has a row for every folder of src', () => {
  const listed = [...read('docs/ARCHITECTURE.md').matchAll(/^\| `src\/(\w+)` \|/gm)].map(([, name]) => name);
  expect(listed.toSorted()).toEqual(readdirSync(join(projectRoot, 'src')).toSorted());
});

test('docs/registry.md has a row for every setting of the registry, with its flag', () => {
  const listed = [...read('docs/registry.md').matchAll(/^\| `([\w.]+)` \| (?:`--([\w-]+)`)? *\|/gm)].map(([, key, flag]) => [key, flag]);
  expect(listed).toEqual(registrySettings.filter(({ accepted }) => accepted === undefined).map(({ key, flag }) => [key, flag]));
});

test('every test that docs/security.md names exists', () => {
  const files = new Map(
    [...new Glob('{test,src}/**/*.test.ts').scanSync(projectRoot)].map(path => [path.split('/').at(-1) ?? '', read(path)]),
  );
  const named = [...read('docs/security.md').matchAll(/^\| .* \| `([\w-]+\.test\.ts)`: (.*) \|$/gm)];
  expect(named.length).toBeGreaterThan(30);
  const missing = named
    .filter(([, file = '', title = '']) => files.get(file)?.includes(`'${title}'`) !== true)
    .map(([, file, title]) => `${String(file)}: ${String(title)}`);
  expect(missing).toEqual([]);
});
