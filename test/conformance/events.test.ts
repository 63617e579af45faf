import { expect } from 'bun:test';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { type Dockerd, startDockerd } from '#test/helpers/dockerd.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'dockerd');

type Engine = TestDaemon | Dockerd;

interface Event {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
  readonly status?: string;
  readonly id?: string;
  readonly from?: string;
  readonly scope: string;
  readonly time: number;
  readonly timeNano: number;
}

const loop = ['sh', '-c', 'trap "exit 0" TERM; trap : HUP; touch /ready; while :; do sleep 0.05; done'];
/** Only then does it end in order. */
const untilReady = ['sh', '-c', 'until rm /ready 2>/dev/null; do :; done'];
const hungry = ['sh', '-c', 'x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done'];

/** The same words to both engines, one after the other. What fails must fail at both. */
const commands: readonly (readonly string[])[] = [
  ['create', '--name', 'c1', '-l', 'a=b', '-v', 'v1:/data', 'busybox', ...loop],
  ['start', 'c1'],
  ['exec', 'c1', ...untilReady],
  ['start', 'c1'],
  ['exec', 'c1', 'true'],
  ['exec', 'c1', 'sh', '-c', 'exit 3'],
  ['exec', 'c1', 'no-such-program'],
  ['top', 'c1'],
  ['rename', 'c1', 'c2'],
  ['pause', 'c2'],
  ['unpause', 'c2'],
  ['kill', '-s', 'HUP', 'c2'],
  ['update', '--cpu-shares', '512', 'c2'],
  ['logs', 'c2'],
  ['start', 'c2'],
  ['restart', '-t', '9', 'c2'],
  ['exec', 'c2', ...untilReady],
  ['stop', '-t', '9', 'c2'],
  ['stop', 'c2'],
  ['rm', 'c2'],
  ['run', '--rm', '--name', 'c3', 'busybox', 'true'],
  ['run', '--name', 'c4', '-m', '8m', '--memory-swap', '8m', 'busybox', ...hungry],
  ['run', '-d', '--name', 'c5', 'busybox', ...loop],
  ['pause', 'c5'],
  ['kill', 'c5'],
  ['wait', 'c5'],
  ['run', '--name', 'c6', 'busybox', 'no-such-program'],
  ['run', '-d', '--name', 'c7', '--restart', 'on-failure:1', 'busybox', 'sh', '-c', 'exit 4'],
  ['wait', 'c7'],
  ['container', 'prune', '-f', '--filter', 'label=nothing'],
  ['rm', 'c4'],
  ['rm', 'c5'],
  ['rm', 'c6'],
  ['network', 'create', '--label', 'n=m', 'net1'],
  ['run', '-d', '--name', 'c8', '--network', 'net1', 'busybox', ...loop],
  ['network', 'connect', 'bridge', 'c8'],
  ['network', 'disconnect', 'bridge', 'c8'],
  ['rm', '-f', 'c8'],
  ['network', 'rm', 'net1'],
  ['network', 'create', 'net2'],
  ['network', 'prune', '-f'],
  ['volume', 'create', '--label', 'x=y', 'v2'],
  ['volume', 'create', 'v2'],
  ['run', '--rm', '--name', 'c9', '-v', 'v2:/data:ro', 'busybox', 'true'],
  ['volume', 'rm', 'v2'],
  ['volume', 'prune', '-f'],
  ['tag', 'busybox', 'other:1'],
  ['rmi', 'other:1'],
  ['image', 'prune', '-f'],
];

/** What a container's end brings with it may still be going on when the command has returned; c7 ends twice. */
async function settled({ api }: Engine): Promise<void> {
  await eventually('nothing is ending', async () => {
    const listed = await api.expect<{ State: string; Names: string[] }[]>('GET', '/containers/json?all=1');
    return listed.every(({ State, Names }) => !['restarting', 'removing', ...(Names[0] === '/c7' ? ['running'] : [])].includes(State));
  });
}

async function eventsOf(engine: Engine): Promise<{ readonly said: (readonly [string, number])[]; readonly events: readonly Event[] }> {
  const since = (Date.now() / 1000).toFixed(3);
  const said: (readonly [string, number])[] = [];
  for (const command of commands) {
    const { exitCode } = await engine.docker(command);
    // Newer ones than this dockerd tell a program that is not there from one that cannot run.
    said.push([command.join(' '), exitCode === 127 ? 126 : exitCode]);
    await settled(engine);
  }
  const { text } = await engine.api.get(`/events?since=${since}&until=${(Date.now() / 1000 + 0.001).toFixed(3)}`);
  const lines = text.split('\n').filter(line => line.trim() !== '');
  return { said, events: lines.map(line => JSON.parse(line) as Event) };
}

/** Without times, and with names for ids in the order in which they came. */
function normalized(events: readonly Event[]): string[] {
  const names = new Map<string, string>();
  const named = (text: string): string =>
    text.replace(/[0-9a-f]{64}/g, id => {
      if (!names.has(id)) names.set(id, `<${String(names.size)}>`);
      return names.get(id) ?? id;
    });
  const lines = events.map(({ Type, Action, Actor, status, id, from, scope }) => {
    // How long a run took is newer than this dockerd, and no two are the same.
    const attributes = Object.entries(Actor.Attributes ?? {}).filter(([key]) => key !== 'execDuration');
    return named(JSON.stringify([Type, Action, Actor.ID, Object.fromEntries(attributes.toSorted()), { status, id, from, scope }]));
  });
  // This dockerd tells of some things again that changed nothing: newer ones do not.
  return lines.filter((line, i) => line !== lines[i - 1]);
}

describe('events', () => {
  test('are those of dockerd: the same actions in the same order, with the same attributes', async () => {
    await using dockerd = await startDockerd();
    await using daemon = await startDaemon({ comparesMachine: false });
    const [theirs, ours] = [await eventsOf(dockerd), await eventsOf(daemon)];
    expect(ours.said).toEqual(theirs.said);
    expect(normalized(ours.events)).toEqual(normalized(theirs.events));
    const times = ours.events.map(({ timeNano }) => timeNano);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    for (const { time, timeNano } of ours.events) expect(time).toBe(Math.floor(timeNano / 1e9));
  }, 240_000);
});
