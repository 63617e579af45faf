import { messageOf } from '#base/errors.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';

export const command = defineCommand({
  usage: 'CONTAINER NEW_NAME',
  names: ['container rename', 'rename'],
  short: 'Give a container another name',
  args: exactArgs(2),
  flags: {},
  async run(cli, { args }) {
    const [from = '', to = ''] = args.map(name => name.trim());
    if (from === '' || to === '') throw new ExitError(1, 'Error: Neither old nor new names may be empty');
    const { containers } = await cli.client();
    try {
      await containers.rename(from, to);
    } catch (err) {
      throw new ExitError(1, `${messageOf(err)}\nError: failed to rename container named ${from}`, { cause: err });
    }
  },
});
