import { kindOf, messageOf } from '#base/errors.ts';
import { defineCommand, minArgs } from '../../command.ts';
import { parsePlatform } from '../../container-options/platform.ts';
import { ExitError } from '../../errors.ts';
import { bool, csvList } from '../../flags/flag.ts';

export const command = defineCommand({
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  names: ['image rm', 'image remove', 'rmi'],
  short: 'Remove images',
  args: minArgs(1),
  flags: {
    force: bool('Remove it even when containers or other names need it', { short: 'f' }),
    'no-prune': bool('Leave images without a name that it was built on'),
    platform: csvList('Remove only these platforms, such as linux/amd64', { requires: { since: '1.50' } }),
  },
  async run(cli, { flags, args }) {
    const { images } = await cli.client();
    const platforms = flags.platform.map(parsePlatform);
    const failures: string[] = [];
    let serious = false;
    for (const name of args) {
      try {
        for (const { Deleted, Untagged } of await images.remove(name, { force: flags.force, noPrune: flags['no-prune'], platforms })) {
          cli.out.line(Deleted === undefined ? `Untagged: ${Untagged ?? ''}` : `Deleted: ${Deleted}`);
        }
      } catch (err) {
        serious ||= kindOf(err) !== 'NotFound';
        failures.push(messageOf(err));
      }
    }
    if (failures.length === 0) return 0;
    // With --force, what is not there is as good as removed.
    if (serious || !flags.force) throw new ExitError(1, failures.join('\n'));
    for (const failure of failures) cli.err.line(failure);
    return 0;
  },
});
