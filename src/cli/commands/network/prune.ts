import { defineCommand, noArgs } from '../../command.ts';
import { bool, filter } from '../../flags/flag.ts';
import { confirm, pruneFilters } from '../../output/confirm.ts';

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['network prune'],
  short: 'Remove networks that nothing uses',
  args: noArgs,
  flags: { filter: filter('Remove only what matches, such as until=24h'), force: bool('Do not ask', { short: 'f' }) },
  async run(cli, { flags }) {
    const filters = await pruneFilters(cli, flags.filter);
    if (!flags.force && !(await confirm(cli, 'WARNING! This will remove all custom networks not used by at least one container.')))
      return 0;
    const { networks } = await cli.client();
    const { NetworksDeleted } = await networks.prune(filters);
    if ((NetworksDeleted ?? []).length > 0) cli.out.write(`Deleted Networks:\n${(NetworksDeleted ?? []).join('\n')}\n\n`);
    return 0;
  },
});
