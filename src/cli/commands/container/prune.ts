import { defineCommand, noArgs } from '../../command.ts';
import { bool, filter } from '../../flags/flag.ts';
import { confirm, pruneFilters } from '../../output/confirm.ts';
import { humanSize } from '../../output/units.ts';

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['container prune'],
  short: 'Remove all stopped containers',
  args: noArgs,
  flags: { filter: filter('Remove only what matches, such as until=24h'), force: bool('Do not ask', { short: 'f' }) },
  async run(cli, { flags }) {
    const filters = await pruneFilters(cli, flags.filter);
    if (!flags.force && !(await confirm(cli, 'WARNING! This will remove all stopped containers.'))) return 0;
    const { containers } = await cli.client();
    const { ContainersDeleted, SpaceReclaimed } = await containers.prune(filters);
    if ((ContainersDeleted ?? []).length > 0)
      cli.out.write(`Deleted Containers:\n${(ContainersDeleted ?? []).map(id => `${id}\n`).join('')}\n`);
    cli.out.line(`Total reclaimed space: ${humanSize(SpaceReclaimed)}`);
    return 0;
  },
});
