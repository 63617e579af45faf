/** Runs the checks of the fast gate side by side and reports them in a fixed order; `--without-tests` leaves the tests to the caller. */
import { readdirSync } from 'node:fs';
import { $ } from 'bun';

const bin = `${import.meta.dir}/../node_modules/.bin`;

/** Run by Bun, because these tools ask for a newer Node than Debian 12 has. */
const byBun = (tool: string, ...args: readonly string[]): string[] => [`${bin}/bun`, '--bun', `${bin}/${tool}`, ...args];

const sources = `${import.meta.dir}/../src`;
const roles = readdirSync(sources).filter(role => role !== 'host');
const tests = (...paths: readonly string[]): string[] => [`${bin}/bun`, 'test', ...paths, '--timeout', '60000'];

/** Name, command. The tests come last: they are what a reader looks for first. Those that work with the kernel take as long as all others together. */
const checks: readonly (readonly [name: string, command: readonly string[]])[] = [
  ['format', byBun('biome', 'format', '.')],
  ['types', byBun('tsc', '-p', '.', '--incremental', '--tsBuildInfoFile', '.cache/tsc.json')],
  ['lint', byBun('eslint', '--cache', '--cache-location', '.cache/eslint.json', 'src', 'test', 'bench', 'scripts')],
  ['layers', byBun('depcruise', '--config', '.dependency-cruiser.cjs', 'src')],
  ['tests', tests(...roles.map(role => `./src/${role}`))],
  ['tests of the host', tests('./src/host')],
];

const wanted = checks.filter(([name]) => !isTests(name) || !process.argv.includes('--without-tests'));
await $`mkdir -p .cache`;
const began = performance.now();
const results = await Promise.all(wanted.map(([name, command]) => check(name, command)));
for (const { name, output } of results.filter(({ ok }) => !ok))
  console.log(`\n---- ${name} ----\n${isTests(name) ? failuresOnly(output) : output.trimEnd()}`);
console.log('');
for (const { name, ok, ms } of results) console.log(`${ok ? 'ok  ' : 'FAIL'} ${name} (${seconds(ms)})`);
console.log(`${seconds(performance.now() - began)} altogether`);
process.exitCode = results.every(({ ok }) => ok) ? 0 : 1;

function isTests(name: string): boolean {
  return name.startsWith('tests');
}

async function check(name: string, command: readonly string[]): Promise<{ name: string; ok: boolean; output: string; ms: number }> {
  const start = performance.now();
  // Parsers are fuzzed for longer by `npm test`.
  const run = await $`${command} 2>&1`
    .env({ BERTH_FUZZ_SECONDS: '0.2', ...process.env })
    .nothrow()
    .quiet();
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
