import { defineCommand, minArgs } from '../../command.ts';
import { bool, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { inspectEach } from '../../output/inspect.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  names: ['container inspect'],
  short: 'Show all details of containers',
  args: minArgs(1),
  flags: { format: text(formatUsage('object'), { short: 'f' }), size: bool('Show how much disk space it takes', { short: 's' }) },
  async run(cli, { flags, args }) {
    const { containers } = await cli.client();
    return await inspectEach(cli, args, flags.format, id => containers.inspect(id, { size: flags.size }));
  },
});
