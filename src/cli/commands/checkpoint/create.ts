import { defineCommand, exactArgs } from '../../command.ts';
import { bool, text } from '../../flags/flag.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER CHECKPOINT',
  names: ['checkpoint create'],
  short: 'Save the processes of a running container',
  args: exactArgs(2),
  flags: {
    'checkpoint-dir': text('Directory to keep the checkpoint in'),
    'leave-running': bool('Let the container go on afterwards'),
  },
  async run(cli, { flags, args }) {
    const [container = '', checkpoint = ''] = args;
    const { containers } = await cli.client();
    await containers.createCheckpoint(container, {
      CheckpointID: checkpoint,
      CheckpointDir: flags['checkpoint-dir'],
      Exit: !flags['leave-running'],
    });
    cli.out.line(checkpoint);
  },
});
