import { afterAll, beforeAll, expect } from 'bun:test';
import { runInNamespace } from '#host/sys/netns.ts';
import { Authority } from '#test/helpers/authority.ts';
import { build, buildOk } from '#test/helpers/build.ts';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { type MadeImage, makeImage, makeTar } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { type PrivateEtc, startPrivateEtc } from '#test/helpers/private-etc.ts';
import { publishImage } from '#test/helpers/publish-image.ts';
import { type SmallRegistry, type SmallRegistryOptions, startSmallRegistry } from '#test/helpers/small-registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

const [near, far, proxyHost] = ['203.0.113.1', '198.51.100.1', '203.0.113.2'];
const proxyPort = 3128;
const image: MadeImage = makeImage(['x'], { compress: true });

/** The daemon lives on a machine of its own whose registries are no loopback addresses: nothing about them is taken on trust. */
describe('registries are reached', () => {
  let etc: PrivateEtc;
  let authority: Authority;
  let daemon: TestDaemon;
  let proxy: Bun.TCPSocketListener<undefined>;
  /** What the proxy was asked to connect to, with its credentials. */
  const proxied: string[] = [];
  const stack = new AsyncDisposableStack();

  beforeAll(async () => {
    etc = stack.use(await startPrivateEtc({ addresses: [near, far, proxyHost] }));
    authority = stack.use(await Authority.make());
    await etc.write(
      'hosts',
      ['127.0.0.1 localhost', `${near} own-ca.test no-ca.test asks.test plain.test hidden.test index.docker.io`, `${far} block.test`].join(
        '\n',
      ),
    );
    await etc.write('resolv.conf', '');
    await etc.write('nsswitch.conf', 'hosts: files\n');
    proxy = startProxy(etc.networkPath, proxied);
    stack.defer(() => proxy.stop(true));
    daemon = stack.use(
      await startDaemon({
        busybox: false,
        besideProcess: etc.pid,
        args: [
          ...['--insecure-registry', '198.51.100.0/24', '--insecure-registry', 'plain.test:5005'],
          ...['--registry-mirror', `quay.test=http://${near}:5006`, '--max-download-attempts', '1', '--debug'],
        ],
        env: {
          HTTP_PROXY: `http://me:geheim@${proxyHost}:${String(proxyPort)}`,
          HTTPS_PROXY: `http://me:geheim@${proxyHost}:${String(proxyPort)}`,
          NO_PROXY: '.test,203.0.113.0/24,198.51.100.0/24',
        },
      }),
    );
  }, 60_000);
  afterAll(async () => await stack.disposeAsync(), 60_000);

  const serve = (options: SmallRegistryOptions): SmallRegistry => {
    const registry = startSmallRegistry({ hostname: near, networkPath: etc.networkPath, ...options });
    publishImage(registry, 'app', '1', image);
    return registry;
  };
  const pull = async (name: string): Promise<string> => {
    const said = (await daemon.api.call('POST', `/images/create?fromImage=${name}&tag=1`)).text;
    if (!said.includes('errorDetail') && !said.startsWith('{"message"')) await daemon.api.expect('DELETE', `/images/${image.id}?force=1`);
    return said;
  };

  test('with a certificate of an authority in certs.d, and not without', async () => {
    const { ca, cert, key } = await authority.sign('server', ['DNS:own-ca.test', 'DNS:no-ca.test']);
    await using registry = serve({ port: 5001, tls: { cert, key } });
    await etc.write('docker/certs.d/own-ca.test:5001/authority.crt', await Bun.file(ca).text());
    expect(await pull('no-ca.test:5001/app')).toContain('x509: certificate signed by unknown authority');
    expect(await pull('own-ca.test:5001/app')).toContain('Downloaded newer image');
    // Without the certificate nothing was told to it, not even in the clear.
    expect(registry.requests.every(({ headers }) => headers.get('host') === 'own-ca.test:5001')).toBe(true);
  });

  test('with a certificate of ours where they ask for one', async () => {
    const server = await authority.sign('asking', ['DNS:asks.test']);
    const client = await authority.sign('client', ['DNS:client']);
    await using _registry = serve({ port: 5002, tls: { cert: server.cert, key: server.key, ca: server.ca } });
    const folder = 'berth/certs.d/asks.test:5002';
    await etc.write(`${folder}/authority.crt`, await Bun.file(server.ca).text());
    await etc.write(`${folder}/client.cert`, await Bun.file(client.cert).text());
    await etc.write(`${folder}/client.key`, await Bun.file(client.key).text());
    expect(await pull('asks.test:5002/app')).toContain('Downloaded newer image');
  });

  test('with any certificate or none where the operator says so, by block and by name', async () => {
    const { cert, key } = await authority.sign('block', ['DNS:somebody-else.test']);
    await using _block = serve({ hostname: far, port: 5003, tls: { cert, key } });
    expect(await pull('block.test:5003/app')).toContain('Downloaded newer image');
    expect(await pull(`${far}:5003/app`)).toContain('Downloaded newer image');
    await using _plain = serve({ port: 5005 });
    expect(await pull('plain.test:5005/app')).toContain('Downloaded newer image');
  });

  test('not in the clear otherwise', async () => {
    await using registry = serve({ port: 5004 });
    expect(await pull('plain.test:5004/app')).toContain('server gave HTTP response to HTTPS client');
    expect(registry.requests).toEqual([]);
  });

  test('through the mirror that the daemon has for them, which is told whom it stands in for', async () => {
    await using mirror = serve({ port: 5006 });
    expect(await pull('quay.test/app')).toContain('Downloaded newer image');
    expect(mirror.requests.map(({ line }) => line)).toContain('GET /v2/app/manifests/1?ns=quay.test');
  });

  test('themselves when the mirror fails', async () => {
    const { ca, cert, key } = await authority.sign('hidden', ['DNS:hidden.test']);
    await etc.write(
      'berth/certs.d/hidden.test:5007/hosts.toml',
      `[host."http://${near}:5008"]\ncapabilities = ["pull", "resolve"]\n[host."http://${near}:5008".header]\nx-who = "us"\n`,
    );
    await etc.write('berth/certs.d/hidden.test:5007/authority.crt', await Bun.file(ca).text());
    await using own = serve({ port: 5007, tls: { cert, key } });
    await using mirror = serve({ port: 5008 });
    mirror.intercept = () => new Response('out of order', { status: 500 });
    expect(await pull('hidden.test:5007/app')).toContain('Downloaded newer image');
    expect(mirror.requests[0]?.headers.get('x-who')).toBe('us');
    expect(own.requests.length).toBeGreaterThan(0);
    own.requests.length = 0;
    mirror.intercept = undefined;
    expect(await pull('hidden.test:5007/app')).toContain('Downloaded newer image');
    expect(own.requests).toEqual([]);
  });

  test('to search Docker Hub, at the host that it has for that', async () => {
    const { ca, cert, key } = await authority.sign('index', ['DNS:index.docker.io']);
    await etc.write('docker/certs.d/index.docker.io/authority.crt', await Bun.file(ca).text());
    await using index = serve({ port: 443, tls: { cert, key } });
    const repository = (name: string, stars: number, official: boolean): object => ({
      ...{ name, description: `about ${name}`, star_count: stars, is_official: official, is_automated: false, pull_count: 7 },
    });
    index.intercept = () =>
      Response.json({ num_results: 2, results: [repository('busybox', 300, true), repository('me/busybox', 2, false)] });
    const find = async (query: string): Promise<string[]> =>
      (await daemon.api.expect<{ name: string }[]>('GET', `/images/search?term=${query}`)).map(({ name }) => name);
    const filtered = (filters: object): Promise<string[]> => find(`busybox&filters=${encodeURIComponent(JSON.stringify(filters))}`);
    expect(await find('library/busybox&limit=3')).toEqual(['busybox', 'me/busybox']);
    expect(index.requests[0]?.line).toBe('GET /v1/search?q=busybox&n=3');
    expect(await filtered({ 'is-official': ['true'] })).toEqual(['busybox']);
    expect(await filtered({ 'is-official': { false: true } })).toEqual(['me/busybox']);
    expect(await filtered({ stars: ['3'] })).toEqual(['busybox']);
    expect(await filtered({ 'is-automated': ['true'] })).toEqual([]);
    expect(index.requests.at(-1)?.line).toBe('GET /v1/search?q=busybox&n=25');
    const refused = async (query: string): Promise<string> => (await daemon.api.get(`/images/search?${query}`)).text;
    expect(await refused('term=x&limit=101')).toContain('limit 101 is outside the range of [1, 100]');
    expect(await refused('term=')).toContain('invalid search term');
    expect(await refused(`term=x&filters=${encodeURIComponent('{"color":["red"]}')}`)).toContain("invalid filter 'color'");
    expect(await refused(`term=x&filters=${encodeURIComponent('{"stars":["many"]}')}`)).toContain("invalid filter 'stars=[many]'");
  });

  test('through the proxy, whose password is nowhere to be read', async () => {
    const { ca, cert, key } = await authority.sign('behind', ['DNS:behind.example']);
    await etc.write('docker/certs.d/behind.example:5009/authority.crt', await Bun.file(ca).text());
    await using _registry = serve({ port: 5009, tls: { cert, key } });
    expect(await pull('behind.example:5009/app')).toContain('Downloaded newer image');
    expect(proxied).toContain(`behind.example:5009 ${Buffer.from('me:geheim').toString('base64')}`);
    expect(proxied.every(line => /^(behind\.example|index\.docker\.io):/.test(line))).toBe(true);
    const info = await daemon.api.get<{ HttpsProxy: string; NoProxy: string }>('/info');
    expect([info.json.HttpsProxy, info.json.NoProxy]).toEqual([
      `http://xxxxx:xxxxx@${proxyHost}:${String(proxyPort)}`,
      '.test,203.0.113.0/24,198.51.100.0/24',
    ]);
    expect(info.text + (await daemon.log())).not.toContain('geheim');
  });

  test('and so are files for imports and builds, with the credentials of their addresses', async () => {
    const tar = makeTar({ file: 'from afar' });
    const wanted = `Basic ${btoa('ann:streng')}`;
    const serveFiles = (port: number): SmallRegistry => {
      const files = startSmallRegistry({ hostname: near, networkPath: etc.networkPath, port });
      files.intercept = (request, path) => {
        if (path === '/elsewhere.tar')
          return new Response(null, { status: 302, headers: { Location: `http://plain.test:${String(port)}/root.tar` } });
        return path === '/root.tar' && request.headers.get('authorization') === wanted
          ? new Response(new Uint8Array(tar))
          : new Response('who are you?', { status: 403 });
      };
      return files;
    };
    await using files = serveFiles(5010);
    const said: string[] = [];
    const importFrom = async (url: string): Promise<string> => {
      const { text } = await daemon.api.call('POST', `/images/create?fromSrc=${encodeURIComponent(url)}&repo=afar`);
      said.push(text);
      return text;
    };
    proxied.length = 0;
    const credentials = Buffer.from('me:geheim').toString('base64');
    expect(await importFrom('http://ann:streng@behind.example:5010/root.tar')).toContain(
      'Downloading from http://behind.example:5010/root.tar',
    );
    expect(proxied).toEqual([`behind.example:5010 ${credentials}`]);
    const made = await daemon.api.get<{ Comment: string }>('/images/afar/json');
    expect(made.json.Comment).toBe('Imported from http://behind.example:5010/root.tar');
    // Sent on to a host that no proxy is for, which is told nothing of who asked.
    expect(await importFrom('http://ann:streng@behind.example:5010/elsewhere.tar')).toContain('403');
    expect([proxied.length, files.requests.at(-1)?.headers.get('authorization')]).toEqual([2, null]);
    expect(await importFrom('http://ann:streng@behind.example:5011/root.tar')).toContain(
      'cannot download http://behind.example:5011/root.tar',
    );
    const context = { Dockerfile: 'FROM scratch\nADD http://behind.example:5010/root.tar /a.tar\n' };
    expect((await build(daemon.api, context)).error).toContain('403');
    files.intercept = (_request, path) => (path === '/root.tar' ? new Response(new Uint8Array(tar)) : undefined);
    await buildOk(daemon.api, context);
    expect(proxied.filter(line => line === `behind.example:5010 ${credentials}`).length).toBe(4);
    const seen = said.join('') + made.text + (await daemon.api.get('/images/afar/history')).text + (await daemon.log());
    for (const secret of ['streng', 'geheim']) expect(seen).not.toContain(secret);
  });
});

/** A proxy to `near`, whatever the name: CONNECT for what is encrypted, whole addresses for the rest. */
function startProxy(networkPath: string, asked: string[]): Bun.TCPSocketListener<undefined> {
  const upstreams = new Map<Bun.Socket<undefined>, Bun.Socket<undefined>>();
  const begin = async (client: Bun.Socket<undefined>, head: string): Promise<void> => {
    const [, target = ''] = /^CONNECT (\S+) /.exec(head) ?? /^[A-Z]+ http:\/\/([^/\s]+)/.exec(head) ?? [];
    const [, credentials = ''] = /proxy-authorization: Basic (\S+)/i.exec(head) ?? [];
    asked.push(`${target} ${credentials}`);
    const opening = runInNamespace(networkPath, () =>
      Bun.connect<undefined>({
        hostname: near,
        port: Number(target.split(':')[1]),
        socket: { data: (_upstream, data) => void client.write(data), close: () => void client.end() },
      }),
    );
    const upstream = await opening.catch(() => undefined);
    if (upstream === undefined) return void client.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n');
    upstreams.set(client, upstream);
    if (head.startsWith('CONNECT ')) client.write('HTTP/1.1 200 Connection established\r\n\r\n');
    // One request for each connection: the next may be for another host.
    else upstream.write(head.replace(/\r\n\r\n/, '\r\nConnection: close\r\n\r\n').replace(/^(\S+) http:\/\/[^/\s]+/, '$1 '));
  };
  return runInNamespace(networkPath, () =>
    Bun.listen<undefined>({
      hostname: proxyHost,
      port: proxyPort,
      socket: {
        data(client, data) {
          const upstream = upstreams.get(client);
          if (upstream === undefined) void begin(client, data.toString());
          else upstream.write(data);
        },
        close: client => void upstreams.get(client)?.end(),
      },
    }),
  );
}
