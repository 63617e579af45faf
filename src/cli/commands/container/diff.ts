import { defineCommand, exactArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';

const kinds = ['C', 'A', 'D'] as const;

export const command = defineCommand({
  usage: 'CONTAINER',
  names: ['container diff', 'diff'],
  short: 'Show which files of a container differ from its image',
  args: exactArgs(1),
  flags: {},
  async run(cli, { args }) {
    const [container = ''] = args;
    if (container === '') throw new ExitError(1, 'Container name cannot be empty');
    const { containers } = await cli.client();
    for (const { Kind, Path } of (await containers.changes(container)) ?? []) cli.out.line(`${kinds[Kind]} ${Path}`);
  },
});
