import { filterKeys, parseFilters } from '#api/filters.ts';
import { volumeCreateRequest } from '#api/requests/volume.ts';
import type { Volume } from '#api/types/volume.ts';
import { isBefore } from '#api/versions.ts';
import { notImplemented } from '#base/errors.ts';
import type { VolumeDetails } from '#engine/volumes/service.ts';
import type { Services } from '../ports.ts';
import { empty, json } from '../reply.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';

export function volumeRoutes({ volumes }: Services): Route[] {
  return [
    route('GET /volumes', async ({ query }) => {
      const found = await volumes.list(parseFilters(query.text('filters'), filterKeys.volumes));
      return json({ Volumes: found.volumes.map(toWireVolume), Warnings: found.warnings.length === 0 ? null : [...found.warnings] });
    }),
    route('POST /volumes/create', async request => {
      const body = (await request.json(volumeCreateRequest, 'VolumeCreateRequest')) ?? {};
      if (body.ClusterVolumeSpec !== undefined)
        throw notImplemented('cluster volumes are not served: this daemon is not part of a cluster');
      const created = await volumes.create({
        name: body.Name === '' ? undefined : body.Name,
        driver: body.Driver ?? '',
        options: body.DriverOpts ?? {},
        labels: body.Labels ?? {},
      });
      return json(toWireVolume(created), 201);
    }),
    route(
      'POST /volumes/prune',
      async ({ query, version }) => {
        const filters = new Map(parseFilters(query.text('filters'), filterKeys.volumesPrune));
        // Until then a prune took named volumes as well.
        if (isBefore(version, '1.42')) filters.set('all', ['true']);
        const { names, reclaimedBytes } = await volumes.prune(filters);
        return json({ VolumesDeleted: names.length === 0 ? null : names, SpaceReclaimed: reclaimedBytes });
      },
      { since: '1.25' },
    ),
    route('GET /volumes/{name:.*}', async request => json(toWireVolume(await volumes.inspect(request.param('name'))))),
    route('DELETE /volumes/{name:.*}', async request => {
      await volumes.remove(request.param('name'), { force: request.query.bool('force') });
      return empty();
    }),
  ];
}

export const toWireVolume = ({ volume, mountpoint, scope, status }: VolumeDetails): Volume => ({
  ...(volume.createdAt === '' ? {} : { CreatedAt: volume.createdAt }),
  Driver: volume.driver,
  Labels: Object.keys(volume.labels).length === 0 ? null : { ...volume.labels },
  Mountpoint: mountpoint,
  Name: volume.name,
  Options: Object.keys(volume.options).length === 0 ? null : { ...volume.options },
  Scope: scope,
  ...(status === undefined ? {} : { Status: { ...status } }),
});
