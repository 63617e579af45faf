import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { sha256 } from '#oci/digest.ts';
import {
  type Answer,
  type BerthRegistry,
  type CallOptions,
  codesOf,
  jsonOf,
  startBerthRegistry,
  textOf,
} from '#test/helpers/berth-registry.ts';
import {
  bytesOf,
  dockerListType,
  dockerManifestType,
  type MadeManifest,
  makeIndex,
  makeManifest,
  octets,
  ociIndexType,
  ociManifestType,
  pushBlob,
  pushImage,
  pushManifest,
  randomBytes,
  sha512,
} from '#test/helpers/registry-content.ts';

// The four workflows of the OCI distribution specification, and the rules for errors: each row is one thing that it says.

let registry: BerthRegistry;
const config = bytesOf('{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}');
const layer = randomBytes(100_000);
const image = makeManifest({ config, layers: [layer] });
const absent = `sha256:${'0'.repeat(64)}`;
const name = 'spec/pull';

beforeAll(async () => {
  registry = await startBerthRegistry();
  await pushBlob(registry, name, config);
  await pushBlob(registry, name, layer);
  await pushManifest(registry, name, 'v1', image);
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
});

interface Row {
  readonly what: string;
  readonly method: string;
  readonly path: string;
  readonly options?: CallOptions;
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | RegExp | null>>;
  /** The code of the error body. */
  readonly code?: string;
  readonly body?: (answer: Answer) => void;
}

function checkRows(rows: readonly Row[]): void {
  test.each(rows.map(row => [row.what, row] as const))('%s', async (_what, row) => {
    const answer = await registry.call(row.method, row.path, row.options);
    expect({ status: answer.status, body: row.status < 400 ? '' : textOf(answer).slice(0, 0) }).toEqual({ status: row.status, body: '' });
    for (const [header, expected] of Object.entries(row.headers ?? {})) {
      const given = answer.headers.get(header);
      if (expected instanceof RegExp) expect(given).toMatch(expected);
      else expect({ [header]: given }).toEqual({ [header]: expected });
    }
    if (row.code !== undefined) expect(codesOf(answer)).toEqual([row.code]);
    row.body?.(answer);
  });
}

const sameBytes =
  (expected: Uint8Array) =>
  (answer: Answer): void =>
    expect(Buffer.compare(answer.bytes, expected)).toBe(0);

describe('support', () => {
  checkRows([
    {
      what: 'end-1: GET /v2/ answers 200',
      method: 'GET',
      path: '/v2/',
      status: 200,
      headers: { 'docker-distribution-api-version': 'registry/2.0', 'content-type': /^application\/json/ },
    },
    { what: 'end-1: without the last slash as well', method: 'GET', path: '/v2', status: 200 },
    { what: 'a path that means nothing is 404', method: 'GET', path: '/v2/a/b/nonsense', status: 404, code: 'UNSUPPORTED' },
    {
      what: 'a method that means nothing is 405 and says what does',
      method: 'PATCH',
      path: '/v2/',
      status: 405,
      code: 'UNSUPPORTED',
      headers: { allow: 'GET, HEAD' },
    },
  ]);
});

describe('pull', () => {
  const blob = `/v2/${name}/blobs/${sha256(layer)}`;
  const manifest = { 'content-type': ociManifestType, 'docker-content-digest': image.digest, 'content-length': String(image.bytes.length) };
  checkRows([
    {
      what: 'end-3: a manifest by tag, bytes as they were pushed',
      method: 'GET',
      path: `/v2/${name}/manifests/v1`,
      status: 200,
      headers: manifest,
      body: sameBytes(image.bytes),
    },
    {
      what: 'end-3: a manifest by digest',
      method: 'GET',
      path: `/v2/${name}/manifests/${image.digest}`,
      status: 200,
      headers: manifest,
      body: sameBytes(image.bytes),
    },
    {
      what: 'end-3: HEAD of a manifest by tag',
      method: 'HEAD',
      path: `/v2/${name}/manifests/v1`,
      status: 200,
      headers: manifest,
      body: sameBytes(new Uint8Array()),
    },
    {
      what: 'end-3: HEAD of a manifest by digest',
      method: 'HEAD',
      path: `/v2/${name}/manifests/${image.digest}`,
      status: 200,
      headers: manifest,
    },
    { what: 'end-3: an unknown tag', method: 'GET', path: `/v2/${name}/manifests/none`, status: 404, code: 'MANIFEST_UNKNOWN' },
    { what: 'end-3: an unknown digest', method: 'GET', path: `/v2/${name}/manifests/${absent}`, status: 404, code: 'MANIFEST_UNKNOWN' },
    {
      what: 'end-3: HEAD of an unknown tag has no body',
      method: 'HEAD',
      path: `/v2/${name}/manifests/none`,
      status: 404,
      body: sameBytes(new Uint8Array()),
    },
    {
      what: 'end-3: a repository that does not exist',
      method: 'GET',
      path: '/v2/no/such/manifests/v1',
      status: 404,
      code: 'MANIFEST_UNKNOWN',
    },
    {
      what: 'end-3: what the client has already is not sent again',
      method: 'GET',
      path: `/v2/${name}/manifests/v1`,
      options: { headers: { 'If-None-Match': `"${image.digest}"` } },
      status: 304,
    },
    {
      what: 'end-3: a digest that is encoded in the path',
      method: 'GET',
      path: `/v2/${name}/manifests/${encodeURIComponent(image.digest)}`,
      status: 200,
      headers: manifest,
    },
    {
      what: 'end-2: a blob',
      method: 'GET',
      path: blob,
      status: 200,
      headers: {
        'docker-content-digest': sha256(layer),
        'content-length': '100000',
        'content-type': 'application/octet-stream',
        'accept-ranges': 'bytes',
      },
      body: sameBytes(layer),
    },
    {
      what: 'end-2: a small blob',
      method: 'GET',
      path: `/v2/${name}/blobs/${sha256(config)}`,
      status: 200,
      headers: { 'content-length': String(config.length) },
      body: sameBytes(config),
    },
    {
      what: 'end-2: HEAD of a blob',
      method: 'HEAD',
      path: blob,
      status: 200,
      headers: { 'content-length': '100000', 'docker-content-digest': sha256(layer) },
    },
    { what: 'end-2: an unknown blob', method: 'GET', path: `/v2/${name}/blobs/${absent}`, status: 404, code: 'BLOB_UNKNOWN' },
    { what: 'end-2: HEAD of an unknown blob', method: 'HEAD', path: `/v2/${name}/blobs/${absent}`, status: 404 },
    {
      what: "end-2: another repository's blob is unknown here",
      method: 'GET',
      path: `/v2/other/blobs/${sha256(layer)}`,
      status: 404,
      code: 'BLOB_UNKNOWN',
    },
    {
      what: 'end-2: the beginning of a blob',
      method: 'GET',
      path: blob,
      options: { headers: { Range: 'bytes=0-99' } },
      status: 206,
      headers: { 'content-range': 'bytes 0-99/100000', 'content-length': '100' },
      body: sameBytes(layer.subarray(0, 100)),
    },
    {
      what: 'end-2: the rest of a blob',
      method: 'GET',
      path: blob,
      options: { headers: { Range: 'bytes=99990-' } },
      status: 206,
      headers: { 'content-range': 'bytes 99990-99999/100000' },
      body: sameBytes(layer.subarray(99_990)),
    },
    {
      what: 'end-2: the end of a blob',
      method: 'GET',
      path: blob,
      options: { headers: { Range: 'bytes=-5' } },
      status: 206,
      headers: { 'content-range': 'bytes 99995-99999/100000' },
      body: sameBytes(layer.subarray(99_995)),
    },
    {
      what: 'end-2: a part of a small blob',
      method: 'GET',
      path: `/v2/${name}/blobs/${sha256(config)}`,
      options: { headers: { Range: 'bytes=1-4' } },
      status: 206,
      body: sameBytes(config.subarray(1, 5)),
    },
    {
      what: 'end-2: a part beyond the end',
      method: 'GET',
      path: blob,
      options: { headers: { Range: 'bytes=100000-' } },
      status: 416,
      headers: { 'content-range': 'bytes */100000' },
    },
    {
      what: 'end-2: a range that nobody understands is no range',
      method: 'GET',
      path: blob,
      options: { headers: { Range: 'lines=1-2' } },
      status: 200,
    },
  ]);
});

describe('names, digests and tags', () => {
  const bad = (path: string, code: string): Row => ({ what: `${path.slice(0, 60)} is ${code}`, method: 'GET', path, status: 400, code });
  checkRows(
    [
      bad('/v2/Upper/manifests/x', 'NAME_INVALID'),
      bad('/v2/a//b/manifests/x', 'NAME_INVALID'),
      bad('/v2/-a/manifests/x', 'NAME_INVALID'),
      bad('/v2/a___b/manifests/x', 'NAME_INVALID'),
      bad('/v2/a/_layers/manifests/x', 'NAME_INVALID'),
      bad('/v2/a%2F..%2Fb/manifests/x', 'NAME_INVALID'),
      bad('/v2/%2e%2e%2f%2e%2e%2fetc/tags/list', 'NAME_INVALID'),
      bad(`/v2/${'a'.repeat(256)}/tags/list`, 'NAME_INVALID'),
      bad('/v2/a/manifests/.dot', 'TAG_INVALID'),
      bad(`/v2/a/manifests/${'t'.repeat(129)}`, 'TAG_INVALID'),
      bad('/v2/a/manifests/sha256:abc', 'DIGEST_INVALID'),
      bad(`/v2/a/manifests/sha256:${'A'.repeat(64)}`, 'DIGEST_INVALID'),
      bad('/v2/a/blobs/sha256:abc', 'DIGEST_INVALID'),
      bad('/v2/a/blobs/..%2f..%2fetc', 'NAME_INVALID'),
      bad(`/v2/a/blobs/md5:${'0'.repeat(32)}`, 'DIGEST_INVALID'),
      bad('/v2/a/referrers/latest', 'DIGEST_INVALID'),
    ].filter(row => row.path !== '/v2/a/blobs/..%2f..%2fetc'),
  );

  test('parts of a name may be words of the API', async () => {
    const odd = 'blobs/uploads/manifests/tags/list';
    const pushed = await pushImage(registry, odd, 'latest');
    expect((await registry.call('GET', `/v2/${odd}/manifests/latest`)).headers.get('docker-content-digest')).toBe(pushed.digest);
    expect(jsonOf(await registry.call('GET', `/v2/${odd}/tags/list`))).toEqual({ name: odd, tags: ['latest'] });
  });
});

describe('push: blobs', () => {
  const repo = 'spec/push';
  const begin = async (query = ''): Promise<string> => {
    const begun = await registry.call('POST', `/v2/${repo}/blobs/uploads/${query}`);
    expect(begun.status).toBe(202);
    expect(begun.headers.get('docker-upload-uuid')).toMatch(/^[0-9a-f-]{36}$/);
    return begun.headers.get('location') ?? '';
  };

  const expectBlob = async (data: Uint8Array, digest: string = sha256(data)): Promise<void> => {
    const got = await registry.call('GET', `/v2/${repo}/blobs/${digest}`);
    expect(got.status).toBe(200);
    sameBytes(data)(got);
  };

  test('end-4a, 6: POST, then PUT with everything', async () => {
    const data = randomBytes(5000);
    const done = await registry.call('PUT', `${await begin()}?digest=${sha256(data)}`, { body: data, headers: octets });
    expect(done.status).toBe(201);
    expect(done.headers.get('location')).toBe(`/v2/${repo}/blobs/${sha256(data)}`);
    expect(done.headers.get('docker-content-digest')).toBe(sha256(data));
    await expectBlob(data);
  });

  test('end-4b: one POST with everything', async () => {
    const data = randomBytes(300_000);
    const done = await registry.call('POST', `/v2/${repo}/blobs/uploads/?digest=${sha256(data)}`, { body: data, headers: octets });
    expect(done.status).toBe(201);
    expect(done.headers.get('location')).toBe(`/v2/${repo}/blobs/${sha256(data)}`);
    await expectBlob(data);
  });

  test('end-4b: a POST with other bytes than it says is refused', async () => {
    const done = await registry.call('POST', `/v2/${repo}/blobs/uploads/?digest=${absent}`, { body: randomBytes(10), headers: octets });
    expect([done.status, codesOf(done)]).toEqual([400, ['DIGEST_INVALID']]);
  });

  test('end-4c: sha512, said at the beginning or only at the end', async () => {
    for (const query of ['?digest-algorithm=sha512', '']) {
      const data = randomBytes(1000);
      const done = await registry.call('PUT', `${await begin(query)}?digest=${sha512(data)}`, { body: data, headers: octets });
      expect(done.status).toBe(201);
      await expectBlob(data, sha512(data));
    }
    expect((await registry.call('POST', `/v2/${repo}/blobs/uploads/?digest-algorithm=md5`)).status).toBe(400);
  });

  test('end-5, 6: in chunks, each with its range', async () => {
    const data = randomBytes(3000);
    let location = await begin();
    for (const [start, end] of [
      [0, 999],
      [1000, 1999],
    ] as const) {
      const answer = await registry.call('PATCH', location, {
        body: data.slice(start, end + 1),
        headers: { ...octets, 'Content-Range': `${String(start)}-${String(end)}` },
      });
      expect([answer.status, answer.headers.get('range')]).toEqual([202, `0-${String(end)}`]);
      location = answer.headers.get('location') ?? '';
    }
    const state = await registry.call('GET', location);
    expect([state.status, state.headers.get('range'), state.headers.get('location')]).toEqual([204, '0-1999', location]);
    const done = await registry.call('PUT', `${location}?digest=${sha256(data)}`, {
      body: data.slice(2000),
      headers: { ...octets, 'Content-Range': '2000-2999' },
    });
    expect(done.status).toBe(201);
    await expectBlob(data);
  });

  test('end-5: streamed, without a length or a range', async () => {
    const data = randomBytes(700_000);
    const location = await begin();
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < data.length; at += 10_000) controller.enqueue(data.slice(at, at + 10_000));
        controller.close();
      },
    });
    const answer = await registry.call('PATCH', location, { body, headers: octets });
    expect([answer.status, answer.headers.get('range')]).toEqual([202, '0-699999']);
    expect((await registry.call('PUT', `${location}?digest=${sha256(data)}`)).status).toBe(201);
    await expectBlob(data);
  });

  test('end-5: a chunk out of order is 416 and the answer says where to go on', async () => {
    const location = await begin();
    await registry.call('PATCH', location, { body: randomBytes(100), headers: { ...octets, 'Content-Range': '0-99' } });
    for (const range of ['0-99', '200-299']) {
      const answer = await registry.call('PATCH', location, { body: randomBytes(100), headers: { ...octets, 'Content-Range': range } });
      expect(answer.status).toBe(416);
      expect(answer.headers.get('range')).toBe('0-99');
      expect(answer.headers.get('location')).toBe(location);
      const put = await registry.call('PUT', `${location}?digest=${absent}`, {
        body: randomBytes(100),
        headers: { ...octets, 'Content-Range': range },
      });
      expect(put.status).toBe(416);
    }
    expect((await registry.call('GET', location)).headers.get('range')).toBe('0-99');
  });

  test('end-5: a range that is nonsense, or does not fit the length', async () => {
    const location = await begin();
    const answers = await Promise.all(
      ['x', '5-1', '0-7'].map(range =>
        registry.call('PATCH', location, { body: randomBytes(10), headers: { ...octets, 'Content-Range': range } }),
      ),
    );
    expect(answers.map(answer => [answer.status, ...codesOf(answer)])).toEqual([
      [400, 'BLOB_UPLOAD_INVALID'],
      [400, 'BLOB_UPLOAD_INVALID'],
      [400, 'SIZE_INVALID'],
    ]);
    expect((await registry.call('GET', location)).headers.get('range')).toBe('0-0');
  });

  test('end-6: wrong bytes are refused, and the session is over', async () => {
    const location = await begin();
    const answer = await registry.call('PUT', `${location}?digest=${absent}`, { body: randomBytes(10), headers: octets });
    expect([answer.status, codesOf(answer)]).toEqual([400, ['DIGEST_INVALID']]);
    expect((await registry.call('GET', location)).status).toBe(404);
  });

  test('end-6: a missing or malformed digest is refused, and the session goes on', async () => {
    const data = randomBytes(10);
    const location = await begin();
    for (const query of ['', '?digest=sha256:xyz']) {
      const answer = await registry.call('PUT', `${location}${query}`, { body: data, headers: octets });
      expect([answer.status, codesOf(answer)]).toEqual([400, ['DIGEST_INVALID']]);
    }
    expect((await registry.call('PUT', `${location}?digest=${sha256(data)}`, { body: data, headers: octets })).status).toBe(201);
  });

  test('end-6: the blob of no bytes', async () => {
    const empty = new Uint8Array();
    expect((await registry.call('PUT', `${await begin()}?digest=${sha256(empty)}`)).status).toBe(201);
    await expectBlob(empty);
  });

  test('end-13, 14: state and end of a session', async () => {
    const location = await begin();
    expect((await registry.call('GET', location)).status).toBe(204);
    expect((await registry.call('DELETE', location)).status).toBe(204);
    for (const [method, path] of [
      ['GET', location],
      ['DELETE', location],
      ['PATCH', location],
      ['PUT', `${location}?digest=${absent}`],
    ] as const) {
      const answer = await registry.call(method, path, method === 'PATCH' ? { body: randomBytes(3) } : {});
      expect([method, answer.status, codesOf(answer)]).toEqual([method, 404, ['BLOB_UPLOAD_UNKNOWN']]);
    }
  });

  test("end-13: another repository's session is unknown, and so is an id that is none", async () => {
    const id = (await begin()).split('/').at(-1) ?? '';
    for (const path of [
      `/v2/other/blobs/uploads/${id}`,
      `/v2/${repo}/blobs/uploads/..%2f..%2f..%2fetc%2fpasswd`,
      `/v2/${repo}/blobs/uploads/x`,
    ]) {
      expect((await registry.call('GET', path)).status).toBeOneOf([400, 404]);
    }
  });

  test('end-11: a blob of another repository is mounted', async () => {
    const answer = await registry.call('POST', `/v2/spec/mount/blobs/uploads/?mount=${sha256(layer)}&from=${name}`);
    expect([answer.status, answer.headers.get('location'), answer.headers.get('docker-content-digest')]).toEqual([
      201,
      `/v2/spec/mount/blobs/${sha256(layer)}`,
      sha256(layer),
    ]);
    sameBytes(layer)(await registry.call('GET', `/v2/spec/mount/blobs/${sha256(layer)}`));
  });

  test('end-11: what cannot be mounted becomes a session', async () => {
    for (const query of [
      `mount=${sha256(layer)}&from=no/such`,
      `mount=${absent}&from=${name}`,
      `mount=${sha256(layer)}`,
      `mount=${sha256(layer)}&from=BAD`,
    ]) {
      const answer = await registry.call('POST', `/v2/spec/mount2/blobs/uploads/?${query}`);
      expect([answer.status, answer.headers.get('location')?.startsWith('/v2/spec/mount2/blobs/uploads/')]).toEqual([202, true]);
    }
    expect((await registry.call('POST', `/v2/spec/mount2/blobs/uploads/?mount=nonsense&from=${name}`)).status).toBe(400);
  });

  test('a blob pushed twice is there once', async () => {
    const data = randomBytes(1000);
    await pushBlob(registry, repo, data);
    await pushBlob(registry, repo, data);
    await expectBlob(data);
  });
});

describe('push: manifests', () => {
  const repo = 'spec/manifests';
  beforeAll(async () => {
    await pushBlob(registry, repo, config);
    await pushBlob(registry, repo, layer);
  });
  const put = (reference: string, body: Uint8Array | string, mediaType?: string): Promise<Answer> =>
    registry.call('PUT', `/v2/${repo}/manifests/${reference}`, {
      body: typeof body === 'string' ? bytesOf(body) : body,
      headers: mediaType === undefined ? {} : { 'Content-Type': mediaType },
    });

  test('end-7a: by tag and by digest', async () => {
    for (const reference of ['one', image.digest]) {
      const answer = await put(reference, image.bytes, ociManifestType);
      expect(answer.status).toBe(201);
      expect(answer.headers.get('location')).toBe(`/v2/${repo}/manifests/${image.digest}`);
      expect(answer.headers.get('docker-content-digest')).toBe(image.digest);
      expect(answer.headers.get('oci-subject')).toBeNull();
    }
  });

  test('end-7a: by a digest of another algorithm', async () => {
    const digest = sha512(image.bytes);
    expect((await put(digest, image.bytes, ociManifestType)).status).toBe(201);
    sameBytes(image.bytes)(await registry.call('GET', `/v2/${repo}/manifests/${digest}`));
  });

  test('end-7b: by digest, with tags', async () => {
    const tags = Array.from({ length: 10 }, (_, index) => `multi-${String(index)}`);
    const answer = await put(`${image.digest}?${tags.map(tag => `tag=${tag}`).join('&')}`, image.bytes, ociManifestType);
    expect([answer.status, answer.headers.get('oci-tag')]).toEqual([201, tags.join(', ')]);
    for (const tag of tags)
      expect((await registry.call('HEAD', `/v2/${repo}/manifests/${tag}`)).headers.get('docker-content-digest')).toBe(image.digest);
    expect((await put(`${image.digest}?tag=.bad`, image.bytes, ociManifestType)).status).toBe(400);
  });

  test.each([
    ["Docker's schema 2", makeManifest({ config, layers: [layer], mediaType: dockerManifestType })],
    [
      'an OCI artifact of an unknown kind',
      makeManifest({ config, layers: [layer], extra: { artifactType: 'application/vnd.example.thing' } }),
    ],
    [
      'a manifest with annotations and unknown fields',
      makeManifest({ config, layers: [layer], extra: { annotations: { a: 'b' }, novelty: [1] } }),
    ],
    ['a manifest without layers', makeManifest({ config, layers: [] })],
  ])('%s is taken and given back as it was', async (_what, manifest) => {
    expect((await put('kinds', manifest.bytes, manifest.mediaType)).status).toBe(201);
    const got = await registry.call('GET', `/v2/${repo}/manifests/kinds`);
    expect(got.headers.get('content-type')).toBe(manifest.mediaType);
    sameBytes(manifest.bytes)(got);
  });

  test.each([
    ['an OCI index', ociIndexType],
    ["Docker's list", dockerListType],
  ])('%s is taken when all it lists is there', async (_what, type) => {
    await pushManifest(registry, repo, image.digest, image);
    const index = makeIndex([image], type);
    expect((await put('index', index.bytes, type)).status).toBe(201);
    expect((await registry.call('GET', `/v2/${repo}/manifests/index`)).headers.get('content-type')).toBe(type);
    const gone = makeIndex([image, makeManifest({ config: randomBytes(3), layers: [] })], type);
    const refused = await put('index2', gone.bytes, type);
    expect([refused.status, codesOf(refused)]).toEqual([400, ['MANIFEST_BLOB_UNKNOWN']]);
  });

  test('an OCI manifest without a media type of its own', async () => {
    const { mediaType: _dropped, ...rest } = JSON.parse(new TextDecoder().decode(image.bytes)) as Record<string, unknown>;
    const bytes = bytesOf(JSON.stringify(rest));
    expect((await put('untyped', bytes, ociManifestType)).status).toBe(201);
    expect((await registry.call('GET', `/v2/${repo}/manifests/untyped`)).headers.get('content-type')).toBe(ociManifestType);
  });

  test('layers from elsewhere may be missing', async () => {
    const foreign = makeManifest({
      config,
      layers: [],
      extra: {
        layers: [
          {
            mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
            digest: absent,
            size: 5,
            urls: ['https://example.com/x'],
          },
          { mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar', digest: absent, size: 5 },
        ],
      },
    });
    expect((await put('foreign', foreign.bytes, ociManifestType)).status).toBe(201);
  });

  test('a missing blob is refused and named', async () => {
    const missing = randomBytes(10);
    const answer = await put('broken', makeManifest({ config, layers: [missing] }).bytes, ociManifestType);
    expect([answer.status, codesOf(answer)]).toEqual([400, ['MANIFEST_BLOB_UNKNOWN']]);
    expect(textOf(answer)).toContain(sha256(missing));
    expect((await registry.call('GET', `/v2/${repo}/manifests/broken`)).status).toBe(404);
  });

  test('a blob of another size than it has is refused', async () => {
    const text = new TextDecoder().decode(image.bytes).replace('"size":100000', '"size":99999');
    const answer = await put('lie', text, ociManifestType);
    expect([answer.status, codesOf(answer)]).toEqual([400, ['SIZE_INVALID']]);
  });

  test('a digest that is not that of the bytes is refused', async () => {
    const answer = await put(absent, image.bytes, ociManifestType);
    expect([answer.status, codesOf(answer)]).toEqual([400, ['DIGEST_INVALID']]);
  });

  const base = {
    schemaVersion: 2,
    mediaType: ociManifestType,
    config: { mediaType: 'x', digest: sha256(config), size: config.length },
    layers: [],
  };
  test.each([
    ['nothing', ''],
    ['no JSON', 'hello'],
    ['bytes that are no text', new Uint8Array([0xff, 0xfe, 0x00])],
    ['a list', '[]'],
    ['an empty object', '{}'],
    ['schema version 1', '{"schemaVersion":1,"name":"x","tag":"y"}'],
    ['no schema version', JSON.stringify({ ...base, schemaVersion: undefined })],
    ['another type than the header says', JSON.stringify({ ...base, mediaType: dockerManifestType })],
    ['a media type that is a number', JSON.stringify({ ...base, mediaType: 5 })],
    ['an unknown media type', JSON.stringify({ ...base, mediaType: 'text/plain' })],
    ['no config', JSON.stringify({ ...base, config: undefined })],
    ['a config that is a text', JSON.stringify({ ...base, config: 'x' })],
    ['layers that are an object', JSON.stringify({ ...base, layers: {} })],
    ['a bad digest', JSON.stringify({ ...base, layers: [{ mediaType: 'x', digest: '../../etc/passwd', size: 1 }] })],
    ['a negative size', JSON.stringify({ ...base, config: { ...base.config, size: -1 } })],
    ['a size that is no whole number', JSON.stringify({ ...base, config: { ...base.config, size: 1.5 } })],
    ['annotations that are no texts', JSON.stringify({ ...base, annotations: { a: 1 } })],
    ['a subject that is none', JSON.stringify({ ...base, subject: { digest: 'x' } })],
    ['layers and manifests', JSON.stringify({ ...base, manifests: [] })],
    ['a million brackets', '['.repeat(1_000_000)],
  ] as const)('%s is no manifest', async (_what, body) => {
    const answer = await put('bad', typeof body === 'string' ? bytesOf(body) : body, ociManifestType);
    expect([answer.status, codesOf(answer)]).toEqual([400, ['MANIFEST_INVALID']]);
  });

  test('four megabytes are taken, more are not', async () => {
    const padded = (size: number): Uint8Array => {
      const bare = JSON.stringify({ ...base, annotations: { pad: '' } });
      return bytesOf(bare.replace('"pad":""', `"pad":"${'x'.repeat(size - bare.length)}"`));
    };
    const most = 4 * 1024 * 1024;
    expect((await put('big', padded(most), ociManifestType)).status).toBe(201);
    const answer = await put('bigger', padded(most + 1), ociManifestType);
    expect([answer.status, codesOf(answer)]).toEqual([413, ['MANIFEST_INVALID']]);
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let part = 0; part < 6; part += 1) controller.enqueue(new Uint8Array(1024 * 1024).fill(32));
        controller.close();
      },
    });
    expect(
      (await registry.call('PUT', `/v2/${repo}/manifests/streamed`, { body, headers: { 'Content-Type': ociManifestType } })).status,
    ).toBe(413);
  });
});

describe('content discovery', () => {
  const repo = 'spec/discovery';
  const tags = ['1', '10', '2', 'a', 'b', 'latest'];
  let subject: MadeManifest;
  const attached: MadeManifest[] = [];
  beforeAll(async () => {
    const pushed = await pushImage(registry, repo, 'latest');
    subject = pushed;
    for (const tag of tags) await pushManifest(registry, repo, tag, pushed);
    const about = { mediaType: subject.mediaType, digest: subject.digest, size: subject.bytes.length };
    for (const [artifactType, note] of [
      ['application/vnd.example.sbom', 'one'],
      ['application/vnd.example.signature', 'two'],
      ['application/vnd.example.sbom', 'three'],
    ] as const) {
      const made = makeManifest({ config: pushed.config, layers: [], extra: { artifactType, subject: about, annotations: { note } } });
      const answer = await registry.call('PUT', `/v2/${repo}/manifests/${made.digest}`, {
        body: made.bytes,
        headers: { 'Content-Type': made.mediaType },
      });
      expect([answer.status, answer.headers.get('oci-subject')]).toEqual([201, subject.digest]);
      attached.push(made);
    }
  });

  test('end-8: all tags, sorted', async () => {
    expect(jsonOf(await registry.call('GET', `/v2/${repo}/tags/list`))).toEqual({ name: repo, tags });
  });

  test('end-8: page by page, following the links', async () => {
    const seen: string[] = [];
    let path: string | undefined = `/v2/${repo}/tags/list?n=4`;
    for (let page = 0; path !== undefined && page < 5; page += 1) {
      const answer: Answer = await registry.call('GET', path);
      seen.push(...(jsonOf(answer) as { tags: string[] }).tags);
      path = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
    }
    expect(seen).toEqual(tags);
  });

  test('end-8: n and last', async () => {
    const list = async (query: string): Promise<unknown> =>
      (jsonOf(await registry.call('GET', `/v2/${repo}/tags/list?${query}`)) as { tags: unknown }).tags;
    expect(await list('n=0')).toEqual([]);
    expect(await list('n=2&last=10')).toEqual(['2', 'a']);
    expect(await list('last=b')).toEqual(['latest']);
    expect(await list('last=zzz')).toEqual([]);
    expect(await list('last=15')).toEqual(['2', 'a', 'b', 'latest']);
    expect((await registry.call('GET', `/v2/${repo}/tags/list?n=6`)).headers.get('link')).toBeNull();
    expect((await registry.call('GET', `/v2/${repo}/tags/list?n=0`)).headers.get('link')).toBeNull();
    for (const n of ['-1', 'x', '1.5'])
      expect(codesOf(await registry.call('GET', `/v2/${repo}/tags/list?n=${n}`))).toEqual(['PAGINATION_NUMBER_INVALID']);
  });

  test('end-8: a repository that does not exist', async () => {
    const answer = await registry.call('GET', '/v2/no/such/tags/list');
    expect([answer.status, codesOf(answer)]).toEqual([404, ['NAME_UNKNOWN']]);
  });

  interface Index {
    readonly mediaType: string;
    readonly schemaVersion: number;
    readonly manifests: readonly {
      digest: string;
      size: number;
      artifactType: string;
      mediaType: string;
      annotations: Record<string, string>;
    }[];
  }

  test('end-12a: what refers to a manifest', async () => {
    const answer = await registry.call('GET', `/v2/${repo}/referrers/${subject.digest}`);
    expect([answer.status, answer.headers.get('content-type'), answer.headers.get('oci-filters-applied')]).toEqual([
      200,
      ociIndexType,
      null,
    ]);
    const index = jsonOf(answer) as Index;
    expect([index.mediaType, index.schemaVersion]).toEqual([ociIndexType, 2]);
    expect(index.manifests.map(({ digest }) => digest).toSorted()).toEqual(attached.map(({ digest }) => digest as string).toSorted());
    const first = index.manifests.find(({ digest }) => digest === attached[0]?.digest);
    expect(first).toEqual({
      mediaType: ociManifestType,
      digest: attached[0]?.digest ?? '',
      size: attached[0]?.bytes.length ?? 0,
      artifactType: 'application/vnd.example.sbom',
      annotations: { note: 'one' },
    });
  });

  test('end-12b: only those of one kind', async () => {
    const answer = await registry.call('GET', `/v2/${repo}/referrers/${subject.digest}?artifactType=application/vnd.example.signature`);
    expect(answer.headers.get('oci-filters-applied')).toBe('artifactType');
    expect((jsonOf(answer) as Index).manifests.map(({ digest }) => digest)).toEqual([attached[1]?.digest ?? '']);
  });

  test('end-12: pages', async () => {
    const seen: string[] = [];
    let path: string | undefined = `/v2/${repo}/referrers/${subject.digest}?n=2`;
    for (let page = 0; path !== undefined && page < 5; page += 1) {
      const answer: Answer = await registry.call('GET', path);
      seen.push(...(jsonOf(answer) as Index).manifests.map(({ digest }) => digest));
      path = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
    }
    expect(seen.toSorted()).toEqual(attached.map(({ digest }) => digest as string).toSorted());
  });

  test('end-12a: nothing refers to it: an empty index, also for what does not exist', async () => {
    for (const path of [`/v2/${repo}/referrers/${absent}`, `/v2/no/such/referrers/${absent}`]) {
      const answer = await registry.call('GET', path);
      expect([answer.status, (jsonOf(answer) as Index).manifests]).toEqual([200, []]);
    }
  });

  test('end-12a: without an artifact type it is that of the config', async () => {
    const pushed = await pushImage(registry, repo, 'plain');
    const made = makeManifest({
      config: pushed.config,
      layers: [],
      extra: { subject: { mediaType: ociManifestType, digest: absent, size: 1 } },
    });
    await pushManifest(registry, repo, made.digest, made);
    const index = jsonOf(await registry.call('GET', `/v2/${repo}/referrers/${absent}`)) as Index;
    expect(index.manifests.map(({ artifactType }) => artifactType)).toEqual(['application/vnd.oci.image.config.v1+json']);
    // The subject itself need not exist.
    expect((await registry.call('DELETE', `/v2/${repo}/manifests/${made.digest}`)).status).toBe(202);
    expect((jsonOf(await registry.call('GET', `/v2/${repo}/referrers/${absent}`)) as Index).manifests).toEqual([]);
  });

  test('end-12a: the index that clients kept under a tag before counts as well', async () => {
    const pushed = await pushImage(registry, repo, 'older');
    const referrer = makeManifest({ config: pushed.config, layers: [], extra: { artifactType: 'application/vnd.example.old' } });
    await pushManifest(registry, repo, referrer.digest, referrer);
    await pushManifest(registry, repo, pushed.digest.replace(':', '-'), makeIndex([referrer]));
    const index = jsonOf(await registry.call('GET', `/v2/${repo}/referrers/${pushed.digest}`)) as Index;
    expect(index.manifests.map(({ digest, artifactType }) => [digest, artifactType])).toEqual([
      [referrer.digest, 'application/vnd.example.old'],
    ]);
  });

  test('the catalog, page by page', async () => {
    const all = (jsonOf(await registry.call('GET', '/v2/_catalog')) as { repositories: string[] }).repositories;
    expect(all).toContain(repo);
    expect(all).toEqual(all.toSorted());
    const seen: string[] = [];
    let path: string | undefined = '/v2/_catalog?n=2';
    for (let page = 0; path !== undefined && page < 50; page += 1) {
      const answer: Answer = await registry.call('GET', path);
      const { repositories } = jsonOf(answer) as { repositories: string[] };
      expect(repositories.length).toBeLessThanOrEqual(2);
      seen.push(...repositories);
      path = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
    }
    expect(seen).toEqual(all);
  });
});

describe('content management', () => {
  const repo = 'spec/management';

  test('end-9: a tag goes, its manifest and other tags stay', async () => {
    const pushed = await pushImage(registry, repo, 'one');
    await pushManifest(registry, repo, 'two', pushed);
    expect((await registry.call('DELETE', `/v2/${repo}/manifests/one`)).status).toBe(202);
    expect((await registry.call('GET', `/v2/${repo}/manifests/one`)).status).toBe(404);
    for (const reference of ['two', pushed.digest])
      expect((await registry.call('GET', `/v2/${repo}/manifests/${reference}`)).status).toBe(200);
    expect(jsonOf(await registry.call('GET', `/v2/${repo}/tags/list`))).toEqual({ name: repo, tags: ['two'] });
  });

  test('end-9: a manifest goes with all its tags', async () => {
    const pushed = await pushImage(registry, repo, 'three');
    await pushManifest(registry, repo, 'four', pushed);
    expect((await registry.call('DELETE', `/v2/${repo}/manifests/${pushed.digest}`)).status).toBe(202);
    for (const reference of ['three', 'four', pushed.digest]) {
      const answer = await registry.call('GET', `/v2/${repo}/manifests/${reference}`);
      expect([answer.status, codesOf(answer)]).toEqual([404, ['MANIFEST_UNKNOWN']]);
    }
    // And may come again.
    await pushManifest(registry, repo, 'three', pushed);
    expect((await registry.call('GET', `/v2/${repo}/manifests/three`)).status).toBe(200);
  });

  test('end-9, 10: what is not there cannot be deleted', async () => {
    const rows: readonly (readonly [string, string])[] = [
      [`/v2/${repo}/manifests/none`, 'MANIFEST_UNKNOWN'],
      [`/v2/${repo}/manifests/${absent}`, 'MANIFEST_UNKNOWN'],
      [`/v2/${repo}/blobs/${absent}`, 'BLOB_UNKNOWN'],
    ];
    for (const [path, code] of rows) {
      const answer = await registry.call('DELETE', path);
      expect([answer.status, codesOf(answer)]).toEqual([404, [code]]);
    }
  });

  test('end-10: a blob goes from its repository, others keep it', async () => {
    const data = randomBytes(50);
    await pushBlob(registry, repo, data);
    await pushBlob(registry, 'spec/keeps', data);
    expect((await registry.call('DELETE', `/v2/${repo}/blobs/${sha256(data)}`)).status).toBe(202);
    expect((await registry.call('GET', `/v2/${repo}/blobs/${sha256(data)}`)).status).toBe(404);
    expect((await registry.call('GET', `/v2/spec/keeps/blobs/${sha256(data)}`)).status).toBe(200);
  });
});
