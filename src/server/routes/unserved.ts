import { notFound, notImplemented, unavailable } from '#base/errors.ts';
import { json } from '../reply.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';

const unserved = (what: string, ...routes: readonly string[]): Route[] =>
  routes.map(methodAndPattern =>
    route(methodAndPattern, () => {
      throw notImplemented(`${methodAndPattern.replaceAll(':.*', '')} is not served by this daemon yet: ${what}`);
    }),
  );

/** Clients match on these words to tell that there is no cluster. */
const notInSwarm = (...routes: readonly string[]): Route[] =>
  routes.map(methodAndPattern =>
    route(methodAndPattern, () => {
      throw unavailable(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
      );
    }),
  );

/** Routes of the Engine API that exist elsewhere but not here: they say so, so that nobody takes them for a spelling mistake. */
export const unservedRoutes = (): Route[] => [
  ...unserved('cluster volumes cannot be changed', 'PUT /volumes/{name:.*}'),
  ...unserved('this daemon does not form clusters', 'POST /swarm/init', 'POST /swarm/join'),
  ...notInSwarm(
    'GET /swarm',
    'POST /swarm/leave',
    'POST /swarm/update',
    'GET /swarm/unlockkey',
    'POST /swarm/unlock',
    'GET /nodes',
    'GET /nodes/{id}',
    'DELETE /nodes/{id}',
    'POST /nodes/{id}/update',
    'GET /services',
    'POST /services/create',
    'GET /services/{id}',
    'DELETE /services/{id}',
    'POST /services/{id}/update',
    'GET /services/{id}/logs',
    'GET /tasks',
    'GET /tasks/{id}',
    'GET /tasks/{id}/logs',
    'GET /secrets',
    'POST /secrets/create',
    'GET /secrets/{id}',
    'DELETE /secrets/{id}',
    'POST /secrets/{id}/update',
    'GET /configs',
    'POST /configs/create',
    'GET /configs/{id}',
    'DELETE /configs/{id}',
    'POST /configs/{id}/update',
  ),
  // Of what there is none, a list is empty and nothing is pruned.
  route('GET /plugins', () => json([])),
  route('GET /plugins/{name:.*}/json', request => {
    throw notFound(`plugin ${JSON.stringify(request.param('name'))} not found`);
  }),
  ...unserved(
    'there are no managed plugins',
    'GET /plugins/privileges',
    'POST /plugins/pull',
    'POST /plugins/create',
    'DELETE /plugins/{name:.*}',
    'POST /plugins/{name:.*}/enable',
    'POST /plugins/{name:.*}/disable',
    'POST /plugins/{name:.*}/upgrade',
    'POST /plugins/{name:.*}/push',
    'POST /plugins/{name:.*}/set',
  ),
];
