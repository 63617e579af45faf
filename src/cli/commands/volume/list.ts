import type { Volume } from '#api/types/volume.ts';
import { defineCommand, noArgs } from '../../command.ts';
import { bool, filter, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { type ListView, printList } from '../../output/list.ts';
import { joinLabels } from '../../output/text.ts';
import { humanSize } from '../../output/units.ts';

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['volume ls', 'volume list'],
  short: 'List volumes',
  args: noArgs,
  flags: {
    cluster: bool('Show volumes of the cluster only', { hidden: true }),
    filter: filter('Show only volumes that match, such as dangling=true', { short: 'f' }),
    format: text(formatUsage('table')),
    quiet: bool('Print names only', { short: 'q' }),
  },
  async run(cli, { flags }) {
    const { volumes } = await cli.client();
    const format = flags.format !== '' || flags.quiet ? flags.format : ((await cli.config()).values.volumesFormat ?? '');
    const { Volumes } = await volumes.list({ filters: flags.filter });
    const items = (Volumes ?? []).toSorted((a, b) => (a.Name < b.Name ? -1 : 1));
    await printList(cli, volumeView, items, { format: format === 'raw' ? rawFormat(flags.quiet) : format, quiet: flags.quiet });
  },
});

const rawFormat = (quiet: boolean): string => (quiet ? 'name: {{.Name}}' : 'name: {{.Name}}\ndriver: {{.Driver}}\n');

export const volumeView: ListView<Volume> = {
  typeName: '*formatter.volumeContext',
  headers: {
    Name: 'VOLUME NAME',
    Driver: 'DRIVER',
    Scope: 'SCOPE',
    Availability: 'AVAILABILITY',
    Mountpoint: 'MOUNTPOINT',
    Labels: 'LABELS',
    Links: 'LINKS',
    Size: 'SIZE',
    Group: 'GROUP',
    Status: 'STATUS',
  },
  columns: ['Driver', 'Name'],
  quietField: 'Name',
  fields: {
    Availability: () => 'N/A',
    Driver: item => item.Driver,
    Group: () => 'N/A',
    Labels: item => joinLabels(item.Labels),
    Links: item => (!item.UsageData ? 'N/A' : String(item.UsageData.RefCount)),
    Mountpoint: item => item.Mountpoint,
    Name: item => item.Name,
    Scope: item => item.Scope,
    Size: item => (!item.UsageData ? 'N/A' : humanSize(item.UsageData.Size)),
    Status: () => 'N/A',
  },
  methods: { Label: item => key => item.Labels?.[key] ?? '' },
};
