import { messageOf } from '#base/errors.ts';
import { defineCommand, minArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { bool } from '../../flags/flag.ts';

export const command = defineCommand({
  usage: '[OPTIONS] VOLUME [VOLUME...]',
  names: ['volume rm', 'volume remove'],
  short: 'Remove volumes',
  args: minArgs(1),
  flags: { force: bool('Do not mind volumes that are not there', { short: 'f', requires: { since: '1.25' } }) },
  async run(cli, { flags, args }) {
    const { volumes } = await cli.client();
    const failures: string[] = [];
    for (const name of args) {
      try {
        await volumes.remove(name, { force: flags.force });
        cli.out.line(name);
      } catch (err) {
        failures.push(messageOf(err));
      }
    }
    if (failures.length > 0) throw new ExitError(1, failures.join('\n'));
  },
});
