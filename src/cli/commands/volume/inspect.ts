import { defineCommand, minArgs } from '../../command.ts';
import { text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { inspectEach } from '../../output/inspect.ts';

export const command = defineCommand({
  usage: '[OPTIONS] VOLUME [VOLUME...]',
  names: ['volume inspect'],
  short: 'Show all details of volumes',
  args: minArgs(1),
  flags: { format: text(formatUsage('object'), { short: 'f' }) },
  async run(cli, { flags, args }) {
    const { volumes } = await cli.client();
    return await inspectEach(cli, args, flags.format, name => volumes.inspect(name));
  },
});
