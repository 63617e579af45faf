import { cpus, release, totalmem } from 'node:os';
import { readFileSync } from 'node:fs';
import { median, largest, smallest } from './statistics.ts';

export interface Row {
  readonly name: string;
  readonly unit: 'ms' | 'µs' | 'MB' | 'times';
  readonly berth: readonly number[];
  readonly docker: readonly number[];
  /** As a ratio to Docker. */
  readonly atMost: number | undefined;
  /** Of Berth alone, in the row's unit. */
  readonly limit?: number | undefined;
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
export function isMet(row: Row): boolean | undefined {
  if (row.limit !== undefined) return median(row.berth) <= row.limit;
  return row.atMost === undefined ? undefined : ratioOf(row) <= row.atMost;
}

export function table(rows: readonly Row[]): string {
  const header = ['measure', 'Berth', 'Docker', 'ratio', 'at most', ''];
  const lines = rows.map(row => [
    row.name,
    cell(row.berth, row.unit),
    cell(row.docker, row.unit),
    row.docker.length === 0 ? '–' : ratioOf(row).toFixed(2),
    row.limit === undefined ? (row.atMost?.toFixed(2) ?? '–') : `${String(row.limit)} ${row.unit}`,
    { true: 'met', false: '**missed**', undefined: '' }[String(isMet(row)) as 'true' | 'false' | 'undefined'],
  ]);
  const widths = header.map((_, column) => Math.max(...[header, ...lines].map(line => line[column]?.length ?? 0)));
  const print = (line: readonly string[]): string => `| ${line.map((text, column) => text.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [print(header), `|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`, ...lines.map(print)].join('\n');
}

function cell(values: readonly number[], unit: string): string {
  if (values.length === 0) return '–';
  const digits = median(values) < 10 ? 1 : 0;
  const range = values.length > 1 ? ` (${smallest(values).toFixed(digits)}–${largest(values).toFixed(digits)})` : '';
  return `${median(values).toFixed(digits)} ${unit}${range}`;
}

const pages = {
  engine: {
    title: 'Performance',
    command: 'npm run bench',
    notes: `Memory is the proportional set size (\`smaps_rollup\`) of the daemon, its helpers and the monitors of its containers; what runs in the containers is
not counted. Each figure is the lowest of ten readings, one a second, that begin ten seconds after the last work: pages of programs come and go in between.
Per container is the growth for 20, of a daemon that has had 20 before, in several rounds. Both daemons run in network and mount namespaces made for the
measurement, what belongs to this boot on a tmpfs as below /run, unless \`--vs\` names a daemon that was running already.
"run --rm" starts \`true\` in a busybox image. Images have a page of their own, [performance-images.md](performance-images.md), and so have networks,
[performance-networks.md](performance-networks.md), and Berth's registry: [performance-registry.md](performance-registry.md).`,
  },
  networks: {
    title: 'Performance of networks',
    command: 'npm run bench -- --set networks --write docs/performance-networks.md',
    notes: `What is sent and asked is sent and asked by programs of the benchmark's own in the network namespaces of the containers: tools of small images would be
the slowest part. A transfer ends when the other side has said that it has everything. The port is published for IPv4; for 127.0.0.1 Docker's way is its
userland proxy. Rows without a figure for Docker are Berth's alone: a dockerd with its usual settings starts two processes for each of 5,000 ports, and 500 of its
containers take more memory than the machine has. "run -d -p" is the whole command; memory is the growth of the daemon and the process that holds the
ports (proportional set size), for a daemon that held another port before. The kernel's own memory, about 4 KB for each port's socket, is not in it.
Bounds with a unit are for Berth alone. What single steps cost is told by \`bench/network-scale.ts\`.`,
  },
  images: {
    title: 'Performance of images',
    command: 'npm run bench -- --set images --write docs/performance-images.md',
    notes: `The registry is Debian's docker-registry on the loopback interface, the same process for both daemons in a round of the large layer and a new one in each
other round; every pull is into a store without the image. 80 MB is Debian 12 (minbase); the other layers hold bytes that do not get smaller, the small
files 512 of them each. Peak memory is the largest sum of proportional set sizes of the daemon and its helpers, read four times a second. \`_ping\` and
\`ps\` (\`GET /containers/json\`) are asked forty times a second each meanwhile, by the process that also measures the memory; a bound with a unit is for Berth
alone.`,
  },
} as const;

export function markdown(report: Report, set: keyof typeof pages): string {
  const { title, command, notes } = pages[set];
  const clients = set === 'engine' ? '; the rows "command line" compare Berth\'s own with it, both against Berth' : '';
  return `# ${title}

How Berth stands beside Docker on one machine in one run: \`${command}\` makes this page. Each row is the median of interleaved rounds (first one
daemon, then the other, the order changing every round) with the smallest and largest value behind it; the ratio is Berth's median divided by
Docker's. "at most" is the bound the project has set itself.

- Date: ${report.date}
- Machine: ${report.machine}
- Docker: ${report.docker}
- Client of both: ${report.client}${clients}
- Rounds: ${String(report.rounds)}, expensive rows fewer

${table(report.rows)}

${notes}
`;
}
