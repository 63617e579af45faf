import { filterKeys, parseFilters } from '#api/filters.ts';
import { networkConnectRequest, networkCreateRequest, networkDisconnectRequest } from '#api/requests/network.ts';
import { parseTimestamp } from '#base/timestamp.ts';
import { isBefore } from '#api/versions.ts';
import { invalidArgument } from '#base/errors.ts';
import type { ApiRequest } from '../api-request.ts';
import type { Services } from '../ports.ts';
import { empty, json } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';
import { networkShims, shim } from '../shims.ts';
import { fromWireEndpoint } from '../translate/endpoint.ts';
import { fromNetworkCreate, toWireNetwork } from '../translate/network.ts';

const untilDone = new AbortController().signal;

export function networkRoutes({ networks, containers }: Services): Route[] {
  const list = ({ query, version }: ApiRequest): Reply => {
    const found = networks.list(Object.fromEntries(parseFilters(query.text('filters'), filterKeys.networks)));
    const withUsers = isBefore(version, '1.28');
    return json(found.map(network => shim(networkShims, version, toWireNetwork(network, withUsers ? networks.users(network) : []))));
  };
  return [
    route('GET /networks', list),
    route('GET /networks/', list),
    route('POST /networks/create', async request => {
      const body = await request.requireJson(networkCreateRequest, 'NetworkCreateRequest');
      for (const [field, isAsked] of [
        ['Ingress', body.Ingress === true],
        ['Scope', (body.Scope ?? '') !== '' && body.Scope !== 'local'],
      ] as const) {
        if (isAsked)
          throw invalidArgument(
            `invalid network ${JSON.stringify(body.Name ?? '')}: ${field} is for clusters, which this daemon is not part of`,
          );
      }
      const { id } = await networks.create(fromNetworkCreate(body));
      return json({ Id: id, Warning: '' }, 201);
    }),
    route(
      'POST /networks/prune',
      async ({ query }) => {
        const { until: [until] = [], ...filters } = Object.fromEntries(parseFilters(query.text('filters'), filterKeys.networksPrune));
        const pruned = await networks.prune(filters, until === undefined ? undefined : parseTimestamp(until, Date.now()));
        return json({ NetworksDeleted: pruned.length === 0 ? null : pruned });
      },
      { since: '1.25' },
    ),
    route('GET /networks/{id}', request => {
      const network = networks.inspect(request.param('id'));
      return json(shim(networkShims, request.version, toWireNetwork(network, networks.users(network))));
    }),
    route('DELETE /networks/{id}', async request => {
      await networks.remove(request.param('id'));
      return empty();
    }),
    route('POST /networks/{id}/connect', async request => {
      const body = await request.requireJson(networkConnectRequest, 'NetworkConnectRequest');
      if (isBefore(request.version, '1.48')) delete body.EndpointConfig?.GwPriority;
      const { id } = networks.inspect(request.param('id'));
      await containers.connectNetwork(containerOf(body), id, fromWireEndpoint(body.EndpointConfig ?? {}), untilDone);
      return empty(200);
    }),
    route('POST /networks/{id}/disconnect', async request => {
      const body = await request.requireJson(networkDisconnectRequest, 'NetworkDisconnectRequest');
      const { id } = networks.inspect(request.param('id'));
      await containers.disconnectNetwork(containerOf(body), id, { force: body.Force ?? false });
      return empty(200);
    }),
  ];
}

function containerOf({ Container = '' }: { readonly Container?: string | undefined }): string {
  if (Container === '') throw invalidArgument('invalid name or ID supplied: "": name the container in "Container"');
  return Container;
}
