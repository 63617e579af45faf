import { createHash, createHmac } from 'node:crypto';

export interface S3Server extends AsyncDisposable {
  readonly url: string;
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Every request as `METHOD path`, in order. */
  readonly requests: string[];
  /** Answers before the server does; undefined: let it answer. */
  intercept: ((request: Request) => Response | undefined) | undefined;
}

interface StoredObject {
  readonly data: Uint8Array;
  readonly modified: Date;
}

interface MultipartUpload {
  readonly key: string;
  readonly parts: Map<number, Uint8Array>;
}

const leastPartBytes = 5 * 1024 * 1024;

/**
 * An S3 service in memory with one bucket, after Amazon's API reference: signatures of version 4 in headers and in URLs are verified, listings have
 * delimiters and pages, large objects come in parts of which all but the last have at least 5 MiB, and nothing of them shows before they are complete.
 */
export function startS3Server(): S3Server {
  const objects = new Map<string, StoredObject>();
  const uploads = new Map<string, MultipartUpload>();
  const bucket = 'images';
  const [accessKey, secretKey] = ['tester', 'tester-secret'];
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    async fetch(request) {
      const url = new URL(request.url);
      state.requests.push(`${request.method} ${url.pathname}`);
      const intercepted = state.intercept?.(request);
      if (intercepted !== undefined) return intercepted;
      const body = await request.bytes();
      const refused = verify(request, url, body);
      if (refused !== undefined) return refused;
      const [, named = '', ...rest] = decodeURIComponent(url.pathname).split('/');
      if (named !== bucket) return failure(404, 'NoSuchBucket');
      const key = rest.join('/');
      return key === '' ? list(url.searchParams) : answer(request, key, url.searchParams, body);
    },
  });
  const state: S3Server = {
    url: `http://127.0.0.1:${String(server.port)}`,
    bucket,
    accessKey,
    secretKey,
    requests: [],
    intercept: undefined,
    async [Symbol.asyncDispose]() {
      await server.stop(true);
    },
  };

  const answer = (request: Request, key: string, query: URLSearchParams, body: Uint8Array): Response => {
    const uploadId = query.get('uploadId');
    if (request.method === 'POST' && query.has('uploads')) {
      const id = crypto.randomUUID();
      uploads.set(id, { key, parts: new Map() });
      return xml(
        `<InitiateMultipartUploadResult><Bucket>${bucket}</Bucket><Key>${escaped(key)}</Key><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
      );
    }
    if (uploadId !== null) return multipart(request, key, uploadId, query, body);
    const found = objects.get(key);
    switch (request.method) {
      case 'PUT':
        objects.set(key, { data: body, modified: new Date() });
        return new Response(null, { headers: { ETag: etag(body) } });
      case 'DELETE':
        objects.delete(key);
        return new Response(null, { status: 204 });
      case 'HEAD':
      case 'GET':
        if (found === undefined) return request.method === 'HEAD' ? new Response(null, { status: 404 }) : failure(404, 'NoSuchKey');
        return content(request, found);
      default:
        return failure(405, 'MethodNotAllowed');
    }
  };

  const multipart = (request: Request, key: string, id: string, query: URLSearchParams, body: Uint8Array): Response => {
    const upload = uploads.get(id);
    if (upload?.key !== key) return failure(404, 'NoSuchUpload');
    if (request.method === 'DELETE') {
      uploads.delete(id);
      return new Response(null, { status: 204 });
    }
    if (request.method === 'PUT') {
      upload.parts.set(Number(query.get('partNumber')), body);
      return new Response(null, { headers: { ETag: etag(body) } });
    }
    const wanted = [...new TextDecoder().decode(body).matchAll(/<PartNumber>(\d+)<\/PartNumber>\s*<ETag>([^<]+)<\/ETag>/g)];
    const parts = wanted.map(([, number, tag]) => ({ data: upload.parts.get(Number(number)), tag: tag?.replaceAll('&quot;', '"') }));
    if (
      parts.length === 0 ||
      parts.some(({ data, tag }) => data === undefined || etag(data).replaceAll('"', '') !== tag?.replaceAll('"', ''))
    )
      return failure(400, 'InvalidPart');
    if (parts.slice(0, -1).some(({ data }) => (data?.length ?? 0) < leastPartBytes)) return failure(400, 'EntityTooSmall');
    objects.set(key, { data: Buffer.concat(parts.map(({ data }) => data ?? new Uint8Array())), modified: new Date() });
    uploads.delete(id);
    return xml(`<CompleteMultipartUploadResult><Key>${escaped(key)}</Key><ETag>"x"</ETag></CompleteMultipartUploadResult>`);
  };

  const content = (request: Request, { data, modified }: StoredObject): Response => {
    const headers = { 'Last-Modified': modified.toUTCString(), ETag: etag(data), 'Content-Type': 'binary/octet-stream' };
    if (request.method === 'HEAD') return new Response(null, { headers: { ...headers, 'Content-Length': String(data.length) } });
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get('range') ?? '');
    if (range === null) return new Response(data as Uint8Array<ArrayBuffer>, { headers });
    const start = Number(range[1]);
    if (start >= data.length) return failure(416, 'InvalidRange');
    const part = data.slice(start, range[2] === '' ? undefined : Number(range[2]) + 1);
    return new Response(part, {
      status: 206,
      headers: { ...headers, 'Content-Range': `bytes ${String(start)}-${String(start + part.length - 1)}/${String(data.length)}` },
    });
  };

  /** ListObjectsV2. */
  const list = (query: URLSearchParams): Response => {
    const [prefix, delimiter] = [query.get('prefix') ?? '', query.get('delimiter') ?? ''];
    const most = Math.min(Number(query.get('max-keys') ?? 1000), 1000);
    const after = query.get('continuation-token') ?? query.get('start-after') ?? '';
    const shown = new Map<string, StoredObject | undefined>();
    for (const [key, object] of [...objects].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (!key.startsWith(prefix)) continue;
      const end = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
      const name = end < 0 ? key : key.slice(0, end + 1);
      if (name > after) shown.set(name, end < 0 ? object : undefined);
    }
    const page = [...shown].slice(0, most);
    const isTruncated = shown.size > page.length;
    const items = page.map(([name, object]) =>
      object === undefined
        ? `<CommonPrefixes><Prefix>${escaped(name)}</Prefix></CommonPrefixes>`
        : `<Contents><Key>${escaped(name)}</Key><Size>${String(object.data.length)}</Size><LastModified>${object.modified.toISOString()}</LastModified></Contents>`,
    );
    const next = isTruncated ? `<NextContinuationToken>${escaped(page.at(-1)?.[0] ?? '')}</NextContinuationToken>` : '';
    return xml(
      `<ListBucketResult><Name>${bucket}</Name><KeyCount>${String(page.length)}</KeyCount><IsTruncated>${String(isTruncated)}</IsTruncated>${next}${items.join('')}</ListBucketResult>`,
    );
  };

  /** Signature version 4, in the Authorization header or in the query. */
  const verify = (request: Request, url: URL, body: Uint8Array): Response | undefined => {
    const header = /^AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=(\w+)$/.exec(
      request.headers.get('authorization') ?? '',
    );
    const query = [...url.searchParams].filter(([name]) => name !== 'X-Amz-Signature');
    const credential = header?.[1] ?? url.searchParams.get('X-Amz-Credential') ?? '';
    const [key, day = '', region = '', service = ''] = credential.split('/');
    if (key !== accessKey) return failure(403, 'InvalidAccessKeyId');
    const signed = header?.[2] ?? url.searchParams.get('X-Amz-SignedHeaders') ?? '';
    const given = header?.[3] ?? url.searchParams.get('X-Amz-Signature');
    const time = request.headers.get('x-amz-date') ?? url.searchParams.get('X-Amz-Date') ?? '';
    const hash = request.headers.get('x-amz-content-sha256') ?? 'UNSIGNED-PAYLOAD';
    if (/^[0-9a-f]{64}$/.test(hash) && hash !== createHash('sha256').update(body).digest('hex'))
      return failure(400, 'XAmzContentSHA256Mismatch');
    const canonical = [
      request.method,
      url.pathname
        .split('/')
        .map(part => encoded(decodeURIComponent(part)))
        .join('/'),
      query
        .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
        .sort()
        .join('&'),
      ...signed.split(';').map(name => `${name}:${(request.headers.get(name) ?? '').trim()}`),
      '',
      signed,
      header === null ? 'UNSIGNED-PAYLOAD' : hash,
    ].join('\n');
    const scope = `${day}/${region}/${service}/aws4_request`;
    const text = ['AWS4-HMAC-SHA256', time, scope, createHash('sha256').update(canonical).digest('hex')].join('\n');
    const hmac = (by: string | Buffer, value: string): Buffer => createHmac('sha256', by).update(value).digest();
    const signature = hmac(hmac(hmac(hmac(hmac(`AWS4${secretKey}`, day), region), service), 'aws4_request'), text).toString('hex');
    return signature === given ? undefined : failure(403, 'SignatureDoesNotMatch');
  };
  return state;
}

const etag = (data: Uint8Array): string => `"${createHash('md5').update(data).digest('hex')}"`;
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const encoded = (text: string): string =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
const xml = (text: string, status = 200): Response =>
  new Response(`<?xml version="1.0" encoding="UTF-8"?>\n${text}`, { status, headers: { 'Content-Type': 'application/xml' } });
const failure = (status: number, code: string): Response => xml(`<Error><Code>${code}</Code><Message>${code}</Message></Error>`, status);
