import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { dockerCommand } from '../test/helpers/docker-cli.ts';
import { eventually } from '../test/helpers/eventually.ts';
import { berthCommand } from '../test/helpers/paths.ts';
import { freePort } from '../test/helpers/registry.ts';
import { cli, pssMb, type Target, timed, timedCommand } from './target.ts';

/** What one round yields: values by the name of the row they belong to. */
export type Sample = Readonly<Record<string, number>>;

export interface Measure {
  /** What `--only` selects. */
  readonly name: string;
  /** Rows of the table, each with the ratio it must not exceed, or the value itself, if one was set. */
  readonly rows: Readonly<Record<string, { readonly unit: 'ms' | 'MB' | 'times'; readonly atMost?: number; readonly limit?: number }>>;
  /** Part of the rounds that were asked for: expensive measures take fewer. */
  readonly share?: number;
  /** Once per daemon before the first round; disposing what it returns undoes it. */
  prepare?(target: Target, context: Context): Promise<AsyncDisposable | undefined>;
  round(target: Target, context: Context): Promise<Sample>;
}

export interface Context {
  /** An address of this machine other than the loopback ones. */
  readonly hostAddress: string;
  readonly berthHost: string;
}

const twenty = Array.from({ length: 20 }, (_, i) => `bench-${String(i)}`);
const sleep = ['--init=false', 'busybox', 'sleep', '100000'];

export const measures: readonly Measure[] = [
  run('run bridge', [], 1 / 5),
  run('run none', ['--network', 'none'], 1 / 5),
  run('run host', ['--network', 'host'], 1 / 4),
  {
    name: 'run publish',
    rows: { 'run --rm -p': { unit: 'ms' } },
    round: async target => ({
      'run --rm -p': await timed(target, 'run', '--rm', '-p', `127.0.0.1:${String(await freePort())}:80`, 'busybox', 'true'),
    }),
  },
  {
    name: 'exec',
    rows: { exec: { unit: 'ms', atMost: 1 / 2 } },
    prepare: target => running(target, ['bench-exec']),
    round: async target => ({ exec: await timed(target, 'exec', 'bench-exec', 'true') }),
  },
  {
    name: 'parallel',
    share: 0.5,
    rows: { '20 parallel starts': { unit: 'ms', atMost: 1 / 3 }, 'removal of 20': { unit: 'ms', atMost: 1 / 3 } },
    round: async target => {
      const start = performance.now();
      await Promise.all(twenty.map(name => timed(target, 'run', '-d', '--name', name, ...sleep)));
      const starts = performance.now() - start;
      return { '20 parallel starts': starts, 'removal of 20': await timed(target, 'rm', '-f', ...twenty) };
    },
  },
  ps('ps 20', 20),
  ps('ps 200', 200),
  {
    name: 'stdout',
    share: 0.5,
    rows: { '64 MB through stdout': { unit: 'ms', atMost: 1 } },
    prepare: async () => {
      const folder = await mkdtemp('/tmp/berth-o-');
      await Bun.write(join(folder, 'lines'), `${'x'.repeat(99)}\n`.repeat((64 * 1024 * 1024) / 100));
      outputFolder = folder;
      return { [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
    },
    round: async target => ({
      '64 MB through stdout': await timed(target, 'run', '--rm', '-v', `${outputFolder}:/out:ro`, 'busybox', 'cat', '/out/lines'),
    }),
  },
  {
    name: 'port',
    share: 0.5,
    rows: { '256 MB into a published port, 127.0.0.1': { unit: 'ms' }, '256 MB into a published port, host address': { unit: 'ms' } },
    prepare: async target => {
      const count = ['nc', '-ll', '-p', '5000', '-e', 'wc', '-c'];
      await cli(target, 'run', '-d', '--init', '--name', 'bench-port', '-p', '5000', 'busybox', ...count);
      return removing(target, ['bench-port']);
    },
    round: async (target, { hostAddress }) => {
      const port = Number((await cli(target, 'port', 'bench-port', '5000')).split('\n')[0]?.split(':').at(-1));
      return {
        '256 MB into a published port, 127.0.0.1': await send('127.0.0.1', port),
        '256 MB into a published port, host address': await send(hostAddress, port),
      };
    },
  },
  {
    name: 'memory',
    share: 0,
    rows: { 'memory, idle': { unit: 'MB', atMost: 1 / 2 } },
    round: async target => ({ 'memory, idle': await restingMb(target) }),
  },
  {
    name: 'memory per container',
    share: 0.2,
    rows: { 'memory, per running container': { unit: 'MB', atMost: 1 / 4 } },
    // What the first containers make a daemon load and keep is not theirs: the round that is not counted has had them.
    round: async target => {
      const without = await restingMb(target);
      await using _containers = await running(target, twenty);
      return { 'memory, per running container': ((await restingMb(target)) - without) / twenty.length };
    },
  },
];

/** Our command line beside the stock one, both against Berth: here the two columns are two clients, not two daemons. */
export const clientRows: readonly { readonly name: string; readonly args: readonly string[]; readonly atMost: number }[] = [
  { name: 'command line: version', args: ['version'], atMost: 1 },
  { name: 'command line: ps', args: ['ps'], atMost: 1 },
];

export async function clientRound(args: readonly string[], { berthHost }: Context): Promise<{ berth: number; docker: number }> {
  return {
    berth: await timedCommand(berthHost, [...berthCommand(), ...args]),
    docker: await timedCommand(berthHost, [...dockerCommand(), ...args]),
  };
}

/** Go's and ours give memory back some seconds after work. */
const settlingMs = 10_000;
const readings = 10;

let outputFolder = '';

function run(name: string, flags: readonly string[], atMost: number): Measure {
  const row = `run --rm ${flags.join(' ')}`.trim();
  return {
    name,
    rows: { [row]: { unit: 'ms', atMost } },
    round: async target => ({ [row]: await timed(target, 'run', '--rm', ...flags, 'busybox', 'true') }),
  };
}

function ps(name: string, count: number): Measure {
  const row = `ps -a with ${String(count)} containers`;
  return {
    name,
    rows: { [row]: { unit: 'ms' } },
    prepare: async target => {
      const names = Array.from({ length: count }, (_, i) => `bench-ps-${String(i)}`);
      for (let at = 0; at < names.length; at += 10) {
        await Promise.all(names.slice(at, at + 10).map(one => cli(target, 'create', '--name', one, 'busybox', 'true')));
      }
      return removing(target, names);
    },
    round: async target => ({ [row]: await timed(target, 'ps', '-a') }),
  };
}

async function running(target: Target, names: readonly string[]): Promise<AsyncDisposable> {
  for (const name of names) await cli(target, 'run', '-d', '--name', name, ...sleep);
  return removing(target, names);
}

function removing(target: Target, names: readonly string[]): AsyncDisposable {
  return { [Symbol.asyncDispose]: async () => void (await cli(target, 'rm', '-f', ...names)) };
}

/** Memory once it has stopped falling, as both daemons give some back a while after work: the lowest of ten readings, one a second: pages of programs, which cost nothing to let go, come and go in between by the megabyte. */
export async function restingMb(target: Target): Promise<number> {
  await Bun.sleep(settlingMs);
  let lowest = Number.POSITIVE_INFINITY;
  for (let reading = 0; reading < readings; reading += 1) {
    await Bun.sleep(1000);
    lowest = Math.min(lowest, pssMb(target.processes()));
  }
  return lowest;
}

/** Sends 256 MB to a port and waits until the other side has said that it read all of it. */
async function send(host: string, port: number): Promise<number> {
  const chunk = new Uint8Array(1024 * 1024);
  const start = await eventually('the port accepts', async () => {
    const began = performance.now();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.once('error', reject);
    let said = '';
    socket.on('data', data => (said += String(data)));
    socket.once('close', () => resolve());
    socket.on('end', () => socket.destroy());
    socket.once('connect', () => void fill(socket, chunk).catch(reject));
    await promise;
    return said.trim() === String(256 * chunk.length) ? began : undefined;
  });
  return performance.now() - start;
}

async function fill(socket: ReturnType<typeof connect>, chunk: Uint8Array): Promise<void> {
  for (let sent = 0; sent < 256; sent += 1) {
    if (!socket.write(chunk)) await new Promise<void>(resolve => socket.once('drain', resolve));
  }
  socket.end();
}
