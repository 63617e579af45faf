import { afterAll, beforeAll, expect } from 'bun:test';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { makeImage } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { publishImage } from '#test/helpers/publish-image.ts';
import { type SmallRegistry, startSmallRegistry } from '#test/helpers/small-registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

/** Nothing else contains these. */
const secrets = {
  password: 'pw-Zu7eiquoo4',
  wrong: 'pw-wrong-aeN8aiph',
  identity: 'identity-Oe5xooPh',
  bearer: 'bearer-ieGh3aej',
  signature: 'signature-ooL9ahng',
  registryToken: 'given-Xie0choo',
};

/** A helper that keeps what it is given in a file, as a keychain would. */
const helper = `#!/bin/sh
set -eu
kept="$HELPER_FOLDER/kept"
case "$1" in
  store) cat >"$kept" ;;
  get) cat >/dev/null; if [ -s "$kept" ]; then cat "$kept"; else echo "credentials not found in native keychain"; exit 1; fi ;;
  erase) cat >/dev/null; rm -f "$kept" ;;
  list) if [ -s "$kept" ]; then sed 's/.*"ServerURL":"\\([^"]*\\)".*"Username":"\\([^"]*\\)".*/{"\\1":"\\2"}/' "$kept"; else echo '{}'; fi ;;
esac
`;

describe('credentials', () => {
  const daemon = sharedDaemon({ busybox: false, args: ['--max-download-attempts', '1', '--debug'] });
  const image = makeImage(['secretive'], { compress: true });
  const said: string[] = [];
  let basic: SmallRegistry;
  let bearer: SmallRegistry;
  let folder: Awaited<ReturnType<typeof tempFolder>>;

  beforeAll(async () => {
    folder = await tempFolder();
    basic = startSmallRegistry();
    basic.auth = { kind: 'basic', header: `Basic ${btoa(`ann:${secrets.password}`)}` };
    bearer = startSmallRegistry();
    bearer.auth = { kind: 'bearer', tokens: new Set([secrets.bearer]), realm: `http://${bearer.address}/token` };
    for (const registry of [basic, bearer]) publishImage(registry, 'app', '1', image);
    bearer.intercept = async (request, path) => {
      // What a store says of an address whose signature has ended: with the signature in it.
      if (path === '/gone') return new Response(`<Error><Code>Gone</Code><Resource>${request.url}</Resource></Error>`, { status: 410 });
      if (path !== '/token') return undefined;
      const isRight =
        request.method === 'POST'
          ? (await request.text()).includes(secrets.identity)
          : request.headers.get('authorization') === `Basic ${btoa(`ann:${secrets.password}`)}`;
      if (!isRight) return Response.json({ details: 'incorrect username or password' }, { status: 401 });
      return Response.json({ token: secrets.bearer, refresh_token: secrets.identity, expires_in: 300 });
    };
    mkdirSync(join(folder.path, 'bin'));
    writeFileSync(join(folder.path, 'bin/docker-credential-test'), helper);
    chmodSync(join(folder.path, 'bin/docker-credential-test'), 0o755);
  });
  afterAll(async () => {
    for (const registry of [basic, bearer]) await registry[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  const configPath = (name: string): string => join(folder.path, name, 'config.json');
  const configOf = (name: string): { auths?: Record<string, { auth?: string; identitytoken?: string }> } =>
    JSON.parse(readFileSync(configPath(name), 'utf8')) as ReturnType<typeof configOf>;
  /** Runs our command line with the settings of this name, debugging on, and keeps what it says. */
  const berth = async (config: string, words: readonly string[], input = ''): Promise<number> => {
    const env = {
      DOCKER_CONFIG: join(folder.path, config),
      HELPER_FOLDER: folder.path,
      PATH: `${folder.path}/bin:${process.env.PATH ?? ''}`,
    };
    const { exitCode, stdout, stderr } = await daemon().berth(['--debug', ...words], { env, stdin: input });
    said.push(stdout, stderr);
    return exitCode;
  };
  const login = (config: string, address: string, password = secrets.password): Promise<number> =>
    berth(config, ['login', '-u', 'ann', '--password-stdin', address], password);

  test('are kept by login, used, and forgotten by logout', async () => {
    expect(await login('plain', basic.address, secrets.wrong)).toBe(1);
    expect(existsSync(configPath('plain'))).toBe(false);
    expect(await login('plain', basic.address)).toBe(0);
    expect(statSync(configPath('plain')).mode & 0o777).toBe(0o600);
    expect(await berth('plain', ['pull', `${basic.address}/app:1`])).toBe(0);
    expect(await berth('plain', ['tag', `${basic.address}/app:1`, `${basic.address}/app:2`])).toBe(0);
    expect(await berth('plain', ['push', `${basic.address}/app:2`])).toBe(0);
    expect(await berth('plain', ['manifest', 'inspect', '--insecure', `${basic.address}/app:1`])).toBe(0);
    expect(await berth('plain', ['logout', basic.address])).toBe(0);
    expect(configOf('plain').auths).toEqual({});
    expect(await berth('plain', ['pull', `${basic.address}/app:1`])).toBe(1);
  });

  test('become an identity token where the registry gives one', async () => {
    expect(await login('token', bearer.address, secrets.wrong)).toBe(1);
    expect(await login('token', bearer.address)).toBe(0);
    const stored = configOf('token').auths?.[bearer.address];
    expect(stored?.identitytoken).toBe(secrets.identity);
    expect(Buffer.from(stored?.auth ?? '', 'base64').toString()).not.toContain(secrets.password);
    expect(await berth('token', ['pull', `${bearer.address}/app:1`])).toBe(0);
    expect(bearer.requests.some(({ line }) => line === 'POST /token')).toBe(true);
  });

  test('are kept without a daemon as well', async () => {
    const nobody = { DOCKER_HOST: `unix://${folder.path}/none.sock`, DOCKER_CONFIG: join(folder.path, 'alone') };
    const alone = async (password: string): Promise<number> => {
      const words = ['--debug', 'login', '-u', 'ann', '--password-stdin', basic.address];
      const { exitCode, stdout, stderr } = await daemon().berth(words, { env: nobody, stdin: password });
      said.push(stdout, stderr);
      return exitCode;
    };
    expect([await alone(secrets.wrong), existsSync(configPath('alone'))]).toEqual([1, false]);
    expect(await alone(secrets.password)).toBe(0);
    expect(Buffer.from(configOf('alone').auths?.[basic.address]?.auth ?? '', 'base64').toString()).toBe(`ann:${secrets.password}`);
  });

  test('are with a helper where there is one, for all registries or for one', async () => {
    for (const [name, settings] of [
      ['store', { credsStore: 'test' }],
      ['helpers', { credHelpers: { [bearer.address]: 'test' } }],
    ] as const) {
      mkdirSync(join(folder.path, name), { recursive: true });
      writeFileSync(configPath(name), JSON.stringify(settings));
      expect(await login(name, bearer.address)).toBe(0);
      expect(JSON.parse(readFileSync(join(folder.path, 'kept'), 'utf8'))).toEqual({
        ServerURL: bearer.address,
        Username: '<token>',
        Secret: secrets.identity,
      });
      expect(await berth(name, ['pull', '-q', `${bearer.address}/app:1`])).toBe(0);
      const text = readFileSync(configPath(name), 'utf8');
      for (const secret of Object.values(secrets)) expect(text).not.toContain(secret);
      expect(await berth(name, ['logout', bearer.address])).toBe(0);
      expect(existsSync(join(folder.path, 'kept'))).toBe(false);
    }
  });

  test('are neither in an answer, nor in the log, nor anywhere on the disk of the daemon', async () => {
    const header = (auth: object): Record<string, string> => ({
      'X-Registry-Auth': Buffer.from(JSON.stringify(auth)).toString('base64url'),
    });
    const ask = async (method: 'GET' | 'POST', path: string, auth: object): Promise<void> =>
      void said.push((await daemon().api.call(method, path, { headers: header(auth) })).text);
    const right = { username: 'ann', password: secrets.password, serveraddress: basic.address };
    for (const auth of [
      right,
      { ...right, password: secrets.wrong },
      { registrytoken: secrets.registryToken },
      { identitytoken: secrets.wrong },
    ]) {
      for (const registry of [basic, bearer]) {
        await ask('POST', `/images/create?fromImage=${registry.address}/app&tag=1`, auth);
        await ask('POST', `/images/create?fromImage=${registry.address}/none&tag=1`, auth);
        await ask('GET', `/distribution/${registry.address}/app:1/json`, auth);
        await ask('GET', `/images/search?term=${registry.address}/app`, auth);
      }
    }
    // A place that is signed for us alone, and that fails.
    basic.intercept = (_request, path) =>
      path.includes('/blobs/')
        ? new Response(null, { status: 307, headers: { Location: `http://${bearer.address}/gone?sig=${secrets.signature}` } })
        : undefined;
    await daemon().api.expect('DELETE', `/images/${image.id}?force=1`);
    await ask('POST', `/images/create?fromImage=${basic.address}/app&tag=1`, right);
    // And one that is sent on to with a password in the address.
    basic.intercept = (_request, path) =>
      path.includes('/blobs/')
        ? new Response(null, { status: 307, headers: { Location: `http://ann:${secrets.signature}@${bearer.address}/gone` } })
        : undefined;
    await ask('POST', `/images/create?fromImage=${basic.address}/app&tag=1`, right);
    basic.intercept = undefined;
    expect(said.join('')).toContain('unexpected status 410 Gone');
    await ask('POST', `/images/create?fromImage=${basic.address}/app&tag=1`, right);
    said.push(readFileSync(daemon().logPath, 'utf8'));
    const found = (bytes: string, where: string): string[] =>
      Object.entries(secrets).flatMap(([name, secret]) =>
        formsOf(secret).some(form => bytes.includes(form)) ? [`${name} in ${where}`] : [],
      );
    expect(said.flatMap(text => found(text, text.slice(0, 200)))).toEqual([]);
    for (const root of [daemon().dataRoot, daemon().execRoot]) {
      for (const path of filesBelow(root)) expect(found(readFileSync(path, 'latin1'), path)).toEqual([]);
    }
  });
});

/** As it is, and inside base64 at each of the three places where it may begin. */
function formsOf(secret: string): string[] {
  const shifted = [0, 1, 2].map(shift => {
    const text = Buffer.from('x'.repeat(shift) + secret).toString('base64');
    // The first and last digits depend on what stands beside it.
    return text.slice(shift === 0 ? 0 : 4, -4);
  });
  return [secret, encodeURIComponent(secret), ...shifted];
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap(entry =>
    entry.isFile() ? [join(entry.parentPath, entry.name)] : [],
  );
}
