import { defineCommand, exactArgs } from '../../command.ts';
import { text } from '../../flags/flag.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER CHECKPOINT',
  names: ['checkpoint rm', 'checkpoint remove'],
  short: 'Remove a checkpoint',
  args: exactArgs(2),
  flags: { 'checkpoint-dir': text('Directory that the checkpoint is kept in') },
  async run(cli, { flags, args }) {
    const [container = '', checkpoint = ''] = args;
    const { containers } = await cli.client();
    await containers.removeCheckpoint(container, checkpoint, { directory: flags['checkpoint-dir'] });
  },
});
