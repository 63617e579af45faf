import type { Network } from '#api/types/network.ts';
import { defineCommand, noArgs } from '../../command.ts';
import { bool, filter, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { type ListView, printList } from '../../output/list.ts';
import { goTimeOf, idText, joinLabels } from '../../output/text.ts';

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['network ls', 'network list'],
  short: 'List networks',
  args: noArgs,
  flags: {
    filter: filter('Show only networks that match, such as driver=bridge', { short: 'f' }),
    format: text(formatUsage('table')),
    'no-trunc': bool('Do not shorten anything'),
    quiet: bool('Print ids only', { short: 'q' }),
  },
  async run(cli, { flags }) {
    const { networks } = await cli.client();
    const format = flags.format !== '' || flags.quiet ? flags.format : ((await cli.config()).values.networksFormat ?? '');
    const items = await networks.list({ filters: flags.filter });
    items.sort((a, b) => naturalOrder(a.Name, b.Name));
    await printList(cli, networkView(!flags['no-trunc']), items, {
      format: format === 'raw' ? rawFormat(flags.quiet) : format,
      quiet: flags.quiet,
    });
  },
});

/** Numbers inside names count as numbers: net2 before net10. */
function naturalOrder(a: string, b: string): number {
  const [left, right] = [a, b].map(text => text.split(/(\d+)/)) as [string[], string[]];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [x = '', y = ''] = [left[i], right[i]];
    if (x === y) continue;
    const difference = i % 2 === 1 ? Number(x) - Number(y) : 0;
    return difference !== 0 ? difference : x < y ? -1 : 1;
  }
  return left.length - right.length;
}

const rawFormat = (quiet: boolean): string =>
  quiet ? 'network_id: {{.ID}}' : 'network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n';

const networkView = (truncated: boolean): ListView<Network> => ({
  typeName: '*network.networkContext',
  headers: {
    ID: 'NETWORK ID',
    Name: 'NAME',
    Driver: 'DRIVER',
    Scope: 'SCOPE',
    IPv4: 'IPV4',
    IPv6: 'IPV6',
    Internal: 'INTERNAL',
    Labels: 'LABELS',
    CreatedAt: 'CREATED AT',
  },
  columns: ['ID', 'Name', 'Driver', 'Scope'],
  quietField: 'ID',
  fields: {
    CreatedAt: item => goTimeOf(item.Created),
    Driver: item => item.Driver,
    ID: item => idText(item.Id, truncated),
    IPv4: item => String(item.EnableIPv4 ?? false),
    IPv6: item => String(item.EnableIPv6),
    Internal: item => String(item.Internal),
    Labels: item => joinLabels(item.Labels),
    Name: item => item.Name,
    Scope: item => item.Scope,
  },
  methods: { Label: item => key => item.Labels?.[key] ?? '' },
});
