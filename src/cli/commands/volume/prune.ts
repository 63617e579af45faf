import { isBefore } from '#api/versions.ts';
import { parseVersion } from '#client/connection.ts';
import { defineCommand, noArgs } from '../../command.ts';
import { bool, filter } from '../../flags/flag.ts';
import { confirm, pruneFilters } from '../../output/confirm.ts';
import { humanSize } from '../../output/units.ts';

/** Before this version every volume that nothing uses goes, named or not. */
const anonymousOnlySince = '1.42';

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['volume prune'],
  short: 'Remove volumes that nothing uses',
  args: noArgs,
  flags: {
    all: bool('Remove volumes with a name too', { short: 'a', requires: { since: anonymousOnlySince } }),
    filter: filter('Remove only what matches, such as label=key'),
    force: bool('Do not ask', { short: 'f' }),
  },
  async run(cli, { flags }) {
    const { volumes, connection } = await cli.client();
    const version = parseVersion(await connection.apiVersion());
    const anonymousOnly = !isBefore(version, anonymousOnlySince) && !flags.all;
    const filters = { ...(await pruneFilters(cli, flags.filter)), ...(flags.all ? { all: ['true'] } : {}) };
    const which = anonymousOnly ? 'anonymous local volumes' : 'all local volumes';
    if (!flags.force && !(await confirm(cli, `WARNING! This will remove ${which} not used by at least one container.`))) return 0;
    const { VolumesDeleted, SpaceReclaimed } = await volumes.prune(filters);
    if ((VolumesDeleted ?? []).length > 0) cli.out.write(`Deleted Volumes:\n${(VolumesDeleted ?? []).join('\n')}\n\n`);
    cli.out.line(`Total reclaimed space: ${humanSize(SpaceReclaimed)}`);
    return 0;
  },
});
