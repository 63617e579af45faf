import { invalidArgument } from '#base/errors.ts';
import { filterKeys, parseFilters } from '#api/filters.ts';
import { authConfig } from '#api/requests/auth.ts';
import type { ApiRequest } from '../api-request.ts';
import type { Services } from '../ports.ts';
import { empty, json, text } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';
import { diskUsage } from './disk-usage.ts';
import { infoShims, shim } from '../shims.ts';
import { fromAuthConfig } from '../translate/image.ts';
import { formatEvent } from '../translate/event.ts';
import { toWireInfo, toWireVersion } from '../translate/system.ts';

const pingHeaders = {
  'Builder-Version': '2',
  Swarm: 'inactive',
  'Cache-Control': 'no-cache, no-store, must-revalidate',
  Pragma: 'no-cache',
};

export function systemRoutes(services: Services): Route[] {
  const { system, events, images, containers } = services;
  return [
    route('GET /_ping', () => text('OK', pingHeaders)),
    // The command line says hello this way before every command, and most of those that have to be fast start something.
    route('HEAD /_ping', () => {
      containers.expectStart();
      return text('', pingHeaders);
    }),
    route('GET /version', async () => json(toWireVersion(await system.version()))),
    route('GET /info', async request => json(shim(infoShims, request.version, toWireInfo(await system.info())))),
    route('GET /events', request => streamEvents(request, events)),
    route('GET /system/df', async request => await diskUsage(request, services), { since: '1.25' }),
    route('POST /auth', async request => {
      const config = await request.requireJson(authConfig, 'AuthConfig');
      const { identityToken } = await images.login(fromAuthConfig(config), request.signal);
      return json({ Status: 'Login Succeeded', IdentityToken: identityToken });
    }),
    route('OPTIONS /{anyroute:.*}', () => empty(200)),
  ];
}

function streamEvents(request: ApiRequest, events: Services['events']): Reply {
  const sinceNano = request.query.moment('since');
  const untilNano = request.query.moment('until');
  if (sinceNano !== undefined && untilNano !== undefined && untilNano < sinceNano) {
    throw invalidArgument('`since` time cannot be after `until` time');
  }
  const filters = parseFilters(request.query.text('filters'), filterKeys.events);
  // Subscribed before the headers are out: what happens after a client has seen them, it hears of.
  const subscription = events.subscribe({ sinceNano, untilNano, filters }, request.signal);
  return {
    kind: 'stream',
    status: 200,
    contentType: 'application/json',
    start: 'at-once',
    body: (async function* () {
      for await (const event of subscription) yield formatEvent(event);
    })(),
  };
}
