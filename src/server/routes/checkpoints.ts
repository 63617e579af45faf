import { checkpointCreateRequest } from '#api/requests/container.ts';
import { notImplemented } from '#base/errors.ts';
import type { Services } from '../ports.ts';
import { empty, json } from '../reply.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';

const untilDone = new AbortController().signal;

/** Docker calls them experimental, and serves them only when asked to serve what is. */
export function checkpointRoutes({ containers, system }: Services): Route[] {
  const requireExperimental = (): void => {
    if (system.experimental) return;
    throw notImplemented(
      'This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it.',
    );
  };
  return [
    route('GET /containers/{id}/checkpoints', request => {
      requireExperimental();
      const names = containers.listCheckpoints(request.param('id'), request.query.text('dir'));
      return json(names.length === 0 ? null : names.map(Name => ({ Name })));
    }),
    route('POST /containers/{id}/checkpoints', async request => {
      requireExperimental();
      const body = await request.requireJson(checkpointCreateRequest, 'CheckpointCreateRequest');
      const place = { name: body.CheckpointID ?? '', directory: body.CheckpointDir ?? '' };
      await containers.createCheckpoint(request.param('id'), { ...place, leavesRunning: body.Exit !== true }, untilDone);
      return empty(201);
    }),
    route('DELETE /containers/{id}/checkpoints/{checkpoint}', request => {
      requireExperimental();
      containers.removeCheckpoint(request.param('id'), request.param('checkpoint'), request.query.text('dir'));
      return empty();
    }),
  ];
}
