import { defineCommand, maxArgs } from '../../command.ts';
import { checkLabel, toRecord } from '../../container-options/key-values.ts';
import { ExitError } from '../../errors.ts';
import { flagOf, map, text } from '../../flags/flag.ts';

export const command = defineCommand({
  usage: '[OPTIONS] [VOLUME]',
  names: ['volume create'],
  short: 'Create a volume',
  args: maxArgs(1),
  flags: {
    driver: text('Volume driver', { short: 'd', default: 'local' }),
    label: flagOf(
      { hint: 'list', initial: [] as readonly string[], parse: (value, current) => [...current, checkLabel(value)] },
      'Set a label',
    ),
    name: text("The volume's name", { hidden: true }),
    opt: map('Options of the volume driver', { short: 'o' }),
  },
  async run(cli, { flags, args }) {
    if (args.length === 1 && flags.name !== '')
      throw new ExitError(1, 'conflicting options: cannot specify a volume-name through both --name and as a positional arg');
    const { volumes } = await cli.client();
    const created = await volumes.create({
      Driver: flags.driver,
      DriverOpts: flags.opt,
      Labels: toRecord(flags.label),
      Name: args[0] ?? flags.name,
    });
    cli.out.line(created.Name);
  },
});
