import { networkInterfaces } from 'node:os';
import { connect } from 'node:net';
import { createSocket } from 'node:dgram';
import { expect } from 'bun:test';
import { create, execIn, inspect, outputOf, remove, sh, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs, unmet } from '#test/helpers/needs.ts';
import { freePort } from '#test/helpers/registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

interface Network {
  readonly Id: string;
  readonly Name: string;
  readonly Driver: string;
  readonly Internal: boolean;
  readonly Labels: Readonly<Record<string, string>>;
  readonly IPAM: { readonly Config: readonly { readonly Subnet: string; readonly Gateway?: string }[] };
  readonly Containers: Readonly<Record<string, { readonly Name: string; readonly IPv4Address: string }>>;
}

/** Reads until the other side closes; '' when nobody listens. */
async function readFrom(host: string, port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect({ host, port });
  let text = '';
  socket.on('data', chunk => (text += String(chunk)));
  socket.once('error', () => resolve(''));
  socket.once('close', () => resolve(text));
  return await promise;
}

const answering = (text: string): string => `while :; do echo ${text} | nc -l -p 80 -w 1; done`;

describe('networks', () => {
  const daemon = sharedDaemon();
  const network = async (body: Readonly<Record<string, unknown>>): Promise<string> => {
    const { Id } = await daemon().api.expect<{ Id: string }>('POST', '/networks/create', { body, status: 201 });
    return Id;
  };

  test('bridge, host and none are there from the start and stay', async () => {
    const all = await daemon().api.expect<Network[]>('GET', '/networks');
    expect(all.map(({ Name, Driver }) => `${Name}:${Driver}`).toSorted()).toEqual(['bridge:bridge', 'host:host', 'none:null']);
    for (const name of ['bridge', 'host', 'none']) {
      const refused = await daemon().api.call<{ message: string }>('DELETE', `/networks/${name}`);
      expect(refused.status).toBe(403);
      expect(refused.json.message).toContain('pre-defined network');
    }
  });

  test('create, inspect, list with filters, remove', async () => {
    const id = await network({ Name: 'made', Labels: { a: 'b' }, IPAM: { Config: [{ Subnet: '10.241.7.0/24', Gateway: '10.241.7.1' }] } });
    const seen = await daemon().api.expect<Network>('GET', '/networks/made');
    expect(seen).toMatchObject({ Id: id, Name: 'made', Driver: 'bridge', Labels: { a: 'b' }, Internal: false });
    expect(seen.IPAM.Config[0]).toMatchObject({ Subnet: '10.241.7.0/24', Gateway: '10.241.7.1' });
    const named = async (filters: object): Promise<string[]> =>
      (await daemon().api.expect<Network[]>('GET', `/networks?filters=${encodeURIComponent(JSON.stringify(filters))}`)).map(
        ({ Name }) => Name,
      );
    expect(await named({ name: ['made'] })).toEqual(['made']);
    expect(await named({ label: ['a=b'] })).toEqual(['made']);
    expect(await named({ type: ['custom'] })).toEqual(['made']);
    expect(await named({ driver: ['null'] })).toEqual(['none']);
    const again = await daemon().api.post<{ message: string }>('/networks/create', { Name: 'made', CheckDuplicate: true });
    expect(again.status).toBe(409);
    expect(again.json.message).toContain('network with name made already exists');
    await daemon().api.expect('DELETE', '/networks/made', { status: 204 });
    expect((await daemon().api.get('/networks/made')).status).toBe(404);
  });

  test('a container on the default bridge has an address, a gateway, a route and a way back from the host', async () => {
    const id = await start(daemon(), sh(answering('reached')));
    const { Networks } = (await inspect(daemon(), id)).NetworkSettings;
    const { IPAddress = '', Gateway = '' } = Networks.bridge ?? {};
    const { stdout } = await execIn(daemon(), id, ['sh', '-c', 'ip -4 -o addr show eth0; ip route; ping -c 1 -W 2 ' + Gateway]);
    expect(stdout).toContain(`inet ${IPAddress}/24`);
    expect(stdout).toContain(`default via ${Gateway}`);
    expect(stdout).toContain('1 packets received');
    if (process.env.BERTH_TEST_HOST === undefined)
      expect(await eventually('it answers', async () => (await readFrom(IPAddress, 80)) || undefined)).toBe('reached\n');
    const bridge = await daemon().api.expect<Network>('GET', '/networks/bridge');
    expect(bridge.Containers[id]?.IPv4Address).toBe(`${IPAddress}/24`);
    await remove(daemon(), id);
  });

  test('none has a loopback interface and nothing else; two containers have different addresses', async () => {
    expect(await outputOf(daemon(), 'ls /sys/class/net; ip -o link | wc -l', { HostConfig: { NetworkMode: 'none' } })).toContain('lo');
    expect(await outputOf(daemon(), 'ip -o -4 addr | wc -l', { HostConfig: { NetworkMode: 'none' } })).toBe('1');
    const ids = await Promise.all([start(daemon(), waiting()), start(daemon(), waiting())]);
    const addresses = await Promise.all(ids.map(async id => (await inspect(daemon(), id)).NetworkSettings.Networks.bridge?.IPAddress));
    expect(new Set(addresses).size).toBe(2);
    expect((await execIn(daemon(), ids[0] ?? '', ['ping', '-c', '1', '-W', '2', addresses[1] ?? ''])).exitCode).toBe(0);
    for (const id of ids) await remove(daemon(), id);
  });

  test('on a network of their own containers find each other by name and alias, others do not', async () => {
    await network({ Name: 'private' });
    const config = { HostConfig: { NetworkMode: 'private' } };
    const server = await start(
      daemon(),
      sh(answering('hello'), { ...config, NetworkingConfig: { EndpointsConfig: { private: { Aliases: ['alias'] } } } }),
      'server',
    );
    const client = await start(daemon(), waiting(config), 'client');
    const outside = await start(daemon(), waiting());
    const { IPAddress = '' } = (await inspect(daemon(), server)).NetworkSettings.Networks.private ?? {};
    expect((await execIn(daemon(), client, ['cat', '/etc/resolv.conf'])).stdout).toContain('nameserver 127.0.0.11');
    for (const name of ['server', 'alias', server.slice(0, 12)]) {
      expect((await execIn(daemon(), client, ['ping', '-c', '1', '-W', '2', name])).stdout).toContain(`(${IPAddress})`);
    }
    expect((await execIn(daemon(), outside, ['ping', '-c', '1', '-W', '1', 'server'])).exitCode).not.toBe(0);
    expect((await execIn(daemon(), outside, ['ping', '-c', '1', '-W', '1', IPAddress])).exitCode).not.toBe(0);
    const used = await daemon().api.call<{ message: string }>('DELETE', '/networks/private');
    expect(used.status).toBe(403);
    expect(used.json.message).toContain('has active endpoints');
    for (const id of [server, client, outside]) await remove(daemon(), id);
  });

  test('connect and disconnect a running container', async () => {
    await network({ Name: 'second' });
    const id = await start(daemon(), waiting(), 'joiner');
    const other = await start(daemon(), waiting({ HostConfig: { NetworkMode: 'second' } }), 'there');
    await daemon().api.expect('POST', '/networks/second/connect', { body: { Container: 'joiner' }, status: 200 });
    expect(Object.keys((await inspect(daemon(), id)).NetworkSettings.Networks).toSorted()).toEqual(['bridge', 'second']);
    expect((await execIn(daemon(), id, ['ping', '-c', '1', '-W', '2', 'there'])).exitCode).toBe(0);
    expect((await daemon().api.post('/networks/second/connect', { Container: 'joiner' })).status).toBeOneOf([403, 409]);
    await daemon().api.expect('POST', '/networks/second/disconnect', { body: { Container: 'joiner' }, status: 200 });
    expect((await execIn(daemon(), id, ['ping', '-c', '1', '-W', '1', 'there'])).exitCode).not.toBe(0);
    for (const one of [id, other]) await remove(daemon(), one);
  });

  test('a container keeps an address it was given', async () => {
    await network({ Name: 'fixed', IPAM: { Config: [{ Subnet: '10.241.8.0/24' }] } });
    const config = (address: string) => ({
      HostConfig: { NetworkMode: 'fixed' },
      NetworkingConfig: { EndpointsConfig: { fixed: { IPAMConfig: { IPv4Address: address } } } },
    });
    expect(await outputOf(daemon(), 'ip -4 -o addr show eth0', config('10.241.8.77'))).toContain('10.241.8.77/24');
    const id = await create(daemon(), { ...config('10.9.9.9'), Cmd: ['true'] }).catch(() => undefined);
    if (id !== undefined) {
      expect((await daemon().api.post(`/containers/${id}/start`)).status).toBeGreaterThanOrEqual(400);
      await remove(daemon(), id);
    }
  });

  test('what is taken, exhausted or in use is refused with Docker’s status, and named', async () => {
    const tiny = { IPAM: { Config: [{ Subnet: '10.241.9.0/30' }] } };
    await network({ Name: 'tiny', ...tiny });
    const refusalOf = async (path: string, body: object): Promise<string> => {
      const { status, json } = await daemon().api.post<{ message: string }>(path, body);
      return `${String(status)} ${json.message}`;
    };
    expect(await refusalOf('/networks/create', { Name: 'other', ...tiny })).toBe(
      '403 invalid pool request: Pool overlaps with other one on this address space: 10.241.9.0/30 overlaps 10.241.9.0/30, which network tiny has',
    );
    const member = { HostConfig: { NetworkMode: 'tiny' } };
    const only = await start(daemon(), waiting(member));
    const late = await create(daemon(), waiting(member));
    expect(await refusalOf(`/containers/${late}/start`, {})).toMatch(
      /^503 .*no available IPv4 addresses .* all of 10\.241\.9\.0\/30 are in use$/,
    );
    const second = await start(daemon(), waiting());
    const taken = { Container: second, EndpointConfig: { IPAMConfig: { IPv4Address: '10.241.9.2' } } };
    expect(await refusalOf('/networks/tiny/connect', taken)).toBe('403 Address already in use: 10.241.9.2');
    const { status, json } = await daemon().api.call<{ message: string }>('DELETE', '/networks/tiny');
    expect([status, json.message]).toEqual([
      403,
      expect.stringMatching(/^error while removing network: network tiny .*has active endpoints/),
    ]);
    for (const id of [only, late, second]) await remove(daemon(), id);
    expect((await daemon().api.delete('/networks/tiny')).status).toBe(204);
  });

  test('bad subnets are refused, unknown networks are 404', async () => {
    for (const Subnet of ['nonsense', '10.0.0.0/99', '10.241.8.5']) {
      expect((await daemon().api.post('/networks/create', { Name: 'bad', IPAM: { Config: [{ Subnet }] } })).status).toBe(400);
    }
    expect((await daemon().api.post('/networks/create', { Name: 'bad', Driver: 'nonsense' })).status).toBe(404);
    expect((await daemon().api.delete('/networks/unknown')).status).toBe(404);
    // The network may be made between create and start.
    const id = await create(daemon(), { Cmd: ['true'], HostConfig: { NetworkMode: 'unknown' } });
    const answer = await daemon().api.post(`/containers/${id}/start`);
    expect(answer.status).toBe(404);
    expect(answer.text).toContain('network unknown not found');
    await remove(daemon(), id);
  });
});

describe('published ports', () => {
  const daemon = sharedDaemon();
  const publishing = (script: string, bindings: object) =>
    sh(script, { ExposedPorts: Object.fromEntries(Object.keys(bindings).map(port => [port, {}])), HostConfig: { PortBindings: bindings } });
  const external = Object.values(networkInterfaces())
    .flatMap(addresses => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')?.address;

  test('are reached at 127.0.0.1, at an address of the host, at ::1', async () => {
    const port = await freePort();
    const id = await start(daemon(), publishing(answering('web'), { '80/tcp': [{ HostPort: String(port) }] }));
    const hosts = ['127.0.0.1', ...(external === undefined ? [] : [external]), ...(unmet('ipv6-loopback') === undefined ? ['::1'] : [])];
    for (const host of hosts)
      expect(await eventually(`it answers at ${host}`, async () => (await readFrom(host, port)) || undefined)).toBe('web\n');
    expect((await inspect(daemon(), id)).NetworkSettings.Ports['80/tcp']?.[0]).toMatchObject({ HostPort: String(port) });
    await remove(daemon(), id);
    expect(await readFrom('127.0.0.1', port)).toBe('');
  });

  test('only at the address that was asked for', async () => {
    const port = await freePort();
    const id = await start(daemon(), publishing(answering('here'), { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: String(port) }] }));
    expect(await eventually('it answers', async () => (await readFrom('127.0.0.1', port)) || undefined)).toBe('here\n');
    if (external !== undefined) expect(await readFrom(external, port)).toBe('');
    await remove(daemon(), id);
  });

  test('are reached from another container through the host', async () => {
    const port = await freePort();
    const id = await start(daemon(), publishing(answering('neighbour'), { '80/tcp': [{ HostPort: String(port) }] }));
    const { Gateway = '' } = (await inspect(daemon(), id)).NetworkSettings.Networks.bridge ?? {};
    expect(
      await outputOf(daemon(), `for i in 1 2 3 4 5 6 7 8 9 10; do nc -w 2 ${Gateway} ${String(port)} </dev/null && break; sleep 0.2; done`),
    ).toBe('neighbour');
    await remove(daemon(), id);
  });

  test('UDP, there and back', async () => {
    const port = await freePort();
    const id = await start(daemon(), publishing('sleep 1000', { '53/udp': [{ HostPort: String(port) }] }));
    const { Pid } = (await inspect(daemon(), id)).State;
    // No program of the image listens for datagrams; one of this machine does, inside the container's network.
    const echo = Bun.spawn(['nsenter', '-t', String(Pid), '-n', 'socat', 'UDP-LISTEN:53', 'PIPE'], {
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    const socket = createSocket('udp4');
    try {
      const answers = new Set<string>();
      socket.on('message', message => answers.add(String(message)));
      await eventually('the answer arrives', () => {
        socket.send('datagram', port, '127.0.0.1');
        return answers.has('datagram');
      });
    } finally {
      socket.close();
      echo.kill();
      await echo.exited;
    }
    await remove(daemon(), id);
  });

  test('a port of the engine’s choice; every exposed one with PublishAllPorts', async () => {
    const id = await start(
      daemon(),
      sh(answering('any'), { ExposedPorts: { '80/tcp': {}, '81/tcp': {} }, HostConfig: { PublishAllPorts: true } }),
    );
    const { Ports } = (await inspect(daemon(), id)).NetworkSettings;
    const chosen = ['80/tcp', '81/tcp'].map(port => Number(Ports[port]?.[0]?.HostPort));
    for (const port of chosen) expect(port).toBeWithin(1024, 65536);
    expect(await eventually('it answers', async () => (await readFrom('127.0.0.1', chosen[0] ?? 0)) || undefined)).toBe('any\n');
    await remove(daemon(), id);
  });

  test('a range is shown port by port, and only there', async () => {
    const first = 36_000;
    const bindings = Object.fromEntries(
      Array.from({ length: 300 }, (_, i) => [`${String(8000 + i)}/tcp`, [{ HostPort: String(first + i) }]]),
    );
    const id = await start(daemon(), publishing('sleep 1000', { ...bindings, '9000/udp': [] }));
    const { Config, HostConfig, NetworkSettings } = await inspect(daemon(), id);
    const asked = HostConfig.PortBindings as Readonly<Record<string, object>>;
    expect(Object.keys(asked)).toHaveLength(301);
    expect(asked['8299/tcp']).toEqual([{ HostIp: '', HostPort: String(first + 299) }]);
    expect(Object.keys((Config as { ExposedPorts?: object }).ExposedPorts ?? {})).toHaveLength(301);
    expect(NetworkSettings.Ports['8150/tcp']?.[0]).toEqual({ HostIp: '0.0.0.0', HostPort: String(first + 150) });
    const [{ Ports }] = await daemon().api.expect<[{ Ports: { PrivatePort: number; PublicPort?: number; IP?: string }[] }]>(
      'GET',
      `/containers/json?filters=${encodeURIComponent(JSON.stringify({ publish: ['8150'] }))}`,
    );
    expect(Ports.filter(({ IP }) => IP === '0.0.0.0')).toHaveLength(301);
    expect(Ports.find(({ PrivatePort }) => PrivatePort === 8150)?.PublicPort).toBe(first + 150);
    await remove(daemon(), id);
    const wrong = { PortBindings: { '8000-8010/tcp': [{ HostPort: '9000-9001' }] } };
    const refused = await daemon().api.post<{ message: string }>('/containers/create', { Image: 'busybox', HostConfig: wrong });
    expect(refused.status).toBe(400);
    expect(refused.json.message).toBe('invalid ranges specified for container and host Ports: 8000-8010/tcp and 9000-9001');
  });

  test('a port in use: the start fails, says so, and leaves the container as created', async () => {
    using server = Bun.listen({ hostname: '0.0.0.0', port: 0, socket: { data: () => undefined } });
    const id = await create(daemon(), publishing('true', { '80/tcp': [{ HostPort: String(server.port) }] }));
    const answer = await daemon().api.post<{ message: string }>(`/containers/${id}/start`);
    expect(answer.status).toBe(500);
    expect(answer.json.message).toMatch(/address already in use|port is already allocated/);
    expect((await inspect(daemon(), id)).State).toMatchObject({ Status: 'created', Running: false });
    await remove(daemon(), id);
  });

  test('two containers cannot have the same port; the second can when the first is gone', async () => {
    const port = await freePort();
    const bindings = { '80/tcp': [{ HostPort: String(port) }] };
    const one = await start(daemon(), publishing(answering('one'), bindings));
    const two = await create(daemon(), publishing(answering('two'), bindings));
    const refused = await daemon().api.post<{ message: string }>(`/containers/${two}/start`);
    expect(refused.status).toBe(500);
    expect(refused.json.message).toContain(String(port));
    await remove(daemon(), one);
    await daemon().api.expect('POST', `/containers/${two}/start`, { status: 204 });
    expect(await eventually('it answers', async () => (await readFrom('127.0.0.1', port)) || undefined)).toBe('two\n');
    await remove(daemon(), two);
  });

  test('bad port numbers are refused', async () => {
    for (const bindings of [
      { '80/tcp': [{ HostPort: '70000' }] },
      { 'x/tcp': [{ HostPort: '80' }] },
      { '80/what': [{ HostPort: '80' }] },
    ]) {
      expect((await daemon().api.post('/containers/create', { Image: 'busybox', HostConfig: { PortBindings: bindings } })).status).toBe(
        400,
      );
    }
  });
});
