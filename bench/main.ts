/**
 * Measures Berth beside a Docker daemon with one client:
 *   npm run bench -- [--vs unix:///path/of/docker.sock] [--set engine|images|networks] [--rounds N] [--only name]… [--write docs/performance.md] [--json file]
 * Without --vs it starts Debian's dockerd itself, in network and mount namespaces that end with the run.
 */
import { networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { $ } from 'bun';
import { startDaemon, type TestDaemon } from '../test/helpers/daemon.ts';
import { startDockerd } from '../test/helpers/dockerd.ts';
import { projectRoot } from '../test/helpers/paths.ts';
import { buildMeasures } from './builds.ts';
import { imageMeasures } from './images.ts';
import { networkMeasures } from './networks.ts';
import { clientRound, clientRows, type Context, type Measure, measures as engineMeasures } from './measures.ts';
import { describeMachine, isMet, markdown, type Row, table } from './report.ts';
import { cli, processesNamed, processesOf, type Target } from './target.ts';
import { baseImage } from '../scripts/base-images.ts';

const { values: options } = parseArgs({
  options: {
    vs: { type: 'string' },
    rounds: { type: 'string', default: '10' },
    set: { type: 'string', default: 'engine' },
    only: { type: 'string', multiple: true },
    write: { type: 'string' },
    json: { type: 'string', default: '.cache/bench.json' },
    inside: { type: 'boolean', default: false },
  },
});
const sets = { engine: [...engineMeasures, ...buildMeasures], images: imageMeasures, networks: networkMeasures };
if (!(options.set in sets)) fail(`--set ${options.set}: there are ${Object.keys(sets).join(', ')}`);
const set = options.set as keyof typeof sets;
const measures = sets[set];
const rounds = Number(options.rounds);
if (!Number.isInteger(rounds) || rounds < 1) fail(`--rounds ${options.rounds}: expected a whole number from 1 up`);
const names = [...measures.map(({ name }) => name), 'client'];
for (const name of options.only ?? []) if (!names.includes(name)) fail(`--only ${name}: there are ${names.join(', ')}`);
const isWanted = (name: string): boolean => options.only === undefined || options.only.includes(name);

process.env.BERTH_TEST_BINARY ??= 'dist/berth';
if (options.vs === undefined && !options.inside) {
  // Network and mount namespaces of the run's own: bridges, rules and mounts of both daemons end with it.
  const again = [
    'unshare',
    '--net',
    '--mount',
    '--propagation',
    'private',
    process.execPath,
    import.meta.path,
    '--inside',
    ...process.argv.slice(2),
  ];
  const { exited } = Bun.spawn(again, { stdio: ['ignore', 'inherit', 'inherit'] });
  process.exit(await exited);
}
// 198.51.100.0/24 is set aside for documentation: nothing else has this address.
if (options.inside) await $`ip link set lo up && ip address add 198.51.100.1/32 dev lo && mount -t tmpfs -o mode=755 none /run`;

await baseImage('debian');
await using stack = new AsyncDisposableStack();
const daemon = stack.use(await startDaemon({ args: ['--insecure-registry', '127.0.0.0/8'], execRootInRun: options.inside }));
const docker = await dockerTarget();
const targets: readonly Target[] = [berthTarget(daemon), docker];
const context: Context = { hostAddress: hostAddress(), berthHost: daemon.host };

const rows: Row[] = [];
// Memory first: idle means that nothing was done yet.
for (const measure of measures.toSorted((a, b) => Number(b.name.startsWith('memory')) - Number(a.name.startsWith('memory')))) {
  if (isWanted(measure.name)) rows.push(...(await interleaved(measure)));
}
if (set === 'engine' && isWanted('client')) rows.push(...(await compareClients()));

const report = {
  date: new Date().toISOString().slice(0, 10),
  machine: describeMachine(),
  docker: `dockerd ${(await cli(docker, 'version', '--format', '{{.Server.Version}}')).trim()}`,
  client: `docker command line ${(await cli(docker, 'version', '--format', '{{.Client.Version}}')).trim()}`,
  rounds,
  rows,
};
console.log(`\n${report.machine}\n${report.docker}, ${report.client}\n\n${table(rows)}`);
await Bun.write(resolve(projectRoot, options.json), `${JSON.stringify(report, undefined, 2)}\n`);
if (options.write !== undefined) await Bun.write(resolve(projectRoot, options.write), markdown(report, set));
const missed = rows.filter(row => isMet(row) === false);
console.log(missed.length === 0 ? '\nevery bound is met' : `\nmissed: ${missed.map(row => row.name).join(', ')}`);

async function interleaved(measure: Measure): Promise<Row[]> {
  console.log(measure.name);
  await using prepared = new AsyncDisposableStack();
  for (const target of targets) {
    const undo = await measure.prepare?.(target, context);
    if (undo !== undefined) prepared.use(undo);
  }
  const values: Record<Target['name'], Record<string, number[]>> = { berth: {}, docker: {} };
  const count = Math.max(measure.share === 0 ? 1 : 3, Math.round(rounds * (measure.share ?? 1)));
  // One round more than counted: the first warms caches up.
  const warmUp = measure.share === 0 ? 0 : 1;
  for (let round = -warmUp; round < count; round += 1) {
    for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
      const sample = await measure.round(target, context);
      if (round >= 0) for (const [row, value] of Object.entries(sample)) (values[target.name][row] ??= []).push(value);
    }
  }
  return Object.entries(measure.rows).map(([name, { unit, atMost, limit }]) => ({
    name,
    unit,
    berth: values.berth[name] ?? [],
    docker: values.docker[name] ?? [],
    atMost,
    limit,
  }));
}

async function compareClients(): Promise<Row[]> {
  const found: Row[] = [];
  for (const { name, args, atMost } of clientRows) {
    const samples = [];
    for (let round = 0; round <= rounds * 2; round += 1) samples.push(await clientRound(args, context));
    const counted = samples.slice(1);
    found.push({
      name,
      unit: 'ms',
      berth: counted.map(({ berth }) => berth),
      docker: counted.map(sample => sample.docker),
      atMost,
      limit: undefined,
    });
  }
  return found;
}

function berthTarget(berth: TestDaemon): Target {
  return { name: 'berth', host: berth.host, processes: () => processesOf(berth.pid, berth.folder) };
}

async function dockerTarget(): Promise<Target> {
  if (options.vs === undefined) {
    const dockerd = stack.use(await startDockerd({ shareNamespaces: true, execRootInRun: options.inside }));
    return { name: 'docker', host: dockerd.host, processes: () => processesOf(dockerd.pid, dockerd.folder) };
  }
  const target: Target = {
    name: 'docker',
    host: options.vs,
    processes: () => processesNamed(/(^|\/)(dockerd|containerd|containerd-shim.*|docker-proxy)$/),
  };
  await cli(target, 'load', '-q', '-i', await baseImage('busybox'));
  return target;
}

function hostAddress(): string {
  if (options.inside) return '198.51.100.1';
  const external = Object.values(networkInterfaces())
    .flatMap(addresses => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4');
  return external?.address ?? '127.0.0.1';
}

function fail(message: string): never {
  console.error(`error: ${message}`);
  process.exit(2);
}
