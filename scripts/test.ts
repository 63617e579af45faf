/**
 * Runs the test suites one after the other and counts them all: `bun scripts/test.ts [suite…]`. Compares the machine before and after; a
 * difference is a failed test. Failed tests are run once more by themselves, when they are few: what fails then has failed, what passes then is named
 * as unsteady, to be mended. Where tests look for faults at random, what one run has found counts. The last line is `N passed, N failed, N skipped`.
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

interface Outcome extends Counts {
  /** Each failed test with its reason. */
  readonly failures: readonly string[];
  /** Their names as `bun test -t` compares them, and the files they are in. */
  readonly failedTests: ReadonlyMap<string, string>;
}

/** Tests that find another fault each time, or none. */
const looksAtRandom = (path: string): boolean => path.endsWith('.fuzz.test.ts') || path.includes('/e2e/soak/');

/** When more fail than this something is broken, not unsteady. */
const maxTriedAgain = 6;

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
/** What failed first and passed when it was run by itself. */
const unsteady: string[] = [];
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
for (const failure of unsteady) console.log(`unsteady, passed the second time: ${failure}`);
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
  const first = await runTests(name, [`./${path}`]);
  const { failedTests } = first;
  const isFinal = [...failedTests.values()].some(looksAtRandom);
  if (isFinal || failedTests.size === 0 || failedTests.size > maxTriedAgain || failedTests.size < first.failed) {
    failures.push(...first.failures);
    return first;
  }
  console.log(`\n==== ${name}, once more: ${[...failedTests.keys()].join(', ')} ====`);
  const names = [...failedTests.keys()].map(text => text.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  const second = await runTests(name, [...new Set(failedTests.values())], ['-t', `(${names.join('|')})$`]);
  failures.push(...second.failures);
  if (second.failed === 0) unsteady.push(...first.failures);
  return { passed: first.passed + first.failed - second.failed, failed: second.failed, skipped: first.skipped };
}

async function runTests(suite: string, paths: readonly string[], filter: readonly string[] = []): Promise<Outcome> {
  const report = join(reports, `${suite}.xml`);
  await rm(report, { force: true });
  const command = [bun, 'test', ...paths, ...filter, '--timeout', '120000', '--reporter=junit', `--reporter-outfile=${report}`];
  const run = Bun.spawn(command, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'pipe'],
    env: {
      ...process.env,
      BERTH_TEST_BINARY: process.env.BERTH_TEST_BINARY ?? 'dist/berth',
      BERTH_TEST_ALONE: process.env.BERTH_TEST_ALONE ?? '1',
    },
  });
  const failed = await passOn(suite, run.stderr);
  const exitCode = await run.exited;
  const { failedTests, ...counts } = await readReport(report);
  // A test file that does not even load, or a hook that fails, shows in the exit code only.
  if (exitCode !== 0 && counts.failed === 0) counts.failed = 1;
  return { ...counts, failures: failed, failedTests };
}

/** Prints what a run of tests prints; its failures. */
async function passOn(suite: string, output: ReadableStream<Uint8Array>): Promise<string[]> {
  const found: string[] = [];
  const decoder = new TextDecoder();
  let rest = '';
  let reason = '';
  let summed = false;
  const look = (line: string): void => {
    // Bun repeats all failures after the last test.
    summed ||= / tests? failed:$/.test(line);
    if (line.startsWith('error: ')) reason ||= line;
    if (line.startsWith('(fail) ') && !summed) found.push(`${suite}: ${line}${reason === '' ? '' : `\n  ${reason}`}`);
    if (/^\((pass|fail|skip)\) /.test(line)) reason = '';
  };
  for await (const bytes of output) {
    process.stdout.write(bytes);
    const read = (rest + decoder.decode(bytes, { stream: true })).split('\n');
    rest = read.pop() ?? '';
    for (const line of read) look(line);
  }
  return found;
}

async function readReport(report: string): Promise<Counts & Pick<Outcome, 'failedTests'>> {
  const file = Bun.file(report);
  if (!(await file.exists())) return { passed: 0, failed: 0, skipped: 0, failedTests: new Map() };
  const text = await file.text();
  const head = /<testsuites [^>]*>/.exec(text)?.[0] ?? '';
  const number = (attribute: string): number => Number(new RegExp(`\\b${attribute}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const [tests, failed, skipped] = [number('tests'), number('failures'), number('skipped')];
  const failedCases = text.matchAll(/<testcase name="([^"]*)"[^>]*\bfile="([^"]+)"[^>]*>\s*<failure/g);
  const failedTests = new Map([...failedCases].map(([, name = '', path = '']) => [plain(name), `./${path}`]));
  return { passed: tests - failed - skipped, failed, skipped, failedTests };
}

/** Text of an attribute in XML. */
function plain(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&apos;', "'").replaceAll('&amp;', '&');
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
