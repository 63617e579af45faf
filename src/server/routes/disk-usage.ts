import { invalidArgument } from '#base/errors.ts';
import { isBefore } from '#api/versions.ts';
import type { DiskUsage } from '#api/types/system.ts';
import type { ApiRequest } from '../api-request.ts';
import type { Services } from '../ports.ts';
import { json } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { containerSummaryShims, diskUsageImageShims, shim } from '../shims.ts';
import { toWireSummary } from '../translate/container-inspect.ts';
import { toWireCacheRecord } from '../translate/build.ts';
import { toWireImageSummary } from '../translate/image.ts';
import { toWireVolume } from './volumes.ts';

const parts = ['container', 'image', 'volume', 'build-cache'] as const;
type Part = (typeof parts)[number];

/** GET /system/df. A part that was not asked for is null. */
export async function diskUsage(request: ApiRequest, services: Services): Promise<Reply> {
  const wanted = wantedParts(request);
  const ifWanted = async <T>(part: Part, read: () => Promise<T>): Promise<T | null> => (wanted.has(part) ? await read() : null);
  const [images, containers, volumes, cache] = await Promise.all([
    ifWanted(
      'image',
      async () => await services.images.list({ all: false, filters: {}, sharedSize: true, manifests: false, onDisk: true }),
    ),
    ifWanted('container', async () => await services.containers.list({ all: true, limit: 0, size: 'on-disk', filters: new Map() })),
    ifWanted('volume', async () => await volumesWithUsage(services.volumes)),
    ifWanted('build-cache', async () => await services.builds.usage()),
  ]);
  const usage: DiskUsage = {
    ...(images === null ? {} : { LayersSize: await services.images.diskUsage() }),
    Images: images?.map(image => shim(diskUsageImageShims, request.version, toWireImageSummary(image))) ?? null,
    Containers: containers?.map(each => shim(containerSummaryShims, request.version, toWireSummary(each))) ?? null,
    Volumes: volumes,
    BuildCache: cache?.map(toWireCacheRecord) ?? null,
    ...(isBefore(request.version, '1.44') && cache !== null
      ? { BuilderSize: cache.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) }
      : {}),
  };
  return json(usage);
}

function wantedParts({ query, version }: ApiRequest): ReadonlySet<Part> {
  const asked = isBefore(version, '1.42') ? [] : query.list('type');
  for (const each of asked) {
    if (!parts.some(part => part === each)) throw invalidArgument(`unknown object type: ${each}; expected one of ${parts.join(', ')}`);
  }
  return new Set(parts.filter(part => asked.length === 0 || asked.includes(part)));
}

async function volumesWithUsage(volumes: Services['volumes']): Promise<NonNullable<DiskUsage['Volumes']>> {
  const { volumes: found } = await volumes.list(new Map());
  return await Promise.all(
    found.map(async details => {
      const sizeBytes = await volumes.usage(details.volume.name);
      return { ...toWireVolume(details), UsageData: { Size: sizeBytes ?? -1, RefCount: details.volume.users.length } };
    }),
  );
}
