import type { ContainerSummary } from '#api/types/container.ts';
import type { ImageSummary } from '#api/types/image.ts';
import type { BuildCacheRecord, DiskUsage } from '#api/types/system.ts';
import type { Volume } from '#api/types/volume.ts';
import { defineCommand, noArgs } from '../../command.ts';
import { bool, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { type ListView, printList } from '../../output/list.ts';
import { humanSize } from '../../output/units.ts';
import { printDetails } from './df-details.ts';

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['system df'],
  short: 'Show how much disk space is used',
  args: noArgs,
  flags: { format: text(formatUsage('table')), verbose: bool('Show each object', { short: 'v' }) },
  async run(cli, { flags }) {
    const { system } = await cli.client();
    const usage = await system.diskUsage();
    if (flags.verbose) await printDetails(cli, usage, flags.format);
    else await printList(cli, view, summarize(usage), { format: flags.format });
  },
});

interface Row {
  readonly type: string;
  readonly total: number;
  readonly active: number;
  readonly sizeBytes: number;
  readonly reclaimable: string;
}

const isActive = (container: ContainerSummary): boolean => /running|paused|restarting/.test(container.State);

function summarize(usage: DiskUsage): Row[] {
  return [
    summarizeImages(usage.Images ?? [], usage.LayersSize ?? 0),
    summarizeContainers(usage.Containers ?? []),
    summarizeVolumes(usage.Volumes ?? []),
    summarizeCache(usage.BuildCache ?? []),
  ];
}

const withPercent = (part: number, whole: number): string =>
  whole > 0 ? `${humanSize(part)} (${Math.trunc((part * 100) / whole)}%)` : humanSize(part);

function summarizeImages(images: readonly ImageSummary[], layersBytes: number): Row {
  // A layer that a used image shares stays.
  let used = 0;
  for (const image of images) {
    if (image.Containers === 0 || image.Size === -1 || image.SharedSize === -1) continue;
    used += image.Size - image.SharedSize;
  }
  const active = images.filter(image => image.Containers > 0).length;
  return {
    type: 'Images',
    total: images.length,
    active,
    sizeBytes: layersBytes,
    reclaimable: withPercent(layersBytes - used, layersBytes),
  };
}

function summarizeContainers(containers: readonly ContainerSummary[]): Row {
  const size = (list: readonly ContainerSummary[]): number => list.reduce((total, container) => total + (container.SizeRw ?? 0), 0);
  const active = containers.filter(isActive);
  const sizeBytes = size(containers);
  return {
    type: 'Containers',
    total: containers.length,
    active: active.length,
    sizeBytes,
    reclaimable: withPercent(sizeBytes - size(active), sizeBytes),
  };
}

function summarizeVolumes(volumes: readonly Volume[]): Row {
  const known = volumes.filter(volume => volume.UsageData !== undefined && volume.UsageData !== null && volume.UsageData.Size !== -1);
  const size = (list: readonly Volume[]): number => list.reduce((total, volume) => total + (volume.UsageData?.Size ?? 0), 0);
  const free = known.filter(volume => volume.UsageData?.RefCount === 0);
  const active = volumes.filter(volume => (volume.UsageData?.RefCount ?? 0) > 0).length;
  const sizeBytes = size(known);
  return { type: 'Local Volumes', total: volumes.length, active, sizeBytes, reclaimable: withPercent(size(free), sizeBytes) };
}

function summarizeCache(records: readonly BuildCacheRecord[]): Row {
  const size = (list: readonly BuildCacheRecord[]): number => list.reduce((total, record) => total + record.Size, 0);
  const own = records.filter(record => !record.Shared);
  const active = records.filter(record => record.InUse).length;
  const sizeBytes = size(own);
  return {
    type: 'Build Cache',
    total: records.length,
    active,
    sizeBytes,
    reclaimable: humanSize(size(own.filter(record => !record.InUse))),
  };
}

const view: ListView<Row> = {
  typeName: '*formatter.diskUsageImagesContext',
  headers: { Type: 'TYPE', TotalCount: 'TOTAL', Active: 'ACTIVE', Size: 'SIZE', Reclaimable: 'RECLAIMABLE' },
  columns: ['Type', 'TotalCount', 'Active', 'Size', 'Reclaimable'],
  fields: {
    Active: row => String(row.active),
    Reclaimable: row => row.reclaimable,
    Size: row => humanSize(row.sizeBytes),
    TotalCount: row => String(row.total),
    Type: row => row.type,
  },
};
