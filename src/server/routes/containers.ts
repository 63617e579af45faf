import { containerCreateRequest, containerUpdateRequest } from '#api/requests/container.ts';
import { filterKeys, parseFilters } from '#api/filters.ts';
import { isBefore } from '#api/versions.ts';
import { invalidArgument } from '#base/errors.ts';
import type { CheckpointPlace, StopOptions } from '#engine/containers/service.ts';
import type { ApiRequest } from '../api-request.ts';
import type { Services } from '../ports.ts';
import { empty, json } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';
import { containerSummaryShims, createShims, createShimsOnCgroup1, inspectShims, shim, updateShims } from '../shims.ts';
import { fromCreateRequest } from '../translate/container-create.ts';
import { fromUpdateRequest } from '../translate/container-update.ts';
import { toWireInspect, toWireSummary } from '../translate/container-inspect.ts';

/** Nothing that changes a container stops half way because a client hangs up. */
const untilDone = new AbortController().signal;

export function containerRoutes({ containers, system }: Services): Route[] {
  const stopOptions = (request: ApiRequest): StopOptions => ({
    signal: isBefore(request.version, '1.42') ? undefined : request.query.optional('signal'),
    timeoutSeconds: request.query.integer('t'),
  });
  return [
    route('GET /containers/json', async ({ query, version }) => {
      const options = {
        all: query.bool('all'),
        limit: query.integer('limit') ?? 0,
        size: query.bool('size'),
        filters: parseFilters(query.text('filters'), filterKeys.containers),
      };
      return json((await containers.list(options)).map(each => shim(containerSummaryShims, version, toWireSummary(each))));
    }),
    route('POST /containers/create', async request => {
      const body = await request.requireJson(containerCreateRequest, 'ContainerCreateRequest');
      const shims = system.cgroupVersion === 1 ? createShimsOnCgroup1 : createShims;
      const platform = isBefore(request.version, '1.41') ? undefined : request.query.optional('platform');
      const { create, warnings } = fromCreateRequest(shim(shims, request.version, body), request.query.optional('name'), platform);
      const created = await containers.create(create, request.signal);
      return json({ Id: created.id, Warnings: [...warnings, ...created.warnings] }, 201);
    }),
    route('GET /containers/{id}/json', async request => {
      const details = await containers.inspect(request.param('id'), { size: request.query.bool('size') });
      return json(shim(inspectShims, request.version, toWireInspect(details)));
    }),
    route('GET /containers/{id}/top', async request => {
      const { titles, processes } = await containers.top(request.param('id'), request.query.optional('ps_args') ?? '-ef');
      return json({ Titles: titles, Processes: processes });
    }),
    route('POST /containers/{id}/resize', async request => {
      await containers.resize(request.param('id'), { height: request.query.size('h'), width: request.query.size('w') });
      return empty(200);
    }),
    route('POST /containers/{id}/start', async request => {
      refuseStartConfig(request);
      await containers.start(request.param('id'), untilDone, checkpointOf(request, system.experimental));
      return empty();
    }),
    route('POST /containers/{id}/stop', async request => {
      await containers.stop(request.param('id'), stopOptions(request), untilDone);
      return empty();
    }),
    route('POST /containers/{id}/restart', async request => {
      await containers.restart(request.param('id'), stopOptions(request), untilDone);
      return empty();
    }),
    route('POST /containers/{id}/kill', async request => {
      await containers.kill(request.param('id'), request.query.optional('signal'));
      return empty();
    }),
    route('POST /containers/{id}/pause', async request => {
      await containers.pause(request.param('id'));
      return empty();
    }),
    route('POST /containers/{id}/unpause', async request => {
      await containers.unpause(request.param('id'));
      return empty();
    }),
    route('POST /containers/{id}/rename', request => {
      containers.rename(request.param('id'), request.query.text('name'));
      return empty();
    }),
    route('POST /containers/{id}/update', async request => {
      const body = await request.requireJson(containerUpdateRequest, 'UpdateConfig');
      const warnings = await containers.update(request.param('id'), fromUpdateRequest(shim(updateShims, request.version, body)));
      return json({ Warnings: warnings.length === 0 ? null : warnings });
    }),
    route('POST /containers/{id}/wait', request => waitFor(request, containers)),
    route('DELETE /containers/{id:.*}', async request => {
      const { query } = request;
      await containers.remove(request.param('id'), { force: query.bool('force'), volumes: query.bool('v'), link: query.bool('link') });
      return empty();
    }),
    route(
      'POST /containers/prune',
      async ({ query }) => {
        const pruned = await containers.prune(parseFilters(query.text('filters'), filterKeys.containersPrune));
        return json({ ContainersDeleted: pruned.ids.length === 0 ? null : pruned.ids, SpaceReclaimed: pruned.reclaimedBytes });
      },
      { since: '1.25' },
    ),
  ];
}

/** Until 1.23 a start could carry a configuration. Refused rather than ignored; the empty objects that clients send pass. */
function refuseStartConfig(request: ApiRequest): void {
  const lengthBytes = Number(request.header('content-length') ?? 0);
  if (lengthBytes > 7 || request.header('transfer-encoding') !== undefined) {
    throw invalidArgument('starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24');
  }
}

/** The headers go out at once: they tell a client that the wait has begun, and that it may start the container. */
function waitFor(request: ApiRequest, containers: Services['containers']): Reply {
  const before130 = isBefore(request.version, '1.30');
  const condition = before130 ? 'not-running' : (request.query.optional('condition') ?? 'not-running');
  const { ended } = containers.wait(request.param('id'), condition, request.signal);
  const body = (async function* () {
    const { exitCode, error } = await ended;
    yield `${JSON.stringify({ StatusCode: exitCode, ...(error === undefined ? {} : { Error: { Message: error } }) })}\n`;
  })();
  return { kind: 'stream', status: 200, contentType: 'application/json', start: before130 ? 'with-data' : 'at-once', body };
}

function checkpointOf({ query }: ApiRequest, isExperimental: boolean): CheckpointPlace | undefined {
  const name = query.text('checkpoint');
  if (name === '') return undefined;
  if (!isExperimental) throw invalidArgument('checkpoint is only supported in experimental mode');
  return { name, directory: query.text('checkpoint-dir') };
}
