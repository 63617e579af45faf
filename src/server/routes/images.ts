import { filterKeys, parseFilters } from '#api/filters.ts';
import { isBefore } from '#api/versions.ts';
import { invalidArgument, notFound } from '#base/errors.ts';
import { hostPlatform, parsePlatform } from '#oci/platform.ts';
import type { ApiRequest } from '../api-request.ts';
import type { Services } from '../ports.ts';
import { progressReply } from '../progress-stream.ts';
import { empty, json } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';
import { imageInspectShims, imageSummaryShims, shim } from '../shims.ts';
import {
  parsePlatformJson,
  pullReference,
  pushReference,
  registryAuthOf,
  toWireHistory,
  toWireImageInspect,
  toWireImageSummary,
  toWireRemoved,
} from '../translate/image.ts';

export function imageRoutes(services: Services): Route[] {
  const { images } = services;
  return [
    route('GET /images/json', async ({ query, version }) => {
      const filters = Object.fromEntries(parseFilters(query.text('filters'), filterKeys.images));
      const sharedSize = !isBefore(version, '1.42') && query.bool('shared-size');
      const found = await images.list({ all: query.bool('all'), filters, sharedSize });
      return json(found.map(image => shim(imageSummaryShims, version, toWireImageSummary(image))));
    }),
    route('POST /images/create', request => pullOrImport(request, services.imageTransfers)),
    route('POST /images/load', request => {
      const platform = platformSince(request, '1.48');
      const quiet = request.query.bool('quiet', true);
      return progressReply(async report => void (await images.load(request.body, { platform, quiet }, report, request.signal)));
    }),
    route(
      'POST /images/prune',
      async request => {
        const filters = Object.fromEntries(parseFilters(request.query.text('filters'), filterKeys.imagesPrune));
        const { removed, reclaimedBytes } = await images.prune(filters, request.signal);
        return json({ ImagesDeleted: removed.length === 0 ? null : removed.map(toWireRemoved), SpaceReclaimed: reclaimedBytes });
      },
      { since: '1.25' },
    ),
    route('GET /images/get', request => saveReply(request, request.query.list('names').flatMap(splitNames), services.imageTransfers)),
    route('GET /images/{name:.*}/get', request => saveReply(request, [request.param('name')], services.imageTransfers)),
    route('GET /images/{name:.*}/json', async request => {
      const details = await images.inspect(request.param('name'));
      const wanted = platformSince(request, '1.49');
      const { os, architecture } = details.config;
      if (wanted !== undefined && (wanted.os !== os || wanted.architecture !== architecture)) {
        throw notFound(
          `image with reference ${request.param('name')} was found but does not provide the specified platform (${wanted.os}/${wanted.architecture})`,
        );
      }
      return json(shim(imageInspectShims, request.version, toWireImageInspect(details)));
    }),
    route('GET /images/{name:.*}/history', async request => json((await images.history(request.param('name'))).map(toWireHistory))),
    route('POST /images/{name:.*}/tag', async request => {
      await images.tag(request.param('name'), request.query.text('repo'), request.query.text('tag'));
      return empty(201);
    }),
    route('POST /images/{name:.*}/push', request =>
      progressReply(
        async report =>
          await services.imageTransfers.push(
            {
              reference: pushReference(request.param('name'), request.query.text('tag')),
              platform: platformSince(request, '1.46'),
              auth: registryAuthOf(request.header('x-registry-auth')),
              headers: metaHeaders(request),
            },
            report,
            request.signal,
          ),
      ),
    ),
    route('DELETE /images/{name:.*}', async request => {
      const options = { force: request.query.bool('force'), pruneParents: !request.query.bool('noprune') };
      return json((await images.remove(request.param('name'), options)).map(toWireRemoved));
    }),
    route(
      'GET /distribution/{name:.*}/json',
      async request => {
        const auth = registryAuthOf(request.header('x-registry-auth'));
        const { descriptor, platforms } = await services.imageTransfers.distribution(request.param('name'), auth, request.signal);
        return json({ Descriptor: descriptor, Platforms: platforms });
      },
      { since: '1.30' },
    ),
  ];
}

/** Older clients do not know the parameter, so what they send there is not one. */
const platformSince = (request: ApiRequest, since: '1.46' | '1.48' | '1.49') =>
  isBefore(request.version, since) ? undefined : parsePlatformJson(request.query.optional('platform'));

/** Some clients join names with commas. */
const splitNames = (names: string): string[] => names.split(',').filter(name => name !== '');

function saveReply(request: ApiRequest, names: readonly string[], transfers: Services['imageTransfers']): Reply {
  if (names.length === 0) throw invalidArgument('no images to save: name at least one in "names"');
  const platform = platformSince(request, '1.48');
  return {
    kind: 'stream',
    status: 200,
    contentType: 'application/x-tar',
    start: 'with-data',
    body: transfers.save(names, { platform }, request.signal),
  };
}

function pullOrImport(request: ApiRequest, transfers: Services['imageTransfers']): Reply {
  const { query } = request;
  const name = query.text('fromImage');
  const platform = isBefore(request.version, '1.32') ? undefined : query.optional('platform');
  if (name !== '') {
    const pull = {
      ...pullReference(name, query.text('tag')),
      platform: platform === undefined ? undefined : parsePlatform(platform, hostPlatform()),
      auth: registryAuthOf(request.header('x-registry-auth')),
      headers: metaHeaders(request),
    };
    return progressReply(async report => await transfers.pull(pull, report, request.signal));
  }
  const source = query.text('fromSrc');
  if (source === '') throw invalidArgument('nothing to create an image from: give "fromImage" to pull or "fromSrc" to import');
  const options = {
    repo: query.text('repo'),
    tag: query.text('tag'),
    message: query.text('message'),
    changes: query.list('changes'),
    platform,
  };
  return progressReply(async report => {
    const { id } = await transfers.import(
      source === '-' ? request.body : download(source, request.signal),
      options,
      report,
      request.signal,
    );
    return { status: id };
  });
}

async function* download(source: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const url = /^https?:\/\//.test(source) ? source : `http://${source}`;
  const response = await fetch(url, { signal });
  if (!response.ok) throw invalidArgument(`cannot import ${url}: the server answered ${response.status} ${response.statusText}`);
  for await (const chunk of response.body ?? []) yield chunk;
}

/** Headers of the client for the registry. */
function metaHeaders(request: ApiRequest): Record<string, string> {
  const meta: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (name.startsWith('x-meta-') && value !== undefined) meta[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return meta;
}
