import { defineCommand, noArgs } from '../../command.ts';
import { currentContext } from '../../config/connect.ts';

export const command = defineCommand({
  usage: '',
  names: ['context show'],
  short: 'Print the name of the context in use',
  args: noArgs,
  flags: {},
  async run(cli) {
    cli.out.line(await currentContext(cli));
  },
});
