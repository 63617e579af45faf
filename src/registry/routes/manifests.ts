import { mediaTypes } from '#oci/manifest.ts';
import { pageOf } from '../catalog.ts';
import { parseDigestOf, parseManifestReference, parseRepository, type Repository, type Tag, tryParseTag } from '../names.ts';
import { type StoredManifest, unknownManifest } from '../manifests.ts';
import { refusal } from '../refusal.ts';
import { readLimited } from './body.ts';
import type { Exchange } from './exchange.ts';
import { countParameter, jsonResponse, nextLink } from './paging.ts';

const maxExtraTags = 100;
const maxReferrers = 1000;

export function getManifest(exchange: Exchange, rawName: string, rawReference: string): Response | Promise<Response> {
  const name = parseRepository(rawName);
  exchange.require(name, 'pull');
  const reference = parseManifestReference(rawReference);
  const { manifests, upstreams } = exchange.services;
  const respond = (stored: StoredManifest): Response => {
    const tag = 'tag' in reference ? reference.tag : undefined;
    const { digest, mediaType, bytes } = stored;
    exchange.activity = { action: 'pull', kind: 'manifest', repository: name, digest, tag, mediaType, sizeBytes: bytes.length };
    const etag = `"${digest}"`;
    const headers = { 'Content-Type': mediaType, 'Docker-Content-Digest': digest, ETag: etag };
    if (exchange.request.headers.get('if-none-match') === etag) return new Response(null, { status: 304, headers });
    if (exchange.request.method === 'HEAD') return new Response(null, { headers: { ...headers, 'Content-Length': String(bytes.length) } });
    return new Response(bytes as Uint8Array<ArrayBuffer>, { headers });
  };
  if (upstreams.covers(name)) {
    return upstreams.manifest(name, reference, exchange.request.signal).then(stored => {
      if (stored === undefined) throw unknownManifest(name, reference);
      return respond(stored);
    });
  }
  const known = manifests.findKnown(name, reference);
  return known === undefined ? manifests.get(name, reference).then(respond) : respond(known);
}

export async function putManifest(exchange: Exchange, rawName: string, rawReference: string): Promise<Response> {
  const name = parseRepository(rawName);
  exchange.require(name, 'pull', 'push');
  exchange.requireWritable(name);
  const reference = parseManifestReference(rawReference);
  const tags = 'digest' in reference ? extraTags(exchange) : [];
  const { limits, manifests, catalog } = exchange.services;
  const bytes = await readLimited(exchange.request, limits.maxManifestBytes);
  if (bytes === undefined)
    throw refusal('MANIFEST_INVALID', `manifest invalid: it has more than ${String(limits.maxManifestBytes)} bytes`, { status: 413 });
  const contentType = exchange.request.headers.get('content-type') ?? undefined;
  const stored = await manifests.put(name, reference, { bytes, contentType, tags });
  await catalog.changed(name);
  const { content, digest } = stored;
  exchange.activity = {
    action: 'push',
    kind: 'manifest',
    repository: name,
    digest,
    tag: 'tag' in reference ? reference.tag : tags[0],
    mediaType: stored.mediaType,
    sizeBytes: bytes.length,
    references: [...content.blobs, ...content.foreign, ...content.manifests],
  };
  const headers = new Headers({
    Location: exchange.location(`/v2/${name}/manifests/${digest}`),
    'Docker-Content-Digest': digest,
    'Content-Length': '0',
  });
  if (content.subject !== undefined) headers.set('OCI-Subject', content.subject.digest);
  for (const tag of tags) headers.append('OCI-Tag', tag);
  return new Response(null, { status: 201, headers });
}

function extraTags(exchange: Exchange): Tag[] {
  const texts = exchange.query.getAll('tag');
  if (texts.length > maxExtraTags)
    throw refusal('TAG_INVALID', `at most ${String(maxExtraTags)} tags can be given at once`, { status: 414 });
  return texts.map(text => {
    const tag = tryParseTag(text);
    if (tag === undefined) throw refusal('TAG_INVALID', 'invalid tag', { detail: { tag: text.slice(0, 200) } });
    return tag;
  });
}

export async function deleteManifest(exchange: Exchange, rawName: string, rawReference: string): Promise<Response> {
  const name = parseRepository(rawName);
  exchange.require(name, 'delete');
  exchange.requireDeletable(name);
  const reference = parseManifestReference(rawReference);
  const { manifests, catalog } = exchange.services;
  if ('tag' in reference) {
    const digest = await manifests.resolve(name, reference.tag);
    await manifests.removeTag(name, reference.tag);
    exchange.activity = { action: 'delete', kind: 'tag', repository: name, tag: reference.tag, digest };
  } else {
    await manifests.remove(name, reference.digest);
    exchange.activity = { action: 'delete', kind: 'manifest', repository: name, digest: reference.digest };
  }
  await catalog.changed(name);
  return new Response(null, { status: 202 });
}

export async function listTags(exchange: Exchange, rawName: string): Promise<Response> {
  const name = parseRepository(rawName);
  exchange.require(name, 'pull');
  const { limits, manifests, upstreams } = exchange.services;
  const count = countParameter(exchange.query);
  const tags = upstreams.covers(name) ? await upstreams.tags(name, exchange.request.signal) : await manifests.tags(name);
  if (count === 0) return jsonResponse({ name, tags: [] });
  const page = pageOf(tags, Math.min(count ?? limits.maxTags, limits.maxTags), exchange.query.get('last') ?? undefined);
  return jsonResponse({ name, tags: page.items }, nextLink(`/v2/${name}/tags/list`, page, count));
}

export async function listReferrers(exchange: Exchange, rawName: string, rawDigest: string): Promise<Response> {
  const name: Repository = parseRepository(rawName);
  exchange.require(name, 'pull');
  const digest = parseDigestOf(rawDigest);
  const wanted = exchange.query.get('artifactType');
  const all = await exchange.services.manifests.referrers(name, digest);
  const matching = wanted === null ? all : all.filter(({ artifactType }) => artifactType === wanted);
  const count = Math.min(countParameter(exchange.query) ?? maxReferrers, maxReferrers);
  const page = pageOf(
    matching.map(entry => entry.digest),
    count,
    exchange.query.get('last') ?? undefined,
  );
  const shown = new Set<string>(page.items);
  const body = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: matching.filter(entry => shown.has(entry.digest)) };
  const link = nextLink(`/v2/${name}/referrers/${digest}`, page, count, wanted === null ? {} : { artifactType: wanted });
  return jsonResponse(body, {
    ...link,
    'Content-Type': mediaTypes.ociIndex,
    ...(wanted !== null && { 'OCI-Filters-Applied': 'artifactType' }),
  });
}
