import { isBefore } from '#api/versions.ts';
import { parseVersion } from '#client/connection.ts';
import { defineCommand, noArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { bool, filter } from '../../flags/flag.ts';
import { confirm, pruneFilters } from '../../output/confirm.ts';
import { humanSize } from '../../output/units.ts';

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['system prune'],
  short: 'Remove everything that nothing uses',
  args: noArgs,
  flags: {
    all: bool('Remove every image that no container uses, not only those without a name', { short: 'a' }),
    filter: filter('Remove only what matches, such as label=key'),
    force: bool('Do not ask', { short: 'f' }),
    volumes: bool('Remove anonymous volumes too'),
  },
  async run(cli, { flags }) {
    if (flags.volumes && flags.filter.until !== undefined)
      throw new ExitError(1, `ERROR: The "until" filter is not supported with "--volumes"`);
    const filters = await pruneFilters(cli, flags.filter);
    if (!flags.force && !(await confirm(cli, warning(flags, filters)))) return 0;
    const { containers, networks, volumes, images, builds, connection } = await cli.client();
    const report = (heading: string, lines: readonly string[]): void => {
      if (lines.length > 0) cli.out.write(`${heading}:\n${lines.join('\n')}\n\n`);
    };
    // What uses others goes first.
    const gone = await containers.prune(filters);
    report('Deleted Containers', gone.ContainersDeleted ?? []);
    let reclaimed = gone.SpaceReclaimed;
    report('Deleted Networks', (await networks.prune(filters)).NetworksDeleted ?? []);
    if (flags.volumes) {
      const pruned = await volumes.prune(filters);
      report('Deleted Volumes', pruned.VolumesDeleted ?? []);
      reclaimed += pruned.SpaceReclaimed;
    }
    const pruned = await images.prune({ ...filters, dangling: [String(!flags.all)] });
    const lines = (pruned.ImagesDeleted ?? []).map(({ Untagged = '', Deleted = '' }) =>
      Untagged === '' ? `deleted: ${Deleted}` : `untagged: ${Untagged}`,
    );
    report('Deleted Images', lines);
    reclaimed += pruned.SpaceReclaimed;
    if (!isBefore(parseVersion(await connection.apiVersion()), '1.31')) {
      const cache = await builds.prune({ all: flags.all, filters }).catch(onlyWithoutBuilder);
      report('Deleted build cache objects', cache.CachesDeleted ?? []);
      reclaimed += cache.SpaceReclaimed;
    }
    cli.out.line(`Total reclaimed space: ${humanSize(reclaimed)}`);
    return 0;
  },
});

/** A daemon that does not build keeps no cache. */
function onlyWithoutBuilder(err: unknown): { CachesDeleted: string[]; SpaceReclaimed: number } {
  if (err instanceof Error && 'status' in err && (err.status === 404 || err.status === 501))
    return { CachesDeleted: [], SpaceReclaimed: 0 };
  throw err;
}

function warning(
  flags: { readonly all: boolean; readonly volumes: boolean },
  filters: Readonly<Record<string, readonly string[]>>,
): string {
  const items = ['all stopped containers', 'all networks not used by at least one container'];
  if (flags.volumes) items.push('all anonymous volumes not used by at least one container');
  items.push(flags.all ? 'all images without at least one container associated to them' : 'all dangling images');
  items.push(flags.all ? 'all build cache' : 'unused build cache');
  const shown = Object.entries(filters)
    .flatMap(([key, values]) => values.map(value => `${key}=${value}`))
    .toSorted();
  const limited =
    shown.length === 0 ? '' : `\n  Items to be pruned will be filtered with:\n${shown.map(text => `  - ${text}`).join('\n')}\n`;
  return `WARNING! This will remove:\n${items.map(item => `  - ${item}`).join('\n')}\n${limited}`;
}
