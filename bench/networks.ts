import { join } from 'node:path';
import { runOk } from '../test/helpers/run.ts';
import { type Measure, restingMb } from './measures.ts';
import { median } from './statistics.ts';
import { cli, type Target, timed } from './target.ts';

const network = 'bench-net';
const [server, client] = ['bench-server', 'bench-client'];
const mebibytes = 1000;
const insidePort = 5000;
const sleeping = ['--init=false', 'busybox', 'sleep', '100000'];
const lookupScript = join(import.meta.dir, 'lookups.ts');
const transferScript = join(import.meta.dir, 'transfer.ts');

const inside = async (target: Target, container: string): Promise<string[]> => [
  ...['nsenter', '--target', (await cli(target, 'inspect', '--format', '{{.State.Pid}}', container)).trim(), '--net'],
];

/** Two containers on a network of their own. In the first one's network somebody counts what he is sent: tools of small images would be what is measured. */
async function twoContainers(target: Target): Promise<AsyncDisposable> {
  await cli(target, 'network', 'create', network);
  const publish = ['-p', `0.0.0.0::${String(insidePort)}`];
  await cli(target, 'run', '-d', '--network', network, ...publish, '--name', server, ...sleeping);
  await cli(target, 'run', '-d', '--network', network, '--name', client, ...sleeping);
  const command = [...(await inside(target, server)), process.execPath, transferScript, 'receive', String(insidePort)];
  const receiver = Bun.spawn(command, { stdio: ['ignore', 'pipe', 'inherit'] });
  await receiver.stdout.getReader().read();
  return {
    async [Symbol.asyncDispose]() {
      receiver.kill();
      await receiver.exited;
      await cli(target, 'rm', '-f', server, client);
      await cli(target, 'network', 'rm', network);
    },
  };
}

async function send(where: readonly string[], host: string, port: number): Promise<number> {
  const command = [...where, process.execPath, transferScript, 'send', host, String(port), String(mebibytes)];
  return Number(await runOk(command));
}

const addressOf = async (target: Target): Promise<string> =>
  (await cli(target, 'inspect', '--format', `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`, server)).trim();

const publishedPort = async (target: Target): Promise<number> =>
  Number((await cli(target, 'port', server, String(insidePort))).trim().split(':').at(-1));

/** What a program in the container sees of its resolver. */
async function lookups(target: Target): Promise<{ readonly p99Ms: number; readonly floodMs: number }> {
  const command = [...(await inside(target, client)), process.execPath, lookupScript, server];
  return JSON.parse(await runOk(command)) as { p99Ms: number; floodMs: number };
}

const attempts = 10;
/** How many starts are under way at once while the crowd comes. */
const together = 10;

/** Milliseconds until one more container of this network runs. */
async function oneMore(target: Target): Promise<number> {
  const samples: number[] = [];
  for (let round = 0; round <= attempts; round += 1) {
    await cli(target, 'create', '--name', 'bench-more', '--network', network, ...sleeping);
    samples.push(await timed(target, 'start', 'bench-more'));
    await cli(target, 'rm', '-f', 'bench-more');
  }
  return median(samples.slice(1));
}

async function fill(target: Target, names: string[], count: number): Promise<void> {
  while (names.length < count) {
    const more = Array.from({ length: Math.min(together, count - names.length) }, (_, i) => `bench-crowd-${String(names.length + i)}`);
    names.push(...more);
    await Promise.all(more.map(name => cli(target, 'run', '-d', '--network', network, '--name', name, ...sleeping)));
  }
}

async function startAmong(target: Target): Promise<{ readonly few: number; readonly many: number }> {
  const names: string[] = [];
  await cli(target, 'network', 'create', network);
  try {
    await fill(target, names, 5);
    const few = await oneMore(target);
    await fill(target, names, 500);
    return { few, many: await oneMore(target) };
  } finally {
    for (let at = 0; at < names.length; at += together) await cli(target, 'rm', '-f', ...names.slice(at, at + together));
    await cli(target, 'network', 'rm', network);
  }
}

const range = '20000-24999';
/** A published port keeps the process that holds ports there before and after. */
async function keepPort(target: Target): Promise<AsyncDisposable> {
  await cli(target, 'run', '-d', '--name', 'bench-port', '-p', '19999:80', ...sleeping);
  return { [Symbol.asyncDispose]: async () => void (await cli(target, 'rm', '-f', 'bench-port')) };
}

/** Some rows are Berth's alone. */
const isDocker = (target: Target): boolean => target.name === 'docker';

export const networkMeasures: readonly Measure[] = [
  {
    name: 'network',
    rows: { 'network create and rm': { unit: 'ms', atMost: 1 / 3 } },
    round: async target => ({
      'network create and rm':
        (await timed(target, 'network', 'create', 'bench-one')) + (await timed(target, 'network', 'rm', 'bench-one')),
    }),
  },
  {
    name: 'throughput',
    share: 0.5,
    rows: {
      '1,000 MiB from container to container': { unit: 'ms', atMost: 1 },
      '1,000 MiB into a published port, host address': { unit: 'ms', atMost: 1 },
      '1,000 MiB into a published port, 127.0.0.1': { unit: 'ms', atMost: 1 },
    },
    prepare: twoContainers,
    round: async (target, { hostAddress }) => {
      const port = await publishedPort(target);
      return {
        '1,000 MiB from container to container': await send(await inside(target, client), await addressOf(target), insidePort),
        '1,000 MiB into a published port, host address': await send([], hostAddress, port),
        '1,000 MiB into a published port, 127.0.0.1': await send([], '127.0.0.1', port),
      };
    },
  },
  {
    name: 'lookups',
    share: 0.5,
    rows: { '20,000 name lookups': { unit: 'ms', atMost: 1 }, 'name lookup, p99 at 2,000/s': { unit: 'ms', limit: 5 } },
    prepare: twoContainers,
    round: async target => {
      const { p99Ms, floodMs } = await lookups(target);
      return { '20,000 name lookups': floodMs, 'name lookup, p99 at 2,000/s': p99Ms };
    },
  },
  {
    name: 'start among many',
    share: 0,
    rows: {
      'start with 5 containers on networks': { unit: 'ms' },
      'start with 500 containers on networks': { unit: 'ms' },
      'start with 500 against 5': { unit: 'times', limit: 1.3 },
    },
    round: async target => {
      if (isDocker(target)) return {};
      const { few, many } = await startAmong(target);
      return {
        'start with 5 containers on networks': few,
        'start with 500 containers on networks': many,
        'start with 500 against 5': many / few,
      };
    },
  },
  {
    name: 'range',
    share: 0.5,
    rows: { 'run -d -p with 5,000 ports': { unit: 'ms', limit: 200 }, 'memory of 5,000 ports': { unit: 'MB', limit: 1 } },
    prepare: async target => (isDocker(target) ? undefined : await keepPort(target)),
    round: async target => {
      if (isDocker(target)) return {};
      const before = await restingMb(target);
      const ms = await timed(target, 'run', '-d', '--name', 'bench-range', '-p', `${range}:${range}`, ...sleeping);
      const more = (await restingMb(target)) - before;
      await cli(target, 'rm', '-f', 'bench-range');
      return { 'run -d -p with 5,000 ports': ms, 'memory of 5,000 ports': more };
    },
  },
];
