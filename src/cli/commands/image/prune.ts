import { defineCommand, noArgs } from '../../command.ts';
import { bool, filter } from '../../flags/flag.ts';
import { confirm, pruneFilters } from '../../output/confirm.ts';
import { humanSize } from '../../output/units.ts';

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['image prune'],
  short: 'Remove images that nothing uses',
  args: noArgs,
  flags: {
    all: bool('Remove every image that no container uses, not only those without a name', { short: 'a' }),
    filter: filter('Remove only what matches, such as until=24h'),
    force: bool('Do not ask', { short: 'f' }),
  },
  async run(cli, { flags }) {
    const filters = { ...(await pruneFilters(cli, flags.filter)), dangling: [String(!flags.all)] };
    const which = flags.all ? 'all images without at least one container associated to them' : 'all dangling images';
    if (!flags.force && !(await confirm(cli, `WARNING! This will remove ${which}.`))) return 0;
    const { images } = await cli.client();
    const { ImagesDeleted, SpaceReclaimed } = await images.prune(filters);
    const lines = (ImagesDeleted ?? []).map(({ Untagged = '', Deleted = '' }) =>
      Untagged === '' ? `deleted: ${Deleted}` : `untagged: ${Untagged}`,
    );
    if (lines.length > 0) cli.out.write(`Deleted Images:\n${lines.join('\n')}\n\n`);
    cli.out.line(`Total reclaimed space: ${humanSize(SpaceReclaimed)}`);
    return 0;
  },
});
