/** Runs the checks of the fast gate side by side and reports them in a fixed order; `--without-tests` leaves the tests to the caller. */
import { $ } from 'bun';

const bin = `${import.meta.dir}/../node_modules/.bin`;

/** Run by Bun, because these tools ask for a newer Node than Debian 12 has. */
const byBun = (tool: string, ...args: readonly string[]): string[] => [`${bin}/bun`, '--bun', `${bin}/${tool}`, ...args];

/** Name, command. The tests come last: they are what a reader looks for first. */
const checks: readonly (readonly [name: string, command: readonly string[]])[] = [
  ['format', byBun('biome', 'format', '.')],
  ['types', byBun('tsc', '-p', '.', '--incremental', '--tsBuildInfoFile', '.cache/tsc.json')],
  ['lint', byBun('eslint', '--cache', '--cache-location', '.cache/eslint.json', 'src', 'test', 'bench', 'scripts')],
  ['layers', byBun('depcruise', '--config', '.dependency-cruiser.cjs', 'src')],
  ['tests', [`${bin}/bun`, 'test', 'src', '--timeout', '60000']],
];

const wanted = checks.filter(([name]) => name !== 'tests' || !process.argv.includes('--without-tests'));
await $`mkdir -p .cache`;
const began = performance.now();
const results = await Promise.all(wanted.map(([name, command]) => check(name, command)));
for (const { name, output } of results.filter(({ ok }) => !ok))
  console.log(`\n---- ${name} ----\n${name === 'tests' ? failuresOnly(output) : output.trimEnd()}`);
console.log('');
for (const { name, ok, ms } of results) console.log(`${ok ? 'ok  ' : 'FAIL'} ${name} (${seconds(ms)})`);
console.log(`${seconds(performance.now() - began)} altogether`);
process.exitCode = results.every(({ ok }) => ok) ? 0 : 1;

async function check(name: string, command: readonly string[]): Promise<{ name: string; ok: boolean; output: string; ms: number }> {
  const start = performance.now();
  const run = await $`${command} 2>&1`.nothrow().quiet();
  return { name, ok: run.exitCode === 0, output: run.stdout.toString(), ms: performance.now() - start };
}

/** What `bun test` prints, without the tests that passed. */
function failuresOnly(output: string): string {
  return output
    .split('\n')
    .filter(line => !line.startsWith('(pass)'))
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trimEnd();
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
