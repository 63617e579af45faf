import type { Checkpoint } from '#api/types/container.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import { text } from '../../flags/flag.ts';
import { type ListView, printList } from '../../output/list.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER',
  names: ['checkpoint ls', 'checkpoint list'],
  short: 'List the checkpoints of a container',
  args: exactArgs(1),
  flags: { 'checkpoint-dir': text('Directory that the checkpoints are kept in') },
  async run(cli, { flags, args }) {
    const { containers } = await cli.client();
    const items = await containers.checkpoints(args[0] ?? '', { directory: flags['checkpoint-dir'] });
    await printList(cli, view, items, { format: '', quiet: false });
  },
});

const view: ListView<Checkpoint> = {
  typeName: '*checkpoint.checkpointContext',
  headers: { Name: 'CHECKPOINT NAME' },
  columns: ['Name'],
  quietField: 'Name',
  fields: { Name: item => item.Name },
};
