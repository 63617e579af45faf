import { defineCommand, minArgs } from '../../command.ts';
import { forEach } from './each.ts';

export const command = defineCommand({
  usage: 'CONTAINER [CONTAINER...]',
  names: ['container pause', 'pause'],
  short: 'Freeze all processes of containers',
  args: minArgs(1),
  flags: {},
  async run(cli, { args }) {
    const { containers } = await cli.client();
    await forEach(cli, args, id => containers.pause(id));
  },
});
