import type { ImageHistoryItem } from '#api/types/image.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import { parsePlatform } from '../../container-options/platform.ts';
import { bool, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { type ListView, printList } from '../../output/list.ts';
import { ellipsis, goRfc3339, idText } from '../../output/text.ts';
import { ago, humanSize } from '../../output/units.ts';

export const command = defineCommand({
  usage: '[OPTIONS] IMAGE',
  names: ['image history', 'history'],
  short: 'Show the layers of an image and what made them',
  args: exactArgs(1),
  flags: {
    format: text(formatUsage('table')),
    human: bool('Show sizes and dates for people', { short: 'H', default: true }),
    'no-trunc': bool('Do not shorten anything'),
    platform: text('Platform to show, of an image for several', { requires: { since: '1.48' } }),
    quiet: bool('Print ids only', { short: 'q' }),
  },
  async run(cli, { flags, args }) {
    const { images } = await cli.client();
    const platform = flags.platform === '' ? undefined : parsePlatform(flags.platform);
    const items = await images.history(args[0] ?? '', { platform });
    await printList(cli, historyView(!flags['no-trunc'], flags.human), items, { format: flags.format, quiet: flags.quiet });
  },
});

function historyView(truncated: boolean, human: boolean): ListView<ImageHistoryItem> {
  return {
    typeName: '*image.historyContext',
    headers: { ID: 'IMAGE', CreatedSince: 'CREATED', CreatedAt: 'CREATED AT', CreatedBy: 'CREATED BY', Size: 'SIZE', Comment: 'COMMENT' },
    columns: ['ID', human ? 'CreatedSince' : 'CreatedAt', 'CreatedBy', 'Size', 'Comment'],
    quietField: 'ID',
    fields: {
      Comment: item => item.Comment,
      CreatedAt: item => (item.Created <= 0 ? 'N/A' : goRfc3339(item.Created * 1000)),
      CreatedBy: item => {
        const made = item.CreatedBy.replaceAll('\t', ' ');
        return truncated ? ellipsis(made, 45) : made;
      },
      CreatedSince: item => (item.Created <= 0 ? 'N/A' : human ? ago(item.Created * 1000) : goRfc3339(item.Created * 1000)),
      ID: item => idText(item.Id, truncated),
      Size: item => (human ? humanSize(item.Size, 3) : String(item.Size)),
    },
  };
}
