/** Runs the checks of the fast gate side by side and reports them in a fixed order. */
import { $ } from 'bun';

const bin = `${import.meta.dir}/../node_modules/.bin`;

/** Name, command. The tests come last: they are what a reader looks for first. */
const checks: readonly (readonly [name: string, command: readonly string[]])[] = [
  ['format', [`${bin}/biome`, 'format', '.']],
  ['types', [`${bin}/tsc`, '-p', '.', '--incremental', '--tsBuildInfoFile', '.cache/tsc.json']],
  ['lint', [`${bin}/eslint`, '--cache', '--cache-location', '.cache/eslint.json', 'src', 'test', 'bench', 'scripts']],
  ['layers', [`${bin}/depcruise`, '--config', '.dependency-cruiser.cjs', 'src']],
  ['tests', [`${bin}/bun`, 'test', 'src']],
];

await $`mkdir -p .cache`;
const began = performance.now();
const results = await Promise.all(checks.map(([name, command]) => check(name, command)));
for (const { name, output } of results.filter(({ ok }) => !ok)) console.log(`\n---- ${name} ----\n${output.trimEnd()}`);
console.log('');
for (const { name, ok, ms } of results) console.log(`${ok ? 'ok  ' : 'FAIL'} ${name} (${seconds(ms)})`);
console.log(`${seconds(performance.now() - began)} altogether`);
process.exitCode = results.every(({ ok }) => ok) ? 0 : 1;

async function check(name: string, command: readonly string[]): Promise<{ name: string; ok: boolean; output: string; ms: number }> {
  const start = performance.now();
  const run = await $`${command} 2>&1`.nothrow().quiet();
  return { name, ok: run.exitCode === 0, output: run.stdout.toString(), ms: performance.now() - start };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
