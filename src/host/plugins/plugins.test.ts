import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { kindOf, messageOf } from '#base/errors.ts';
import { PluginClient } from './client.ts';
import { findPlugin, pluginNames, type PluginPlaces } from './discovery.ts';

let folder: string;
let places: PluginPlaces;
const servers: Bun.Server<undefined>[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-plugins-'));
  places = { sockets: [join(folder, 'sockets')], descriptions: [join(folder, 'etc'), join(folder, 'lib')] };
  for (const directory of [...places.sockets, ...places.descriptions]) mkdirSync(directory);
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true);
  await rm(folder, { recursive: true });
});

const listen = (
  socket: string,
  answer: (path: string, body: unknown) => Response | Promise<Response> = () => Response.json({}),
): string => {
  servers.push(
    Bun.serve({
      unix: socket,
      fetch: async request => await answer(new URL(request.url).pathname, await request.json()),
    }),
  );
  return socket;
};
const client = (name: string): PluginClient => {
  const address = findPlugin(places, name);
  if (address === undefined) throw new Error(`no plugin ${name}`);
  return new PluginClient(address);
};
const failure = async (call: Promise<unknown>): Promise<[string, string]> =>
  await call.then(
    () => ['', ''],
    (err: unknown) => [kindOf(err), messageOf(err)],
  );

describe('findPlugin()', () => {
  test('sockets first, then descriptions, each also in a directory of its own', () => {
    const socket = listen(join(folder, 'sockets/a.sock'));
    mkdirSync(join(folder, 'sockets/b'));
    const inside = listen(join(folder, 'sockets/b/b.sock'));
    writeFileSync(join(folder, 'etc/a.spec'), 'tcp://elsewhere:1');
    writeFileSync(join(folder, 'etc/c.spec'), 'tcp://127.0.0.1:8080\n');
    writeFileSync(join(folder, 'lib/c.json'), '{"Addr":"unix:///never"}');
    mkdirSync(join(folder, 'lib/d'));
    const tls = { InsecureSkipVerify: true, CAFile: '/ca', CertFile: '/cert', KeyFile: '/key' };
    writeFileSync(join(folder, 'lib/d/d.json'), JSON.stringify({ Name: 'd', Addr: 'https://host:2', TLSConfig: tls }));
    writeFileSync(join(folder, 'sockets/file.sock'), '');
    expect(findPlugin(places, 'a')?.at).toEqual({ socket });
    expect(findPlugin(places, 'b')?.at).toEqual({ socket: inside });
    expect(findPlugin(places, 'c')?.at).toEqual({ url: 'http://127.0.0.1:8080', tls: undefined });
    expect(findPlugin(places, 'd')?.at).toEqual({
      url: 'https://host:2',
      tls: { insecure: true, ca: '/ca', certificate: '/cert', key: '/key' },
    });
    expect(['none', 'file', '../etc/c', '..', ''].map(name => findPlugin(places, name))).toEqual(Array(5).fill(undefined));
    expect(pluginNames(places)).toEqual(['a', 'b', 'c', 'd', 'file']);
  });

  test('there are none where there are no directories', () => {
    expect(pluginNames({ sockets: [join(folder, 'no')], descriptions: [] })).toEqual([]);
  });
});

describe('PluginClient', () => {
  test('sends JSON to the method, and gives back what is answered; it is greeted once', async () => {
    const seen: string[] = [];
    listen(join(folder, 'sockets/p.sock'), (path, body) => {
      seen.push(`${path} ${JSON.stringify(body)}`);
      return Response.json(path === '/Plugin.Activate' ? { Implements: ['VolumeDriver'] } : { Mountpoint: '/here', Err: '' });
    });
    const plugin = client('p');
    const options = { timeoutMs: 1000 };
    expect(await plugin.interfaces(options)).toEqual(['VolumeDriver']);
    expect(await plugin.interfaces(options)).toEqual(['VolumeDriver']);
    expect(await plugin.call('VolumeDriver.Path', { Name: 'v' }, options)).toEqual({ Mountpoint: '/here', Err: '' });
    expect(seen).toEqual(['/Plugin.Activate {}', '/VolumeDriver.Path {"Name":"v"}']);
  });

  test.each([
    [() => Response.json({ Err: 'no room' }), 'FailedPrecondition', 'X.Y: no room'],
    [() => Response.json({ Err: 'no room' }, { status: 500 }), 'FailedPrecondition', 'X.Y: no room'],
    [() => new Response('oops', { status: 500 }), 'FailedPrecondition', 'plugin "p": X.Y answered 500: oops'],
    [() => new Response('<html>'), 'FailedPrecondition', 'plugin "p": X.Y answered with no JSON object'],
    [() => new Response('', { status: 404 }), 'FailedPrecondition', 'plugin "p" has no X.Y'],
    [async () => (await Bun.sleep(500), Response.json({})), 'Unavailable', 'X.Y did not answer within 0.1 s'],
  ] as const)('%p is told as %s', async (answer, kind, words) => {
    listen(join(folder, 'sockets/p.sock'), answer);
    const [was, message] = await failure(client('p').call('X.Y', {}, { timeoutMs: 100 }));
    expect(was).toBe(kind);
    expect(message).toContain(words);
  });

  test('one that listens nowhere is waited for a moment, since it may be starting', async () => {
    writeFileSync(join(folder, 'etc/late.spec'), `unix://${folder}/late.sock`);
    const plugin = client('late');
    const [kind, message] = await failure(plugin.call('X.Y', {}, { timeoutMs: 1000, isPatient: false }));
    expect([kind, message.split(':')[0]]).toEqual(['Unavailable', `plugin "late" does not listen at ${folder}/late.sock (X.Y)`]);
    const call = plugin.call('X.Y', {}, { timeoutMs: 1000 });
    listen(join(folder, 'late.sock'), () => Response.json({ fine: true }));
    expect(await call).toEqual({ fine: true });
  });
});
