import type { Digest } from '#oci/digest.ts';
import { parseDigestOf, parseRepository, type Repository, tryParseRepository } from '../names.ts';
import { refusal } from '../refusal.ts';
import { type Algorithm, type ChunkRange, uploadRange } from '../uploads.ts';
import { bodyOf, declaredLength } from './body.ts';
import type { Exchange } from './exchange.ts';
import { byteRange } from './range.ts';

const yearSeconds = '31536000';

export async function getBlob(exchange: Exchange, rawName: string, rawDigest: string): Promise<Response> {
  const name = parseRepository(rawName);
  exchange.require(name, 'pull');
  const digest = parseDigestOf(rawDigest);
  const { blobs, upstreams } = exchange.services;
  const isHead = exchange.request.method === 'HEAD';
  // Whoever only asks whether it is there may leave out an upload because of the answer.
  const isCopy = upstreams.covers(name);
  const size =
    (isHead ? await blobs.promise(name, digest) : (blobs.findKnown(name, digest) ?? (await blobs.find(name, digest)))) ??
    (isCopy ? await upstreams.adopt(name, digest, exchange.request.signal) : undefined);
  if (size === undefined) {
    const fetched = isCopy ? await upstreams.blob(name, digest, exchange.request) : undefined;
    if (fetched === undefined) throw refusal('BLOB_UNKNOWN', undefined, { detail: { digest } });
    exchange.activity = { action: 'pull', kind: 'blob', repository: name, digest, sizeBytes: fetched.sizeBytes };
    return fetched.response;
  }
  exchange.activity = { action: 'pull', kind: 'blob', repository: name, digest, sizeBytes: size };
  const headers: Record<string, string> = {
    'Content-Type': 'application/octet-stream',
    'Docker-Content-Digest': digest,
    ETag: `"${digest}"`,
    'Cache-Control': `max-age=${yearSeconds}`,
    'Accept-Ranges': 'bytes',
  };
  if (exchange.request.headers.get('if-none-match') === headers.ETag) return new Response(null, { status: 304, headers });
  if (isHead) return new Response(null, { headers: { ...headers, 'Content-Length': String(size) } });
  const range = byteRange(exchange.request.headers.get('range'), size);
  if (range === 'unsatisfiable')
    throw refusal('RANGE_INVALID', `the blob has ${String(size)} bytes`, { headers: { 'Content-Range': `bytes */${String(size)}` } });
  if (range === undefined) {
    const small = blobs.smallContent(digest) ?? (await blobs.readSmall(digest, size));
    if (small !== undefined) return new Response(small as Uint8Array<ArrayBuffer>, { headers });
  }
  const content = blobs.content(digest, size, range);
  if ('redirect' in content) return new Response(null, { status: 307, headers: { ...headers, Location: content.redirect } });
  if (range === undefined) return new Response(content.body, { headers: { ...headers, 'Content-Length': String(size) } });
  return new Response(content.body, {
    status: 206,
    headers: {
      ...headers,
      'Content-Range': `bytes ${String(range.start)}-${String(range.end)}/${String(size)}`,
      'Content-Length': String(range.end - range.start + 1),
    },
  });
}

export async function deleteBlob(exchange: Exchange, rawName: string, rawDigest: string): Promise<Response> {
  const name = parseRepository(rawName);
  exchange.require(name, 'delete');
  exchange.requireDeletable(name);
  const digest = parseDigestOf(rawDigest);
  await exchange.services.blobs.remove(name, digest);
  exchange.activity = { action: 'delete', kind: 'blob', repository: name, digest };
  return new Response(null, { status: 202, headers: { 'Docker-Content-Digest': digest } });
}

/** Begins an upload, or makes a blob at once: from another repository, or from the bytes that came along. */
export async function startUpload(exchange: Exchange, rawName: string): Promise<Response> {
  const name = parseRepository(rawName);
  exchange.require(name, 'pull', 'push');
  exchange.requireWritable(name);
  const { query, services } = exchange;
  const mount = query.get('mount');
  if (mount !== null) {
    const mounted = await mountBlob(exchange, name, parseDigestOf(mount), query.get('from'));
    if (mounted !== undefined) return mounted;
  }
  const digest = query.get('digest');
  if (digest !== null && mount === null) return await storeWhole(exchange, name, parseDigestOf(digest));
  const id = await services.uploads.start(name, algorithmNamed(query.get('digest-algorithm')));
  return uploadResponse(exchange, name, id, 0, 202);
}

async function mountBlob(exchange: Exchange, name: Repository, digest: Digest, from: string | null): Promise<Response | undefined> {
  const source = tryParseRepository(from ?? '');
  if (source === undefined || !exchange.actor.may({ repository: source, actions: ['pull'] })) return undefined;
  const size = await exchange.services.blobs.mount(name, digest, source);
  if (size === undefined) return undefined;
  exchange.activity = { action: 'mount', kind: 'blob', repository: name, digest, sizeBytes: size, fromRepository: source };
  return blobCreated(exchange, name, digest);
}

async function storeWhole(exchange: Exchange, name: Repository, digest: Digest): Promise<Response> {
  const { quotas, uploads } = exchange.services;
  quotas.expect(name, declaredLength(exchange.request) ?? 0);
  const size = await uploads.store(name, digest, await bodyOf(exchange.request), { onReceived: exchange.waitLonger });
  exchange.activity = { action: 'push', kind: 'blob', repository: name, digest, sizeBytes: size };
  return blobCreated(exchange, name, digest);
}

function algorithmNamed(text: string | null): Algorithm {
  if (text === null || text === 'sha256' || text === 'sha384' || text === 'sha512') return text ?? 'sha256';
  throw refusal('DIGEST_INVALID', `unsupported digest algorithm "${text.slice(0, 50)}": sha256, sha384 and sha512 are known`);
}

export async function appendUpload(exchange: Exchange, rawName: string, id: string): Promise<Response> {
  const name = parseRepository(rawName);
  exchange.require(name, 'pull', 'push');
  exchange.requireWritable(name);
  const { uploads, quotas } = exchange.services;
  const before = uploads.offset(name, id);
  quotas.expect(name, before + (declaredLength(exchange.request) ?? 0));
  const offset = await uploads.append(name, id, await bodyOf(exchange.request), chunkRange(exchange.request));
  return uploadResponse(exchange, name, id, offset, 202);
}

export async function finishUpload(exchange: Exchange, rawName: string, id: string): Promise<Response> {
  const name = parseRepository(rawName);
  exchange.require(name, 'pull', 'push');
  exchange.requireWritable(name);
  const digest = parseDigestOf(exchange.query.get('digest'));
  const { uploads } = exchange.services;
  uploads.offset(name, id);
  const range = chunkRange(exchange.request);
  const size = await uploads.finish(name, id, digest, await bodyOf(exchange.request), { range, onReceived: exchange.waitLonger });
  exchange.activity = { action: 'push', kind: 'blob', repository: name, digest, sizeBytes: size };
  return blobCreated(exchange, name, digest);
}

export function uploadStatus(exchange: Exchange, rawName: string, id: string): Response {
  const name = parseRepository(rawName);
  exchange.require(name, 'pull', 'push');
  return uploadResponse(exchange, name, id, exchange.services.uploads.offset(name, id), 204);
}

export async function cancelUpload(exchange: Exchange, rawName: string, id: string): Promise<Response> {
  const name = parseRepository(rawName);
  exchange.require(name, 'pull', 'push');
  await exchange.services.uploads.cancel(name, id);
  return new Response(null, { status: 204 });
}

/** `Content-Range: 0-99`, without a unit; clients that send one are understood. */
function chunkRange(request: Request): ChunkRange | undefined {
  const text = request.headers.get('content-range');
  if (text === null) return undefined;
  const match = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(text.trim());
  const range = match === null ? undefined : { start: Number(match[1]), end: Number(match[2]) };
  if (range === undefined || range.end < range.start)
    throw refusal('BLOB_UPLOAD_INVALID', `the header Content-Range is "${text.slice(0, 100)}": expected first-last, such as 0-1023`);
  const length = declaredLength(request);
  if (length !== undefined && length !== range.end - range.start + 1)
    throw refusal('SIZE_INVALID', `Content-Range ${text} and Content-Length ${String(length)} do not agree`);
  return range;
}

const uploadResponse = (exchange: Exchange, name: Repository, id: string, offset: number, status: number): Response =>
  new Response(null, {
    status,
    headers: {
      Location: exchange.location(`/v2/${name}/blobs/uploads/${id}`),
      Range: uploadRange(offset),
      'Docker-Upload-UUID': id,
      'Content-Length': '0',
    },
  });

const blobCreated = (exchange: Exchange, name: Repository, digest: Digest): Response =>
  new Response(null, {
    status: 201,
    headers: { Location: exchange.location(`/v2/${name}/blobs/${digest}`), 'Docker-Content-Digest': digest, 'Content-Length': '0' },
  });
