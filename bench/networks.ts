import { join } from 'node:path';
import { runOk } from '../test/helpers/run.ts';
import type { Measure } from './measures.ts';
import { cli, type Target, timed } from './target.ts';

const network = 'bench-net';
const [server, client] = ['bench-server', 'bench-client'];
const lookupScript = join(import.meta.dir, 'lookups.ts');

/** Two containers on a network of their own, one of which counts what it is sent. */
async function twoContainers(target: Target): Promise<AsyncDisposable> {
  await cli(target, 'network', 'create', network);
  const counting = ['nc', '-ll', '-p', '5000', '-e', 'wc', '-c'];
  await cli(target, 'run', '-d', '--init', '--network', network, '--name', server, 'busybox', ...counting);
  await cli(target, 'run', '-d', '--init', '--network', network, '--name', client, 'busybox', 'sleep', '100000');
  return {
    async [Symbol.asyncDispose]() {
      await cli(target, 'rm', '-f', server, client);
      await cli(target, 'network', 'rm', network);
    },
  };
}

/** What a program in the container sees of its resolver. */
async function lookups(target: Target): Promise<{ readonly p99Ms: number; readonly floodMs: number }> {
  const pid = (await cli(target, 'inspect', '--format', '{{.State.Pid}}', client)).trim();
  return JSON.parse(await runOk(['nsenter', '-t', pid, '-n', process.execPath, lookupScript, server])) as {
    p99Ms: number;
    floodMs: number;
  };
}

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
    name: 'container to container',
    share: 0.5,
    rows: { '1,000 MiB from container to container': { unit: 'ms', atMost: 1 } },
    prepare: twoContainers,
    round: async target => ({
      '1,000 MiB from container to container': await timed(
        target,
        'exec',
        client,
        'sh',
        '-c',
        `dd if=/dev/zero bs=1M count=1000 2>/dev/null | nc ${server} 5000`,
      ),
    }),
  },
  {
    name: 'lookups',
    share: 0.5,
    rows: { '20,000 name lookups': { unit: 'ms', atMost: 1 }, 'name lookup, p99 at 2,000/s': { unit: 'ms', atMost: 1 } },
    prepare: twoContainers,
    round: async target => {
      const { p99Ms, floodMs } = await lookups(target);
      return { '20,000 name lookups': floodMs, 'name lookup, p99 at 2,000/s': p99Ms };
    },
  },
];
