import { filterKeys, parseFilters } from '#api/filters.ts';
import { isBefore } from '#api/versions.ts';
import type { ApiVersion } from '#api/versions.ts';
import { invalidArgument } from '#base/errors.ts';
import { hostPlatform, parsePlatform } from '#oci/platform.ts';
import type { Platform } from '#oci/platform.ts';
import { parseReference } from '#oci/reference.ts';
import type { ApiRequest } from '../api-request.ts';
import type { Services } from '../ports.ts';
import { progressReply } from '../progress-stream.ts';
import { empty, json } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';
import { imageInspectShims, imageSummaryShims, shim } from '../shims.ts';
import {
  formatAttestations,
  importReference,
  parsePlatformJson,
  pullReference,
  pushReference,
  registryAuthOf,
  toWireFound,
  toWireHistory,
  toWireImageInspect,
  toWireImageSummary,
  toWireRemoved,
} from '../translate/image.ts';

export function imageRoutes({ images }: Services): Route[] {
  return [
    route('GET /images/json', async ({ query, version }) => {
      const given = Object.fromEntries(parseFilters(query.text('filters'), filterKeys.images));
      const [oldFilter] = isBefore(version, '1.25') && given.reference === undefined ? query.list('filter').filter(Boolean) : [];
      const filters = oldFilter === undefined ? given : { ...given, reference: [oldFilter] };
      const sharedSize = !isBefore(version, '1.42') && query.bool('shared-size');
      const manifests = !isBefore(version, '1.47') && query.bool('manifests');
      const found = await images.list({ all: query.bool('all'), filters, sharedSize, manifests });
      return json(found.map(image => shim(imageSummaryShims, version, toWireImageSummary(image))));
    }),
    route('GET /images/search', async request => {
      const { query } = request;
      const search = {
        term: query.text('term'),
        // As Docker, which cannot tell none from 0.
        limit: query.integer('limit') || undefined,
        filters: Object.fromEntries(parseFilters(query.text('filters'), filterKeys.search)),
        auth: registryAuthOf(request.header('x-registry-auth')),
        headers: metaHeaders(request),
      };
      return json((await images.search(search, request.signal)).map(toWireFound));
    }),
    route('POST /images/create', request => pullOrImport(request, images)),
    route('POST /images/load', request => {
      const platforms = isBefore(request.version, '1.48') ? [] : platformsOf(request, 'platform');
      const quiet = request.query.bool('quiet', true);
      return progressReply(async report => void (await images.load(request.body, { platforms, quiet }, report, request.signal)));
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
    route('GET /images/get', request => saveReply(request, request.query.list('names').flatMap(splitNames), images)),
    route('GET /images/{name:.*}/get', request => saveReply(request, [request.param('name')], images)),
    route('GET /images/{name:.*}/json', async request => {
      const manifests = !isBefore(request.version, '1.48') && request.query.bool('manifests');
      const platform = platformSince(request, '1.49');
      if (manifests && platform !== undefined)
        throw invalidArgument('conflicting options: manifests and platform options cannot both be set');
      const details = await images.inspect(request.param('name'), { platform, manifests });
      return json(shim(imageInspectShims, inspectVersion(request), toWireImageInspect(details)));
    }),
    route('GET /images/{name:.*}/history', async request => {
      return json((await images.history(request.param('name'), platformSince(request, '1.48'))).map(toWireHistory));
    }),
    // Docker has it from API 1.55 on; nobody who asks for it earlier means anything else.
    route('GET /images/{name:.*}/attestations', async request => {
      const { query } = request;
      const [platform, ...more] = query.list('platform');
      if (more.length > 0) throw invalidArgument('only one platform value is currently supported');
      const found = await images.attestations(request.param('name'), {
        platform: parsePlatformJson(platform === '' ? undefined : platform),
        types: query.list('type').flatMap(type => type.trim() || []),
        withStatements: query.bool('statement'),
      });
      return { kind: 'text', status: 200, contentType: 'application/json', text: formatAttestations(found) };
    }),
    route('POST /images/{name:.*}/tag', async request => {
      await images.tag(request.param('name'), request.query.text('repo'), request.query.text('tag'));
      return empty(201);
    }),
    route('POST /images/{name:.*}/push', request => {
      const push = {
        reference: pushReference(request.param('name'), request.query.text('tag')),
        auth: registryAuthOf(request.header('x-registry-auth')),
        headers: metaHeaders(request),
        platform: platformSince(request, '1.46'),
      };
      return progressReply(async report => await images.push(push, report, request.signal));
    }),
    route('DELETE /images/{name:.*}', async request => {
      const platforms = isBefore(request.version, '1.50') ? [] : platformsOf(request, 'platforms');
      const options = { force: request.query.bool('force'), pruneParents: !request.query.bool('noprune'), platforms };
      return json((await images.remove(request.param('name'), options)).map(toWireRemoved));
    }),
    route(
      'GET /distribution/{name:.*}/json',
      async request => {
        const auth = registryAuthOf(request.header('x-registry-auth'));
        const { descriptor, platforms } = await images.inspectRemote(parseReference(request.param('name')), auth, request.signal);
        const { mediaType, digest, sizeBytes } = descriptor;
        return json({ Descriptor: { mediaType, digest, size: sizeBytes }, Platforms: platforms });
      },
      { since: '1.30' },
    ),
  ];
}

/** Older clients do not know the parameter, so what they send there is not one. */
const platformSince = (request: ApiRequest, since: '1.46' | '1.48' | '1.49') =>
  isBefore(request.version, since) ? undefined : parsePlatformJson(request.query.optional('platform'));

/** Each value is one platform, as JSON. */
const platformsOf = (request: ApiRequest, parameter: string): Platform[] =>
  request.query.list(parameter).flatMap(text => parsePlatformJson(text === '' ? undefined : text) ?? []);

/** Compose 1 speaks the newest version that it is offered, but cannot do without what went with 1.45. */
const inspectVersion = (request: ApiRequest): ApiVersion =>
  isBefore('1.44', request.version) && request.header('user-agent')?.startsWith('docker-compose/1.') === true ? '1.44' : request.version;

/** Some clients join names with commas. */
const splitNames = (names: string): string[] => names.split(',').filter(name => name !== '');

function saveReply(request: ApiRequest, names: readonly string[], images: Services['images']): Reply {
  if (names.length === 0) throw invalidArgument('no images to save: name at least one in "names"');
  const platforms = isBefore(request.version, '1.48') ? [] : platformsOf(request, 'platform');
  return {
    kind: 'stream',
    status: 200,
    contentType: 'application/x-tar',
    start: 'with-data',
    body: (async function* () {
      yield* await images.save(names, platforms, request.signal);
    })(),
  };
}

function pullOrImport(request: ApiRequest, images: Services['images']): Reply {
  const { query } = request;
  const name = query.text('fromImage');
  const asked = isBefore(request.version, '1.32') ? undefined : query.optional('platform');
  const platform = asked === undefined ? undefined : parsePlatform(asked, hostPlatform());
  if (name !== '') {
    const pull = {
      ...pullReference(name, query.text('tag')),
      platform,
      auth: registryAuthOf(request.header('x-registry-auth')),
      headers: metaHeaders(request),
    };
    return progressReply(async report => await images.pull(pull, report, request.signal));
  }
  const source = query.text('fromSrc');
  if (source === '') throw invalidArgument('nothing to create an image from: give "fromImage" to pull or "fromSrc" to import');
  const options = {
    reference: importReference(query.text('repo'), query.text('tag')),
    message: query.text('message'),
    changes: query.list('changes'),
    platform,
  };
  return progressReply(async report => {
    const { id } = await images.import(source === '-' ? request.body : source, options, report, request.signal);
    return { status: id };
  });
}

/** Headers of the client for the registry. */
function metaHeaders(request: ApiRequest): Record<string, string> {
  const meta: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (name.startsWith('x-meta-') && value !== undefined) meta[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return meta;
}
