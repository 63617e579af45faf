/**
 * Runs the test suites one after the other and counts them all: `bun scripts/test.ts [suite…]`. Compares the machine before and after; a
 * difference is a failed test. The last line is `N passed, N failed, N skipped`.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { $ } from 'bun';
import { compareMachines, machineState } from '../test/helpers/machine.ts';

const root = resolve(import.meta.dir, '..');
const bun = join(root, 'node_modules/.bin/bun');

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** What a suite is called and where its tests are. */
const suites: readonly (readonly [name: string, path: string])[] = [
  ['unit', 'src'],
  ['integration', 'test/integration'],
  ['survival', 'test/e2e/survival'],
  ['soak', 'test/e2e/soak'],
  ['limits', 'test/e2e/limits'],
  ['scale', 'test/e2e/scale'],
  ['conformance', 'test/conformance'],
  ['project', 'test/project'],
  ['vm', 'test/vm'],
];

const chosen = process.argv.slice(2);
const unknown = chosen.filter(name => !suites.some(([suite]) => suite === name));
if (unknown.length > 0) {
  console.error(`error: unknown suite ${unknown.join(', ')}; there are: ${suites.map(([name]) => name).join(', ')}`);
  process.exit(2);
}

const reports = await mkdtemp('/tmp/berth-reports-');
const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const lines: string[] = [];
/** What failed, each with its reason: printed again at the end, where it is found without scrolling. */
const failures: string[] = [];
const before = await machineState();
let began = performance.now();

if (chosen.length === 0) record('gate (format, types, lint, layers)', await step('gate', [bun, 'scripts/ok.ts', '--without-tests']));
const built = await step('build', ['sh', 'scripts/build.sh']);
record('build', built);
// A gate that fails says nothing about the rest; without a program there is nothing to test.
if (built.failed === 0) {
  for (const [name, path] of suites) {
    if ((chosen.length === 0 || chosen.includes(name)) && existsSync(join(root, path))) record(name, await runSuite(name, path));
  }
  record('machine as before', await compareWithBefore());
}
await rm(reports, { recursive: true, force: true });

console.log('');
for (const failure of failures) console.log(failure);
for (const line of lines) console.log(line);
console.log(`${String(total.passed)} passed, ${String(total.failed)} failed, ${String(total.skipped)} skipped`);
process.exit(total.failed === 0 ? 0 : 1);

/** A step that counts as one test. */
async function step(name: string, command: readonly string[]): Promise<Counts> {
  console.log(`\n==== ${name} ====`);
  const { exitCode } = await $`${command} 2>&1`.cwd(root).nothrow();
  return exitCode === 0 ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 };
}

async function runSuite(name: string, path: string): Promise<Counts> {
  console.log(`\n==== ${name} ====`);
  const report = join(reports, `${name}.xml`);
  const command = [bun, 'test', `./${path}`, '--timeout', '120000', '--reporter=junit', `--reporter-outfile=${report}`];
  const run = Bun.spawn(command, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'pipe'],
    env: {
      ...process.env,
      BERTH_TEST_BINARY: process.env.BERTH_TEST_BINARY ?? 'dist/berth',
      BERTH_TEST_ALONE: process.env.BERTH_TEST_ALONE ?? '1',
    },
  });
  await passOn(name, run.stderr);
  const exitCode = await run.exited;
  const counts = await countsOf(report);
  // A test file that does not even load, or a hook that fails, shows in the exit code only.
  if (exitCode !== 0 && counts.failed === 0) counts.failed = 1;
  return counts;
}

/** Prints what a run of tests prints, and keeps its failures. */
async function passOn(suite: string, output: ReadableStream<Uint8Array>): Promise<void> {
  const decoder = new TextDecoder();
  let rest = '';
  let reason = '';
  let summed = false;
  const look = (line: string): void => {
    // Bun repeats all failures after the last test.
    summed ||= / tests? failed:$/.test(line);
    if (line.startsWith('error: ')) reason ||= line;
    if (line.startsWith('(fail) ') && !summed) failures.push(`${suite}: ${line}${reason === '' ? '' : `\n  ${reason}`}`);
    if (/^\((pass|fail|skip)\) /.test(line)) reason = '';
  };
  for await (const bytes of output) {
    process.stdout.write(bytes);
    const read = (rest + decoder.decode(bytes, { stream: true })).split('\n');
    rest = read.pop() ?? '';
    for (const line of read) look(line);
  }
}

async function countsOf(report: string): Promise<Counts> {
  const file = Bun.file(report);
  if (!(await file.exists())) return { passed: 0, failed: 0, skipped: 0 };
  const head = /<testsuites [^>]*>/.exec(await file.text())?.[0] ?? '';
  const number = (attribute: string): number => Number(new RegExp(`\\b${attribute}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const [tests, failed, skipped] = [number('tests'), number('failures'), number('skipped')];
  return { passed: tests - failed - skipped, failed, skipped };
}

async function compareWithBefore(): Promise<Counts> {
  const differences = compareMachines(before, await machineState());
  for (const line of differences) console.log(`the machine is not as before: ${line}`);
  if (differences.length > 0)
    failures.push(`machine: ${String(differences.length)} differences, such as ${differences.slice(0, 4).join('; ')}`);
  return differences.length === 0 ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 };
}

function record(name: string, counts: Counts): void {
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  began = performance.now();
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
  const { passed, failed, skipped } = counts;
  lines.push(
    `${failed === 0 ? 'ok  ' : 'FAIL'} ${name}: ${String(passed)} of ${String(passed + failed + skipped)} passed, ${String(skipped)} skipped, ${seconds} s`,
  );
}
