import { defineCommand, noArgs } from '../../command.ts';
import { bool, filter, text } from '../../flags/flag.ts';
import { bytes } from '../../flags/units.ts';
import { confirm, pruneFilters } from '../../output/confirm.ts';
import { humanSize } from '../../output/units.ts';

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['builder prune', 'buildx prune'],
  short: 'Remove build cache',
  args: noArgs,
  flags: {
    all: bool('Remove everything that no build uses now, not only what no image needs', { short: 'a' }),
    builder: text('Builder to use', { hidden: true }),
    filter: filter('Remove only what matches, such as until=24h'),
    force: bool('Do not ask', { short: 'f' }),
    'keep-storage': bytes('Keep this much of the cache', { also: ['reserved-space'] }),
    'max-used-space': bytes('Remove until the cache is this large at most'),
    'min-free-space': bytes('Remove until this much of the disk is free'),
    verbose: bool('List what is removed'),
  },
  async run(cli, { flags }) {
    const which = flags.all ? 'all build cache' : 'all dangling build cache';
    if (!flags.force && !(await confirm(cli, `WARNING! This will remove ${which}.`))) return 0;
    const { builds } = await cli.client();
    const some = (value: number): number | undefined => (value === 0 ? undefined : value);
    const { CachesDeleted, SpaceReclaimed } = await builds.prune({
      all: flags.all,
      reservedBytes: some(flags['keep-storage']),
      maxUsedBytes: some(flags['max-used-space']),
      minFreeBytes: some(flags['min-free-space']),
      filters: await pruneFilters(cli, flags.filter),
    });
    const deleted = CachesDeleted ?? [];
    if (deleted.length > 0) cli.out.write(`Deleted build cache objects:\n${deleted.join('\n')}\n\n`);
    cli.out.line(`Total reclaimed space: ${humanSize(SpaceReclaimed)}`);
    return 0;
  },
});
