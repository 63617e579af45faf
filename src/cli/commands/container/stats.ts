import { messageOf } from '#base/errors.ts';
import { shortId } from '#base/id.ts';
import type { Client } from '#client/client.ts';
import type { Cli } from '../../cli.ts';
import { anyArgs, defineCommand } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { bool, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { formatList } from '../../output/list.ts';
import { UsageBoard } from './usage-board.ts';
import { usageView } from './usage-view.ts';

const frameMs = 500;
const home = '\x1b[H';
const clearRestOfLine = '\x1b[K';
const clearBelow = '\x1b[J';

export const command = defineCommand({
  usage: '[OPTIONS] [CONTAINER...]',
  names: ['container stats', 'stats'],
  short: 'Show what containers use, as it changes',
  args: anyArgs,
  flags: {
    all: bool('Show stopped containers too', { short: 'a' }),
    format: text(formatUsage('table')),
    'no-stream': bool('Show it once and end'),
    'no-trunc': bool('Do not shorten anything'),
  },
  async run(cli, { flags, args }) {
    const client = await cli.client();
    const format = flags.format !== '' ? flags.format : ((await cli.config()).values.statsFormat ?? '');
    using board = new UsageBoard(client.containers, { stream: !flags['no-stream'] });
    const isOver = args.length === 0 ? await followAll(client, board, flags.all) : await follow(board, args);
    const render = (): Promise<string> => formatList(usageView(!flags['no-trunc']), board.rows(), { format });
    if (flags['no-stream']) cli.out.write(await render());
    else await drawUntil(isOver, cli, render);
  },
});

type IsOver = () => boolean;

async function follow(board: UsageBoard, names: readonly string[]): Promise<IsOver> {
  for (const name of names) board.add(name);
  await board.firstReports();
  const failures = board.failures();
  if (failures.length > 0) throw new ExitError(1, failures.map(messageOf).join('\n'));
  return () => false;
}

/** Puts every container on the board, and takes them on and off as they come and go. It is over when the daemon goes. */
async function followAll(client: Client, board: UsageBoard, all: boolean): Promise<IsOver> {
  const adding: readonly string[] = all ? ['start', 'create'] : ['start'];
  const removing: readonly string[] = all ? ['destroy'] : ['destroy', 'die'];
  let isOver = false;
  // Asked for before the list, so that nothing in between is missed.
  const events = await client.system.events({ filters: { type: ['container'] }, signal: board.signal });
  for (const { Id } of await client.containers.list({ all })) board.add(shortId(Id));
  const watch = async (): Promise<void> => {
    for await (const { Action, Actor } of events) {
      if (adding.includes(Action)) board.add(shortId(Actor.ID));
      else if (removing.includes(Action)) board.remove(shortId(Actor.ID));
    }
  };
  const end = (): void => {
    isOver = true;
  };
  void watch().then(end, end);
  await board.firstReports();
  return () => isOver;
}

/** Each frame is written over the one before, in one piece so that it does not flicker. */
async function drawUntil(isOver: IsOver, cli: Cli, render: () => Promise<string>): Promise<void> {
  while (!isOver()) {
    const lines = (await render()).split('\n').map(line => `${line}${clearRestOfLine}\n`);
    cli.out.write(`${home}${lines.join('')}${clearBelow}`);
    await Bun.sleep(frameMs);
  }
}
