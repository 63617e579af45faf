import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { keyId } from '#registry/auth/token-keys.ts';
import { type Answer, type BerthRegistry, codesOf, jsonOf, startBerthRegistry, textOf } from '#test/helpers/berth-registry.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { needs } from '#test/helpers/needs.ts';
import { runOk } from '#test/helpers/run.ts';
import { pushImage, randomBytes } from '#test/helpers/registry-content.ts';
import { sha256 } from '#oci/digest.ts';

const basic = (user: string, password: string): Record<string, string> => ({
  Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
});
const bearer = (token: string): Record<string, string> => ({ Authorization: `Bearer ${token}` });

async function htpasswdLine(user: string, password: string): Promise<string> {
  return `${user}:${(await Bun.password.hash(password, { algorithm: 'bcrypt', cost: 4 })).replace('$2b$', '$2y$')}\n`;
}

const outcome = (answer: Answer): unknown[] => [answer.status, ...(answer.status >= 400 ? codesOf(answer) : [])];

describe('names and passwords', () => {
  let registry: BerthRegistry;
  beforeAll(async () => {
    registry = await startBerthRegistry({
      files: { users: (await htpasswdLine('ann', 'secret')) + 'broken line\nold:{SHA}xyz\n' },
      config: folder => ({ auth: { htpasswd: { path: join(folder, 'users'), realm: 'a "realm"' } } }),
    });
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
  });

  test('nothing without them, everything with them', async () => {
    for (const [method, path] of [
      ['GET', '/v2/'],
      ['GET', '/v2/_catalog'],
      ['GET', '/v2/a/tags/list'],
      ['POST', '/v2/a/blobs/uploads/'],
      ['DELETE', '/v2/a/manifests/x'],
    ] as const) {
      const refused = await registry.call(method, path);
      expect([method, path, ...outcome(refused)]).toEqual([method, path, 401, 'UNAUTHORIZED']);
      expect(refused.headers.get('www-authenticate')).toBe('Basic realm="a \\"realm\\""');
    }
    expect((await registry.call('GET', '/v2/', { headers: basic('ann', 'secret') })).status).toBe(200);
    expect((await registry.call('POST', '/v2/a/blobs/uploads/', { headers: basic('ann', 'secret') })).status).toBe(202);
  });

  test('wrong ones are refused, however they are wrong', async () => {
    const bad = [
      basic('ann', 'Secret'),
      basic('bob', 'secret'),
      basic('old', 'xyz'),
      basic('', ''),
      { Authorization: 'Basic !!!' },
      { Authorization: 'Basic' },
      bearer('x'),
    ];
    for (const headers of bad) {
      const refused = await registry.call('GET', '/v2/', { headers });
      expect([headers.Authorization, ...outcome(refused)]).toEqual([headers.Authorization ?? '', 401, 'UNAUTHORIZED']);
      expect(refused.headers.get('www-authenticate')).toStartWith('Basic realm=');
    }
  });

  test('the file is read again on SIGHUP, a broken one is not taken', async () => {
    const file = join(registry.folder, 'users');
    await Bun.write(file, await htpasswdLine('bob', 'other'));
    registry.signal('SIGHUP');
    await eventually('bob is let in', async () => (await registry.call('GET', '/v2/', { headers: basic('bob', 'other') })).status === 200);
    expect((await registry.call('GET', '/v2/', { headers: basic('ann', 'secret') })).status).toBe(401);
    await rename(file, `${file}.away`);
    registry.signal('SIGHUP');
    await eventually('it says so', async () => (await registry.log()).includes('not read again'));
    expect((await registry.call('GET', '/v2/', { headers: basic('bob', 'other') })).status).toBe(200);
    await rename(`${file}.away`, file);
  });

  test('nothing secret is in the log', async () => {
    expect(await registry.log()).not.toMatch(/secret|\$2y\$/);
  });
});

describe('anonymous readers, and rules', () => {
  let registry: BerthRegistry;
  beforeAll(async () => {
    registry = await startBerthRegistry({
      files: { users: (await htpasswdLine('ann', 'secret')) + (await htpasswdLine('bob', 'word')) },
      config: folder => ({
        auth: { htpasswd: { path: join(folder, 'users') } },
        access: [
          { repositories: ['**'], users: ['ann'], actions: ['*'] },
          { repositories: ['public/**'], users: ['anonymous'], actions: ['pull'] },
          { repositories: ['{user}/**'], users: ['authenticated'], actions: ['pull', 'push'] },
        ],
      }),
    });
    const asAnn: BerthRegistry['call'] = (method, path, options = {}) =>
      call(method, path, { ...options, headers: { ...options.headers, ...basic('ann', 'secret') } });
    const { call } = { call: registry.call.bind(registry) };
    const writer = Object.assign(Object.create(registry) as BerthRegistry, { call: asAnn });
    await pushImage(writer, 'public/app', 'latest');
    await pushImage(writer, 'private/app', 'latest');
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
  });

  /** As clients do: ask, read the challenge, get a token, ask again. */
  async function withToken(method: string, path: string, credentials: Record<string, string> = {}): Promise<Answer> {
    const first = await registry.call(method, path);
    const [, realm = '', service = '', scope = ''] =
      /^Bearer realm="([^"]+)",service="([^"]+)",scope="([^"]+)"/.exec(first.headers.get('www-authenticate') ?? '') ?? [];
    const query = new URLSearchParams({ service, scope });
    const given = await registry.call('GET', `${realm}?${query.toString()}`, { headers: credentials });
    if (given.status !== 200) return given;
    const { token } = jsonOf(given) as { token: string };
    return await registry.call(method, path, { headers: bearer(token) });
  }

  test('a client without credentials is sent for a token, and may read what is public with it', async () => {
    const ping = await registry.call('GET', '/v2/');
    expect([ping.status, ping.headers.get('www-authenticate')]).toEqual([
      401,
      expect.stringMatching(/^Bearer realm="http:\/\/127\.0\.0\.1:\d+\/token",service="[^"]+"$/) as unknown as string,
    ]);
    expect((await withToken('GET', '/v2/public/app/manifests/latest')).status).toBe(200);
    const refused = await withToken('GET', '/v2/private/app/manifests/latest');
    expect(outcome(refused)).toEqual([401, 'UNAUTHORIZED']);
    expect(refused.headers.get('www-authenticate')).toContain('error="insufficient_scope"');
    expect(outcome(await withToken('POST', '/v2/public/app/blobs/uploads/'))).toEqual([401, 'UNAUTHORIZED']);
  });

  test('users get tokens for what their rules say', async () => {
    const [ann, bob] = [basic('ann', 'secret'), basic('bob', 'word')];
    expect((await withToken('GET', '/v2/private/app/manifests/latest', ann)).status).toBe(200);
    expect((await withToken('DELETE', '/v2/private/app/manifests/none', ann)).status).toBe(404);
    expect((await withToken('GET', '/v2/private/app/manifests/latest', bob)).status).toBe(401);
    expect((await withToken('POST', '/v2/bob/app/blobs/uploads/', bob)).status).toBe(202);
    expect((await withToken('POST', '/v2/ann/app/blobs/uploads/', bob)).status).toBe(401);
    expect(outcome(await withToken('GET', '/v2/public/app/manifests/latest', basic('ann', 'wrong')))).toEqual([401, 'UNAUTHORIZED']);
  });

  test('with name and password at once, and DENIED for what is not theirs', async () => {
    expect(outcome(await registry.call('GET', '/v2/private/app/manifests/latest', { headers: basic('bob', 'word') }))).toEqual([
      403,
      'DENIED',
    ]);
    expect((await registry.call('GET', '/v2/private/app/manifests/latest', { headers: basic('ann', 'secret') })).status).toBe(200);
  });

  test('a blob is not mounted from where the user may not read', async () => {
    const headers = basic('ann', 'secret');
    const data = randomBytes(10);
    expect((await registry.call('POST', `/v2/private/app/blobs/uploads/?digest=${sha256(data)}`, { headers, body: data })).status).toBe(
      201,
    );
    const asBob = await registry.call('POST', `/v2/bob/app/blobs/uploads/?mount=${sha256(data)}&from=private/app`, {
      headers: basic('bob', 'word'),
    });
    expect(asBob.status).toBe(202);
    expect((await registry.call('GET', `/v2/bob/app/blobs/${sha256(data)}`, { headers: basic('bob', 'word') })).status).toBe(404);
  });

  test('an identity token stands for the password until that changes', async () => {
    const login = await registry.call('GET', '/token?service=x&offline_token=true', { headers: basic('bob', 'word') });
    const { refresh_token: refresh } = jsonOf(login) as { refresh_token: string };
    const form = (token: string): string =>
      new URLSearchParams({
        grant_type: 'refresh_token',
        refresh_token: token,
        service: 'x',
        scope: 'repository:bob/app:pull,push',
      }).toString();
    const post = (body: string): Promise<Answer> =>
      registry.call('POST', '/token', { body, headers: { 'Content-Type': 'application/x-www-form-urlencoded' } });
    const again = jsonOf(await post(form(refresh))) as { access_token: string };
    expect((await registry.call('POST', '/v2/bob/app/blobs/uploads/', { headers: bearer(again.access_token) })).status).toBe(202);
    // One kind of token is no use as the other.
    expect((await registry.call('GET', '/v2/', { headers: bearer(refresh) })).status).toBe(401);
    expect((await post(form(again.access_token))).status).toBe(401);
    expect((await post(form('nonsense'))).status).toBe(401);
    const file = join(registry.folder, 'users');
    const before = await readFile(file, 'utf8');
    await Bun.write(file, before.replace(/^bob:.*$/m, (await htpasswdLine('bob', 'new')).trim()));
    registry.signal('SIGHUP');
    await eventually(
      'the new password is known',
      async () => (await registry.call('GET', '/token', { headers: basic('bob', 'new') })).status === 200,
    );
    expect((await post(form(refresh))).status).toBe(401);
  });

  test('a token is still good after a restart', async () => {
    const { token } = jsonOf(await registry.call('GET', '/token?scope=repository:public/app:pull')) as { token: string };
    await registry.stop();
    await registry.start();
    expect((await registry.call('GET', '/v2/public/app/manifests/latest', { headers: bearer(token) })).status).toBe(200);
  });

  test('lists show what the user may read', async () => {
    const names = async (headers: Record<string, string>): Promise<unknown> =>
      jsonOf(await registry.call('GET', '/v2/_catalog', { headers }));
    expect(await names(basic('ann', 'secret'))).toEqual({ repositories: ['private/app', 'public/app'] });
    const found = jsonOf(await registry.call('GET', '/v1/search?q=app', { headers: basic('ann', 'secret') })) as {
      results: { name: string }[];
    };
    expect(found.results.map(({ name }) => name)).toEqual(['private/app', 'public/app']);
  });
});

const { describe: withOpenssl } = needs('openssl');
withOpenssl('tokens of a token server', () => {
  let registry: BerthRegistry;
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  let other: { key: string; cert: string };
  const make = async (name: string): Promise<{ key: string; cert: string }> => {
    const [key, cert] = [join(folder.path, `${name}.key`), join(folder.path, `${name}.crt`)];
    await runOk([
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-keyout',
      key,
      '-out',
      cert,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
    ]);
    return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
  };
  let issuer: { key: string; cert: string };
  beforeAll(async () => {
    folder = await tempFolder();
    issuer = await make('issuer');
    other = await make('other');
    registry = await startBerthRegistry({
      config: {
        auth: {
          token: {
            realm: 'https://auth.example.com/token',
            service: 'images',
            issuer: 'auth',
            rootcertbundle: join(folder.path, 'issuer.crt'),
          },
        },
      },
    });
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  interface Claims {
    readonly aud?: string;
    readonly iss?: string;
    readonly expires?: number;
    readonly access?: readonly object[];
    readonly by?: { readonly key: string; readonly cert: string };
    readonly header?: Readonly<Record<string, unknown>>;
  }
  const x5c = (cert: string): string => new X509Certificate(cert).raw.toString('base64');
  async function token({
    aud = 'images',
    iss = 'auth',
    expires = 60,
    access = [{ type: 'repository', name: 'a', actions: ['pull', 'push'] }],
    by = issuer,
    header,
  }: Claims = {}): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    return await new SignJWT({ access })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', ...(header ?? { x5c: [x5c(by.cert)] }) })
      .setIssuer(iss)
      .setAudience(aud)
      .setSubject('ann')
      .setIssuedAt(now)
      .setExpirationTime(now + expires)
      .sign(createPrivateKey(by.key));
  }
  const start = async (given: string, name = 'a'): Promise<number> =>
    (await registry.call('POST', `/v2/${name}/blobs/uploads/`, { headers: bearer(given) })).status;

  test('the challenge says where and for what', async () => {
    const refused = await registry.call('POST', '/v2/a/blobs/uploads/');
    expect(refused.headers.get('www-authenticate')).toBe(
      'Bearer realm="https://auth.example.com/token",service="images",scope="repository:a:pull,push"',
    );
    expect((await registry.call('GET', '/v2/_catalog')).headers.get('www-authenticate')).toContain('scope="registry:catalog:*"');
    expect((await registry.call('DELETE', '/v2/a/manifests/x')).headers.get('www-authenticate')).toContain('scope="repository:a:delete"');
  });

  test('a token that is right, by certificate or by the name of the key', async () => {
    expect(await start(await token())).toBe(202);
    const kid = keyId(new X509Certificate(issuer.cert).publicKey);
    expect(kid).toMatch(/^([A-Z2-7]{4}:){11}[A-Z2-7]{4}$/);
    expect(await start(await token({ header: { kid } }))).toBe(202);
    expect(await start(await token({ access: [{ type: 'repository', name: 'a', actions: ['*'] }] }))).toBe(202);
    const list = await token({ access: [{ type: 'registry', name: 'catalog', actions: ['*'] }] });
    expect((await registry.call('GET', '/v2/_catalog', { headers: bearer(list) })).status).toBe(200);
  });

  test('tokens that are wrong', async () => {
    const unsigned = `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${Buffer.from('{"iss":"auth","aud":"images","access":[]}').toString('base64url')}.`;
    const hmac = await new SignJWT({ access: [{ type: 'repository', name: 'a', actions: ['*'] }] })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setIssuer('auth')
      .setAudience('images')
      .setExpirationTime('1m')
      .sign(createHash('sha256').update(issuer.cert).digest());
    const good = await token();
    const wrong: Readonly<Record<string, string>> = {
      'for somebody else': await token({ aud: 'other' }),
      'from somebody else': await token({ iss: 'other' }),
      'over long ago': await token({ expires: -120 }),
      'signed by a stranger': await token({ by: other }),
      "signed by a stranger with the issuer's name": await token({ by: other, header: { x5c: [x5c(issuer.cert)] } }),
      'with an unknown key': await token({ header: { kid: 'nobody' } }),
      unsigned,
      'signed with a secret': hmac,
      'changed on the way': `${good.slice(0, good.lastIndexOf('.') - 2)}xx${good.slice(good.lastIndexOf('.'))}`,
      nonsense: 'a.b.c',
    };
    for (const [what, text] of Object.entries(wrong)) expect([what, await start(text)]).toEqual([what, 401]);
    expect(await start(good, 'b')).toBe(401);
    expect(await registry.log()).not.toContain(good);
  });
});

describe('without authentication', () => {
  test('there are no tokens', async () => {
    await using registry = await startBerthRegistry();
    const answer = await registry.call('GET', '/token');
    expect([answer.status, textOf(answer)]).toEqual([404, expect.stringContaining('gives out no tokens') as unknown as string]);
  });
});
