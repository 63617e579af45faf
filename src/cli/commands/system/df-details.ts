import type { ImageSummary } from '#api/types/image.ts';
import type { BuildCacheRecord, DiskUsage } from '#api/types/system.ts';
import { shortId } from '#base/id.ts';
import type { Cli } from '../../cli.ts';
import { type ListView, toStruct } from '../../output/list.ts';
import { printTemplate } from '../../output/template-output.ts';
import { alignColumns } from '../../output/tab-writer.ts';
import { ellipsis, goTime, quoteGo } from '../../output/text.ts';
import { ago, humanSize } from '../../output/units.ts';
import { containerView } from '../container/list.ts';
import { imageView, type Row } from '../image/list.ts';
import { volumeView } from '../volume/list.ts';

/** `system df -v`: every object in a table of its kind. */
export async function printDetails(cli: Cli, usage: DiskUsage, format: string): Promise<void> {
  const { Images, Containers, Volumes, BuildCache } = usage;
  if (format !== '') {
    const { Struct } = await import('#base/template/value.ts');
    const each = <T>(view: ListView<T>, items: readonly T[] | null | undefined): unknown[] =>
      (items ?? []).map(item => toStruct(view, item, Struct));
    const data = {
      Images: each(imageView(false, false), Images?.map(firstRowOf)),
      Containers: each(
        containerView(false, true),
        Containers?.map(container => ({ ...container, SizeRootFs: 0 })),
      ),
      Volumes: each(volumeView, Volumes),
      BuildCache: each(cacheView, BuildCache),
    };
    await printTemplate(cli, '', format, data, '');
    return;
  }
  const own = (BuildCache ?? []).filter(record => !record.Shared).reduce((total, record) => total + record.Size, 0);
  cli.out.write(`Images space usage:\n\n${imageTable(usage)}\n`);
  cli.out.write(`Containers space usage:\n\n${containerTable(usage)}\n`);
  cli.out.write(`Local Volumes space usage:\n\n${volumeTable(usage)}\n`);
  cli.out.write(`Build cache usage: ${humanSize(own)}\n\n${cacheTable(BuildCache ?? [])}`);
}

const table = (headings: readonly string[], rows: readonly (readonly string[])[]): string =>
  alignColumns(`${[headings, ...rows].map(row => row.join('\t')).join('\n')}\n`);

function imageTable({ Images: images }: DiskUsage): string {
  const headings = ['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'SIZE', 'SHARED SIZE', 'UNIQUE SIZE', 'CONTAINERS'];
  const rows = (images ?? []).map(firstRowOf).map(({ image, repository, tag }) => {
    const sizes = [humanSize(image.Size, 3), humanSize(image.SharedSize), humanSize(image.Size - image.SharedSize)];
    return [repository, tag, shortId(image.Id), ago(image.Created * 1000), ...sizes, String(image.Containers)];
  });
  return table(headings, rows);
}

/** An image by its first name: its space is used once, whatever it is called. */
function firstRowOf(image: ImageSummary): Row {
  const [reference = '<none>:<none>'] = image.RepoTags ?? [];
  const colon = reference.lastIndexOf(':');
  return { image, repository: reference.slice(0, colon), tag: reference.slice(colon + 1), digest: '' };
}

const cacheView: ListView<BuildCacheRecord> = {
  typeName: '*formatter.buildCacheContext',
  headers: {},
  columns: [],
  fields: {
    CacheType: record => record.Type,
    CreatedAt: record => goTime(Date.parse(record.CreatedAt)),
    CreatedSince: record => ago(Date.parse(record.CreatedAt)),
    Description: record => record.Description,
    ID: record => `${record.ID}${record.InUse ? '*' : ''}`,
    InUse: record => String(record.InUse),
    LastUsedAt: record => (record.LastUsedAt === null ? '' : goTime(Date.parse(record.LastUsedAt))),
    LastUsedSince: record => (record.LastUsedAt === null ? '' : ago(Date.parse(record.LastUsedAt))),
    Parent: record => (record.Parents ?? []).join(', '),
    Shared: record => String(record.Shared),
    Size: record => humanSize(record.Size, 3),
    UsageCount: record => String(record.UsageCount),
  },
};

function containerTable({ Containers: containers }: DiskUsage): string {
  const headings = ['CONTAINER ID', 'IMAGE', 'COMMAND', 'LOCAL VOLUMES', 'SIZE', 'CREATED', 'STATUS', 'NAMES'];
  const rows = (containers ?? []).map(container => [
    shortId(container.Id),
    container.Image,
    quoteGo(ellipsis(container.Command, 20)),
    String((container.Mounts ?? []).filter(mount => mount.Driver === 'local').length),
    humanSize(container.SizeRw ?? 0, 3),
    ago(container.Created * 1000),
    container.Status,
    container.Names.map(name => name.replace(/^\//, '')).find(name => !name.includes('/')) ?? '',
  ]);
  return table(headings, rows);
}

function volumeTable({ Volumes: volumes }: DiskUsage): string {
  const rows = (volumes ?? []).map(({ Name, UsageData }) => [
    Name,
    !UsageData ? 'N/A' : String(UsageData.RefCount),
    !UsageData ? 'N/A' : humanSize(UsageData.Size),
  ]);
  return table(['VOLUME NAME', 'LINKS', 'SIZE'], rows);
}

function cacheTable(records: readonly BuildCacheRecord[]): string {
  const rows = records.map(record => [
    `${shortId(record.ID)}${record.InUse ? '*' : ''}`,
    record.Type,
    humanSize(record.Size, 3),
    ago(Date.parse(record.CreatedAt)),
    record.LastUsedAt === null ? '' : ago(Date.parse(record.LastUsedAt)),
    String(record.UsageCount),
    String(record.Shared),
  ]);
  return table(['CACHE ID', 'CACHE TYPE', 'SIZE', 'CREATED', 'LAST USED', 'USAGE', 'SHARED'], rows);
}
