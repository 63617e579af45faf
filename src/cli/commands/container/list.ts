import type { ContainerSummary } from '#api/types/container.ts';
import { shortId } from '#base/id.ts';
import { defineCommand, noArgs } from '../../command.ts';
import { bool, filter, int, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { type ListView, printList } from '../../output/list.ts';
import { formatPorts } from '../../output/ports.ts';
import { ellipsis, goTime, idText, joinLabels, quoteGo } from '../../output/text.ts';
import { ago, humanSize } from '../../output/units.ts';

const flags = {
  all: bool('Show stopped containers too', { short: 'a' }),
  filter: filter('Show only containers that match, such as status=exited', { short: 'f' }),
  format: text(formatUsage('table')),
  last: int('Show the last n containers created, stopped ones too', { short: 'n', default: -1 }),
  latest: bool('Show the container created last, stopped or not', { short: 'l' }),
  'no-trunc': bool('Do not shorten anything'),
  quiet: bool('Print ids only', { short: 'q' }),
  size: bool('Show how much disk space each takes', { short: 's' }),
};

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['container ls', 'container list', 'container ps', 'ps'],
  short: 'List containers',
  args: noArgs,
  flags,
  async run(cli, { flags: given }) {
    const client = await cli.client();
    const format = given.format !== '' || given.quiet ? given.format : ((await cli.config()).values.psFormat ?? '');
    const limit = given.latest && given.last === -1 ? 1 : given.last;
    const containers = await client.containers.list({
      all: given.all,
      limit,
      // A template that makes JSON of everything shows the sizes too.
      size: given.size || /\.Size\b|\bjson \.(?!\w)/.test(format),
      filters: given.filter,
    });
    const view = containerView(!given['no-trunc'], given.size);
    await printList(cli, view, containers, { format: format === 'raw' ? rawFormat(given.quiet, given.size) : format, quiet: given.quiet });
  },
});

function rawFormat(quiet: boolean, size: boolean): string {
  if (quiet) return 'container_id: {{.ID}}';
  const lines = [
    'container_id: {{.ID}}',
    'image: {{.Image}}',
    'command: {{.Command}}',
    'created_at: {{.CreatedAt}}',
    'state: {{- pad .State 1 0}}',
  ];
  lines.push('status: {{- pad .Status 1 0}}', 'names: {{.Names}}', 'labels: {{- pad .Labels 1 0}}', 'ports: {{- pad .Ports 1 0}}');
  return `${[...lines, ...(size ? ['size: {{.Size}}'] : [])].join('\n')}\n`;
}

const headers = {
  ID: 'CONTAINER ID',
  Names: 'NAMES',
  Image: 'IMAGE',
  Command: 'COMMAND',
  CreatedAt: 'CREATED AT',
  RunningFor: 'CREATED',
  Ports: 'PORTS',
  State: 'STATE',
  Status: 'STATUS',
  Size: 'SIZE',
  Labels: 'LABELS',
  Mounts: 'MOUNTS',
  LocalVolumes: 'LOCAL VOLUMES',
  Networks: 'NETWORKS',
  Platform: 'PLATFORM',
};

export function containerView(truncated: boolean, size: boolean): ListView<ContainerSummary> {
  return {
    typeName: '*formatter.ContainerContext',
    headers,
    columns: ['ID', 'Image', 'Command', 'RunningFor', 'Status', 'Ports', 'Names', ...(size ? ['Size'] : [])],
    quietField: 'ID',
    templateFailures: { parse: 'failed to parse template', execute: 'failed to execute template' },
    fields: {
      Command: item => quoteGo(truncated ? ellipsis(item.Command, 20) : item.Command),
      CreatedAt: item => goTime(item.Created * 1000),
      ID: item => idText(item.Id, truncated),
      Image: item => imageText(item, truncated),
      Labels: item => joinLabels(item.Labels),
      LocalVolumes: item => String(item.Mounts.filter(mount => mount.Driver === 'local').length),
      Mounts: item =>
        item.Mounts.map(mount => {
          const name = mount.Name === undefined || mount.Name === '' ? mount.Source : mount.Name;
          return truncated ? ellipsis(name, 15) : name;
        }).join(','),
      Names: item => namesText(item.Names, truncated),
      Networks: item => Object.keys(item.NetworkSettings?.Networks ?? {}).join(','),
      Platform: item => item.ImageManifestDescriptor?.platform ?? null,
      Ports: item => formatPorts(item.Ports),
      RunningFor: item => ago(item.Created * 1000),
      Size: sizeText,
      State: item => item.State,
      Status: item => item.Status,
    },
    methods: { Label: item => key => item.Labels?.[key] ?? '' },
  };
}

function imageText(item: ContainerSummary, truncated: boolean): string {
  if (item.Image === '') return '<no image>';
  if (!truncated) return item.Image;
  const short = shortId(item.ImageID);
  if (short === shortId(item.Image)) return short;
  const at = item.Image.indexOf('@');
  return at < 0 ? item.Image : item.Image.slice(0, at);
}

function namesText(names: readonly string[] | null, truncated: boolean): string {
  const bare = (names ?? []).map(name => name.replace(/^\//, ''));
  // A name with a slash is an alias from a link.
  const own = truncated ? bare.find(name => !name.includes('/')) : undefined;
  return own ?? bare.join(',');
}

function sizeText(item: ContainerSummary): string {
  const writable = humanSize(item.SizeRw ?? 0, 3);
  return (item.SizeRootFs ?? 0) > 0 ? `${writable} (virtual ${humanSize(item.SizeRootFs ?? 0, 3)})` : writable;
}
