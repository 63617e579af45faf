import { defineCommand, minArgs } from '../../command.ts';
import { parsePlatform } from '../../container-options/platform.ts';
import { text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { inspectEach } from '../../output/inspect.ts';

export const command = defineCommand({
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  names: ['image inspect'],
  short: 'Show all details of images',
  args: minArgs(1),
  flags: {
    format: text(formatUsage('object'), { short: 'f' }),
    platform: text('Platform to show, of an image for several', { requires: { since: '1.49' } }),
  },
  async run(cli, { flags, args }) {
    const { images } = await cli.client();
    const platform = flags.platform === '' ? undefined : parsePlatform(flags.platform);
    return await inspectEach(cli, args, flags.format, name => images.inspect(name, { platform }));
  },
});
