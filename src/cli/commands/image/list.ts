import type { ImageSummary } from '#api/types/image.ts';
import { defineCommand, maxArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { bool, filter, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { type ListView, printList } from '../../output/list.ts';
import { goTime, idText } from '../../output/text.ts';
import { ago, humanSize } from '../../output/units.ts';

const flags = {
  all: bool('Show images without a name that others build on, too', { short: 'a' }),
  digests: bool('Show digests'),
  filter: filter('Show only images that match, such as dangling=true', { short: 'f' }),
  format: text(formatUsage('table')),
  'no-trunc': bool('Do not shorten anything'),
  quiet: bool('Print ids only', { short: 'q' }),
  tree: bool('Show the platforms of each image below it'),
};

export const command = defineCommand({
  usage: '[OPTIONS] [REPOSITORY[:TAG]]',
  names: ['image ls', 'image list', 'images'],
  short: 'List images',
  args: maxArgs(1),
  flags,
  async run(cli, { flags: given, args }) {
    const client = await cli.client();
    const format = given.format !== '' || given.quiet ? given.format : ((await cli.config()).values.imagesFormat ?? '');
    const [reference] = args;
    const filters = reference === undefined ? given.filter : { ...given.filter, reference: [...(given.filter.reference ?? []), reference] };
    if (given.tree) {
      const unable = (['quiet', 'no-trunc', 'digests', 'format'] as const).find(name => given[name] !== false && given[name] !== '');
      if (unable !== undefined) throw new ExitError(1, `--${unable} is not yet supported with --tree`);
      const { imageTree } = await import('./tree.ts');
      return cli.out.write(imageTree(await client.images.list({ all: given.all, filters, manifests: true })));
    }
    const images = await client.images.list({ all: given.all, filters });
    const digests = given.digests || /\{\{\s*\.Digest\b/.test(format);
    const rows = images.flatMap(image => rowsOf(image, digests));
    const raw = given.quiet ? 'image_id: {{.ID}}' : rawFormat(given.digests);
    await printList(cli, imageView(!given['no-trunc'], given.digests), rows, {
      format: format === 'raw' ? raw : format,
      quiet: given.quiet,
    });
  },
});

const rawFormat = (digests: boolean): string =>
  `repository: {{ .Repository }}\ntag: {{.Tag}}${digests ? '\ndigest: {{.Digest}}' : ''}\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n\n`;

/** An image has a row for each of its names. */
export interface Row {
  readonly image: ImageSummary;
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
}

const none = '<none>';

function rowsOf(image: ImageSummary, digests: boolean): Row[] {
  const tags = named(image.RepoTags, ':').filter(([repository, tag]) => !(repository === none && tag === none));
  const known = named(image.RepoDigests, '@').filter(([repository, digest]) => !(repository === none && digest === none));
  if (tags.length === 0 && known.length === 0) return [{ image, repository: none, tag: none, digest: none }];
  const rows = tags.flatMap(([repository, tag]): Row[] => {
    const own = digests ? known.filter(([other]) => other === repository) : [];
    return own.length === 0 ? [{ image, repository, tag, digest: none }] : own.map(([, digest]) => ({ image, repository, tag, digest }));
  });
  const untagged = known.filter(([repository]) => !tags.some(([other]) => other === repository));
  const seen = new Set<string>();
  for (const [repository, digest] of untagged) {
    if (!digests && seen.has(repository)) continue;
    seen.add(repository);
    rows.push({ image, repository, tag: none, digest: digests ? digest : none });
  }
  return rows;
}

function named(references: readonly string[] | null, separator: string): [string, string][] {
  return (references ?? []).map(reference => {
    const at = reference.lastIndexOf(separator);
    return at < 0 ? [reference, none] : [reference.slice(0, at), reference.slice(at + 1)];
  });
}

const headers = {
  ID: 'IMAGE ID',
  Repository: 'REPOSITORY',
  Tag: 'TAG',
  Digest: 'DIGEST',
  CreatedSince: 'CREATED',
  CreatedAt: 'CREATED AT',
  Size: 'SIZE',
  Containers: 'CONTAINERS',
  VirtualSize: 'SIZE',
  SharedSize: 'SHARED SIZE',
  UniqueSize: 'UNIQUE SIZE',
};

export function imageView(truncated: boolean, digests: boolean): ListView<Row> {
  return {
    typeName: '*formatter.imageContext',
    headers,
    columns: ['Repository', 'Tag', ...(digests ? ['Digest'] : []), 'ID', 'CreatedSince', 'Size'],
    quietField: 'ID',
    fields: {
      Containers: ({ image }) => (image.Containers === -1 ? 'N/A' : String(image.Containers)),
      CreatedAt: ({ image }) => goTime(image.Created * 1000),
      CreatedSince: ({ image }) => (image.Created <= 0 ? 'N/A' : ago(image.Created * 1000)),
      Digest: ({ digest }) => digest,
      ID: ({ image }) => idText(image.Id, truncated),
      Repository: ({ repository }) => repository,
      SharedSize: ({ image }) => (image.SharedSize === -1 ? 'N/A' : humanSize(image.SharedSize)),
      Size: ({ image }) => humanSize(image.Size, 3),
      Tag: ({ tag }) => tag,
      UniqueSize: ({ image }) => (image.SharedSize === -1 ? 'N/A' : humanSize(image.Size - image.SharedSize)),
      VirtualSize: ({ image }) => humanSize(image.Size),
    },
  };
}
