import { cpus, release, totalmem } from 'node:os';
import { readFileSync } from 'node:fs';
import { median, largest, smallest } from './statistics.ts';

export interface Row {
  readonly name: string;
  readonly unit: 'ms' | 'µs' | 'MB';
  readonly berth: readonly number[];
  readonly docker: readonly number[];
  readonly atMost: number | undefined;
}

export interface Report {
  readonly date: string;
  readonly machine: string;
  readonly docker: string;
  readonly client: string;
  readonly rounds: number;
  readonly rows: readonly Row[];
}

export function describeMachine(): string {
  const os = /^PRETTY_NAME="(.*)"/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux';
  const cgroups = readFileSync('/proc/self/mountinfo', 'utf8').includes('/sys/fs/cgroup/memory ') ? 'cgroup v1' : 'cgroup v2';
  const processors = cpus();
  return `${os}, kernel ${release()}, ${String(processors.length)} × ${processors[0]?.model.trim() ?? 'unknown processor'}, ${(totalmem() / 2 ** 30).toFixed(0)} GB of memory, ${cgroups}`;
}

export const ratioOf = (row: Row): number => median(row.berth) / median(row.docker);

/** The row keeps within its bound; undefined when it has none. */
export const isMet = (row: Row): boolean | undefined => (row.atMost === undefined ? undefined : ratioOf(row) <= row.atMost);

export function table(rows: readonly Row[]): string {
  const header = ['measure', 'Berth', 'Docker', 'ratio', 'at most', ''];
  const lines = rows.map(row => [
    row.name,
    cell(row.berth, row.unit),
    cell(row.docker, row.unit),
    ratioOf(row).toFixed(2),
    row.atMost?.toFixed(2) ?? '–',
    { true: 'met', false: '**missed**', undefined: '' }[String(isMet(row)) as 'true' | 'false' | 'undefined'],
  ]);
  const widths = header.map((_, column) => Math.max(...[header, ...lines].map(line => line[column]?.length ?? 0)));
  const print = (line: readonly string[]): string => `| ${line.map((text, column) => text.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [print(header), `|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`, ...lines.map(print)].join('\n');
}

function cell(values: readonly number[], unit: string): string {
  const digits = median(values) < 10 ? 1 : 0;
  const range = values.length > 1 ? ` (${smallest(values).toFixed(digits)}–${largest(values).toFixed(digits)})` : '';
  return `${median(values).toFixed(digits)} ${unit}${range}`;
}

export function markdown(report: Report): string {
  return `# Performance

How Berth stands beside Docker on one machine in one run: \`npm run bench\` makes this page. Each row is the median of interleaved rounds (first one
daemon, then the other, the order changing every round) with the smallest and largest value behind it; the ratio is Berth's median divided by
Docker's. "at most" is the bound the project has set itself.

- Date: ${report.date}
- Machine: ${report.machine}
- Docker: ${report.docker}
- Client of both: ${report.client}; the rows "command line" compare Berth's own with it, both against Berth
- Rounds: ${String(report.rounds)}, expensive rows fewer

${table(report.rows)}

Memory is the proportional set size (\`smaps_rollup\`) of the daemon, its helpers and the monitors of its containers; what runs in the containers is
not counted. Each figure is the lowest of ten readings, one a second, that begin ten seconds after the last work: pages of programs come and go in between.
Per container is the growth for 20, of a daemon that has had 20 before, in several rounds. Both daemons run in network and mount namespaces made for the
measurement, what belongs to this boot on a tmpfs as below /run, unless \`--vs\` names a daemon that was running already.
"run --rm" starts \`true\` in a busybox image; the image of load, save, push and pull is Debian 12 (minbase, about 80 MB) and the registry is Debian's
docker-registry on the loopback interface. Berth's own registry has a page of its own: [performance-registry.md](performance-registry.md).
`;
}
