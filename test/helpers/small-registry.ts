import { runInNamespace } from '#host/sys/netns.ts';
import { sha256 } from '#oci/digest.ts';

/** A registry in this process that can be told to misbehave. */
export interface SmallRegistry extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly address: string;
  readonly port: number;
  readonly blobs: Map<string, Uint8Array>;
  /** By `repository:tag` and `repository@digest`. */
  readonly manifests: Map<string, { readonly bytes: Uint8Array; readonly mediaType: string }>;
  /** Every request as `METHOD path`, in order. */
  readonly requests: { readonly line: string; readonly headers: Headers }[];
  /** Answers before the registry does; undefined: let it answer. */
  intercept: ((request: Request, path: string) => Response | undefined | Promise<Response | undefined>) | undefined;
  /** What a request must carry. */
  auth:
    | { readonly kind: 'basic'; readonly header: string }
    | { readonly kind: 'bearer'; readonly tokens: ReadonlySet<string>; readonly realm: string }
    | undefined;
}

export interface SmallRegistryOptions {
  /** Default: `127.0.0.1`, on a free port. */
  readonly hostname?: string;
  readonly port?: number;
  /** Of files; with `ca` clients must show a certificate of it. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca?: string };
  /** Path of the network namespace to serve in. */
  readonly networkPath?: string;
}

export function startSmallRegistry(options: SmallRegistryOptions = {}): SmallRegistry {
  const { hostname = '127.0.0.1', port: wantedPort = 0, tls, networkPath } = options;
  const uploads = new Map<string, Uint8Array[]>();
  const registry: Omit<SmallRegistry, 'address' | 'port' | typeof Symbol.asyncDispose> = {
    blobs: new Map(),
    manifests: new Map(),
    requests: [],
    intercept: undefined,
    auth: undefined,
  };
  const inside = <T>(action: () => T): T => (networkPath === undefined ? action() : runInNamespace(networkPath, action));
  const server = inside(() =>
    Bun.serve({
      port: wantedPort,
      hostname,
      ...(tls !== undefined && {
        tls: {
          cert: Bun.file(tls.cert),
          key: Bun.file(tls.key),
          ...(tls.ca !== undefined && { ca: Bun.file(tls.ca), requestCert: true, rejectUnauthorized: true }),
        },
      }),
      async fetch(request) {
        const url = new URL(request.url);
        registry.requests.push({ line: `${request.method} ${url.pathname}${url.search}`, headers: request.headers });
        const intercepted = await registry.intercept?.(request, url.pathname);
        return intercepted ?? refuse(request) ?? (await answer(request, url));
      },
    }),
  );
  const base = `${hostname}:${String(server.port)}`;

  const refuse = (request: Request): Response | undefined => {
    const { auth } = registry;
    const given = request.headers.get('authorization');
    if (auth === undefined) return undefined;
    if (auth.kind === 'basic' ? given === auth.header : auth.tokens.has(given?.replace('Bearer ', '') ?? '')) return undefined;
    const challenge = auth.kind === 'basic' ? 'Basic realm="test"' : `Bearer realm="${auth.realm}",service="test",scope="ignored"`;
    return Response.json(
      { errors: [{ code: 'UNAUTHORIZED', message: 'authentication required' }] },
      { status: 401, headers: { 'WWW-Authenticate': challenge } },
    );
  };

  const answer = async (request: Request, url: URL): Promise<Response> => {
    const [, name = '', what = '', id = ''] = /^\/v2\/(.+)\/(manifests|blobs|tags)\/(.+)$/.exec(url.pathname) ?? [];
    if (url.pathname === '/v2/') return Response.json({});
    const upload = /^\/v2\/(.+)\/blobs\/uploads\/(.*)$/.exec(url.pathname);
    if (upload !== null) return await takeUpload(request, url, upload[2] ?? '');
    if (what === 'tags') {
      const tags = [...registry.manifests.keys()].flatMap(key => (key.startsWith(`${name}:`) ? [key.slice(name.length + 1)] : []));
      return Response.json({ name, tags });
    }
    if (what === 'manifests' && request.method === 'PUT') {
      const bytes = new Uint8Array(await request.arrayBuffer());
      const manifest = { bytes, mediaType: request.headers.get('content-type') ?? '' };
      registry.manifests.set(`${name}:${id}`, manifest);
      registry.manifests.set(`${name}@${sha256(bytes)}`, manifest);
      return new Response(null, { status: 201, headers: { 'Docker-Content-Digest': sha256(bytes) } });
    }
    if (what === 'manifests') {
      const manifest = registry.manifests.get(id.includes(':') ? `${name}@${id}` : `${name}:${id}`);
      if (manifest === undefined) return failure(404, 'MANIFEST_UNKNOWN', 'manifest unknown');
      return new Response(manifest.bytes, {
        headers: { 'Content-Type': manifest.mediaType, 'Docker-Content-Digest': sha256(manifest.bytes) },
      });
    }
    const blob = registry.blobs.get(id);
    if (blob === undefined) return failure(404, 'BLOB_UNKNOWN', 'blob unknown to registry');
    return blobAnswer(request, blob, bytes => bytes);
  };

  const takeUpload = async (request: Request, url: URL, id: string): Promise<Response> => {
    const mount = url.searchParams.get('mount');
    if (request.method === 'POST' && mount !== null && registry.blobs.has(mount)) return new Response(null, { status: 201 });
    if (request.method === 'POST') {
      const session = crypto.randomUUID();
      uploads.set(session, []);
      // Relative, with a query that has to come back.
      return new Response(null, { status: 202, headers: { Location: `${session}?state=a%2Fb` } });
    }
    const parts = uploads.get(id);
    if (parts === undefined || url.searchParams.get('state') !== 'a/b') return failure(404, 'BLOB_UPLOAD_UNKNOWN', 'blob upload unknown');
    parts.push(new Uint8Array(await request.arrayBuffer()));
    if (request.method === 'PATCH') {
      return new Response(null, {
        status: 202,
        headers: { Location: `${tls === undefined ? 'http' : 'https'}://${base}${url.pathname}?state=a%2Fb` },
      });
    }
    uploads.delete(id);
    if (request.method === 'DELETE') return new Response(null, { status: 204 });
    const data = Buffer.concat(parts);
    if (sha256(data) !== url.searchParams.get('digest'))
      return failure(400, 'DIGEST_INVALID', 'provided digest did not match uploaded content');
    registry.blobs.set(sha256(data), data);
    return new Response(null, { status: 201 });
  };

  return Object.assign(registry, {
    address: base,
    port: server.port ?? 0,
    [Symbol.asyncDispose]: async () => {
      await server.stop(true);
    },
  });
}

/** A blob or the part of it that was asked for; `body` makes of its bytes what is sent. */
export function blobAnswer(
  request: Request,
  blob: Uint8Array,
  body: (bytes: Uint8Array) => Uint8Array | ReadableStream<Uint8Array>,
): Response {
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get('range') ?? '');
  const headers = { 'Accept-Ranges': 'bytes' };
  if (range === null) return new Response(body(blob), { headers: { ...headers, 'Content-Length': String(blob.length) } });
  const [from, last] = [Number(range[1]), range[2] === '' ? blob.length - 1 : Number(range[2])];
  return new Response(body(blob.slice(from, last + 1)), {
    status: 206,
    headers: { ...headers, 'Content-Range': `bytes ${from}-${last}/${blob.length}`, 'Content-Length': String(last + 1 - from) },
  });
}

/** The bytes in pieces with pauses between them: a connection with a limit. */
export function slowly(bytes: Uint8Array, pieceBytes: number, pauseMs: number): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream<Uint8Array>({
    async pull(out) {
      await Bun.sleep(pauseMs);
      if (at >= bytes.length) return out.close();
      out.enqueue(bytes.slice(at, at + pieceBytes));
      at += pieceBytes;
    },
  });
}

export const failure = (status: number, code: string, message: string): Response =>
  Response.json({ errors: [{ code, message }] }, { status });
