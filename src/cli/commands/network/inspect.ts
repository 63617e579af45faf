import { defineCommand, minArgs } from '../../command.ts';
import { bool, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { inspectEach } from '../../output/inspect.ts';

export const command = defineCommand({
  usage: '[OPTIONS] NETWORK [NETWORK...]',
  names: ['network inspect'],
  short: 'Show all details of networks',
  args: minArgs(1),
  flags: { format: text(formatUsage('object'), { short: 'f' }), verbose: bool('Show what helps to find faults', { short: 'v' }) },
  async run(cli, { flags, args }) {
    const { networks } = await cli.client();
    return await inspectEach(cli, args, flags.format, name => networks.inspect(name, { verbose: flags.verbose }));
  },
});
