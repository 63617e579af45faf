import type { ImageSearchItem } from '#api/types/image.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import { registryAuthFor } from '../../config/registry-auth.ts';
import { bool, filter, int, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { type ListView, printList } from '../../output/list.ts';
import { ellipsis } from '../../output/text.ts';

export const command = defineCommand({
  usage: '[OPTIONS] TERM',
  names: ['search'],
  short: 'Search for images on a registry',
  args: exactArgs(1),
  flags: {
    filter: filter('Show only images that match, such as is-official=true', { short: 'f' }),
    format: text(formatUsage('table')),
    limit: int('Most results to show'),
    'no-trunc': bool('Do not shorten anything'),
  },
  async run(cli, { flags, args }) {
    const term = args[0] ?? '';
    const { images } = await cli.client();
    const found = await images.search(term, { limit: flags.limit, filters: flags.filter, registryAuth: await registryAuthFor(cli, term) });
    await printList(cli, searchView(!flags['no-trunc']), found, { format: flags.format });
  },
});

const searchView = (truncated: boolean): ListView<ImageSearchItem> => ({
  typeName: '*registry.searchContext',
  headers: { Name: 'NAME', Description: 'DESCRIPTION', StarCount: 'STARS', IsOfficial: 'OFFICIAL' },
  columns: ['Name', 'Description', 'StarCount', 'IsOfficial'],
  fields: {
    Description: item => {
      const description = item.description.replaceAll(/[\r\n]/g, ' ');
      return truncated ? ellipsis(description, 45) : description;
    },
    IsOfficial: item => (item.is_official ? '[OK]' : ''),
    Name: item => item.name,
    StarCount: item => String(item.star_count),
  },
  jsonFields: { IsOfficial: item => String(item.is_official) },
});
