import { defineCommand, minArgs } from '../../command.ts';
import { alignColumns } from '../../output/tab-writer.ts';

export const command = defineCommand({
  usage: 'CONTAINER [ps OPTIONS]',
  names: ['container top', 'top'],
  short: 'Show the processes of a container',
  args: minArgs(1),
  flags: {},
  interspersed: false,
  async run(cli, { args }) {
    const [id = '', ...psArgs] = args;
    const { containers } = await cli.client();
    const { Titles, Processes } = await containers.top(id, psArgs.length === 0 ? undefined : psArgs.join(' '));
    cli.out.write(alignColumns(`${[Titles, ...(Processes ?? [])].map(row => row.join('\t')).join('\n')}\n`, 20));
  },
});
