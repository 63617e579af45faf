/**
 * The long soak: `npm run soak -- [--containers 1000] [--clients 8] [--seed N] [--limit minutes] [--write docs/reliability.md]`. Containers of every kind
 * are started, asked, ended and removed by parallel clients while the daemon is killed at random; then one daemon does the last part undisturbed.
 */
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { startDaemon } from '../test/helpers/daemon.ts';
import { remains, soak, type SoakReport } from '../test/e2e/soak/soak.ts';

const { values } = parseArgs({
  options: {
    containers: { type: 'string', default: '1000' },
    clients: { type: 'string', default: '8' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    limit: { type: 'string', default: '60' },
    write: { type: 'string' },
  },
});
const [containers, clients, seed, limitMinutes] = [values.containers, values.clients, values.seed, values.limit].map(text => {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) {
    console.error(`error: ${text} is not a whole number from 1 up`);
    process.exit(2);
  }
  return number;
}) as [number, number, number, number];

process.env.BERTH_TEST_BINARY ??= 'dist/berth';
console.log(`soak: ${String(containers)} containers, ${String(clients)} clients, seed ${String(seed)}`);
let report: SoakReport;
{
  // Disposing it checks that no mount, interface, cgroup, rule or process of it is left.
  await using daemon = await startDaemon();
  let told = 0;
  report = await soak(daemon, {
    containers,
    clients,
    seed,
    lifeMs: [100, 2500],
    limitMs: limitMinutes * 60_000,
    onProgress: (done, kills) => {
      if (done < told + 50) return;
      told = done;
      console.log(`${String(done)} containers done, ${String(kills)} kills`);
    },
  });
  const left = await remains(daemon);
  if (left.length > 0) throw new Error(`left behind:\n${left.join('\n')}`);
}
const rows = table(report);
console.log(`\n${rows}`);
if (values.write !== undefined) await write(values.write, rows);

function table(seen: SoakReport): string {
  const figures: readonly (readonly [string, string])[] = [
    ['containers started, asked, ended and removed', String(seen.containers)],
    ['commands answered in them', String(seen.execs)],
    ['kills of the daemon (SIGKILL)', String(seen.kills)],
    ['requests that a dying daemon left unanswered, asked again', String(seen.lostAnswers)],
    ['things the daemon repaired at its starts', String(seen.repairs)],
    [
      'from a kill until the next daemon answers',
      `median ${String(seen.recoveryMs.median)} ms, longest ${String(seen.recoveryMs.longest)} ms`,
    ],
    ['containers, exit codes, log lines or acknowledged changes lost', '0'],
    ['mounts, interfaces, cgroups, rules, processes, folders left', '0'],
    ['memory of the last daemon before and after its share', seen.megabytes.map(megabytes => `${String(megabytes)} MB`).join(', ')],
    ['its open descriptors before and after', seen.descriptors.join(', ')],
    ['database at the end', `${(seen.databaseBytes / 1024 / 1024).toFixed(1)} MB`],
    ['time', `${String(seen.seconds)} s`],
  ];
  const width = Math.max(...figures.map(([what]) => what.length));
  const line = (what: string, figure: string): string => `| ${what.padEnd(width)} | ${figure} |`;
  return [line('what', 'figure'), `|${'-'.repeat(width + 2)}|---|`, ...figures.map(([what, figure]) => line(what, figure))].join('\n');
}

/** Puts the table and the circumstances between the marks of the page. */
async function write(path: string, rowsText: string): Promise<void> {
  const page = await Bun.file(path).text();
  const [begin, end] = ['<!-- soak -->', '<!-- /soak -->'];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${path} has no ${begin} … ${end}`);
  const machine = `${String(cpus().length)} × ${cpus()[0]?.model ?? 'unknown processor'}, ${(totalmem() / 1e9).toFixed(0)} GB of memory`;
  const head = `${new Date().toISOString().slice(0, 10)}, ${machine}, ${String(clients)} clients, seed ${String(seed)}:`;
  await Bun.write(path, `${page.slice(0, from + begin.length)}\n${head}\n\n${rowsText}\n${page.slice(to)}`);
}
