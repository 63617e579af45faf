import { kindOf, messageOf } from '#base/errors.ts';
import { defineCommand, minArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { bool } from '../../flags/flag.ts';

export const command = defineCommand({
  usage: 'NETWORK [NETWORK...]',
  names: ['network rm', 'network remove'],
  short: 'Remove networks',
  args: minArgs(1),
  flags: { force: bool('Do not mind networks that are not there', { short: 'f' }) },
  async run(cli, { flags, args }) {
    const { networks } = await cli.client();
    let failed = false;
    for (const name of args) {
      try {
        await networks.remove(name);
        cli.out.line(name);
      } catch (err) {
        if (flags.force && kindOf(err) === 'NotFound') continue;
        cli.err.line(messageOf(err));
        failed = true;
      }
    }
    if (failed) throw new ExitError(1, 'exit status 1');
  },
});
