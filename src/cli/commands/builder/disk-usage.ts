import type { BuildCacheRecord } from '#api/types/system.ts';
import { defineCommand, noArgs } from '../../command.ts';
import { bool, filter, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { ExitError } from '../../errors.ts';
import { alignColumns } from '../../output/tab-writer.ts';
import { printTemplate } from '../../output/template-output.ts';
import { ago, humanSize } from '../../output/units.ts';

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['buildx du', 'builder du'],
  short: 'Show what the build cache holds',
  args: noArgs,
  flags: {
    builder: text('Builder to use', { hidden: true }),
    filter: filter('Show only what matches, such as type=exec.cachemount'),
    format: text(formatUsage('table')),
    verbose: bool('Show every detail of each object'),
  },
  async run(cli, { flags }) {
    const { builds } = await cli.client();
    const records = (await builds.cache()).filter(record => matches(record, flags.filter));
    if (flags.format !== '') {
      for (const record of records) await printTemplate(cli, '', flags.format, toView(record));
      return;
    }
    if (flags.verbose) for (const record of records) cli.out.write(`${details(record)}\n`);
    else if (records.length > 0) cli.out.write(table(records));
    const sum = (some: readonly BuildCacheRecord[]): number => some.reduce((total, { Size }) => total + Size, 0);
    const shared = sum(records.filter(({ Shared }) => Shared));
    const rows = [
      ...(shared > 0
        ? [
            ['Shared:', humanSize(shared)],
            ['Private:', humanSize(sum(records) - shared)],
          ]
        : []),
      ['Reclaimable:', humanSize(sum(records.filter(({ InUse }) => !InUse)))],
      ['Total:', humanSize(sum(records))],
    ];
    cli.out.write(alignColumns(`${rows.map(row => row.join('\t')).join('\n')}\n`));
  },
});

function table(records: readonly BuildCacheRecord[]): string {
  const rows = records
    .toSorted((a, b) => b.Size - a.Size)
    .map(({ ID, InUse, Size, LastUsedAt }) => [`${ID}${InUse ? '*' : ''}`, String(!InUse), humanSize(Size), lastUsed(LastUsedAt)]);
  return alignColumns(`${[['ID', 'RECLAIMABLE', 'SIZE', 'LAST ACCESSED'], ...rows].map(row => row.join('\t')).join('\n')}\n`);
}

const lastUsed = (time: string | null): string => (time === null ? '' : ago(Date.parse(time)));

function details(record: BuildCacheRecord): string {
  const { ID, Parents, CreatedAt, InUse, Shared, Size, Description, UsageCount, LastUsedAt, Type } = record;
  const rows = [
    ['ID:', ID],
    ...(Parents === undefined || Parents.length === 0 ? [] : [['Parents:', Parents.join(', ')]]),
    ['Created at:', CreatedAt],
    ['Mutable:', String(Type !== 'regular')],
    ['Reclaimable:', String(!InUse)],
    ['Shared:', String(Shared)],
    ['Size:', humanSize(Size)],
    ...(Description === '' ? [] : [['Description:', Description]]),
    ['Usage count:', String(UsageCount)],
    ...(LastUsedAt === null ? [] : [['Last used:', lastUsed(LastUsedAt)]]),
    ['Type:', Type],
  ];
  return alignColumns(`${rows.map(row => row.join('\t')).join('\n')}\n`);
}

const toView = (record: BuildCacheRecord): Record<string, unknown> => ({
  ...record,
  Size: humanSize(record.Size),
  Reclaimable: !record.InUse,
  LastUsedAt: record.LastUsedAt ?? '',
  LastUsedSince: lastUsed(record.LastUsedAt),
  CreatedSince: ago(Date.parse(record.CreatedAt)),
});

const fields: Readonly<Record<string, (record: BuildCacheRecord) => string>> = {
  id: ({ ID }) => ID,
  type: ({ Type }) => Type,
  description: ({ Description }) => Description,
  inuse: ({ InUse }) => String(InUse),
  shared: ({ Shared }) => String(Shared),
  private: ({ Shared }) => String(!Shared),
};

function matches(record: BuildCacheRecord, filters: Readonly<Record<string, readonly string[]>>): boolean {
  return Object.entries(filters).every(([name, values]) => {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (field === undefined) throw new ExitError(1, `invalid filter ${JSON.stringify(name)}: expected ${Object.keys(fields).join(', ')}`);
    return values.some(value => field(record).includes(value));
  });
}
