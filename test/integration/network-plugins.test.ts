import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'bun:test';
import { needs } from '#test/helpers/needs.ts';
import { emptyPlugin, type NetworkPlugin, startNetworkPlugin } from '#test/helpers/network-plugin.ts';
import { fetchTcp, type Member, NetworkStack, refusal } from '#test/helpers/network-stack.ts';
import { inOwnNetwork } from '#test/helpers/own-network.ts';
import { OtherMachine } from '#test/helpers/other-machine.ts';
import { runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'nft');

/** Every call that changes something when a container comes to a network of a plugin. */
const whenMade = ['IpamDriver.RequestPool', 'IpamDriver.RequestAddress', 'NetworkDriver.CreateNetwork'];
const whenStarted = [
  'IpamDriver.RequestAddress',
  'NetworkDriver.CreateEndpoint',
  'NetworkDriver.Join',
  'NetworkDriver.ProgramExternalConnectivity',
];
const whenEnded = [
  'NetworkDriver.RevokeExternalConnectivity',
  'NetworkDriver.Leave',
  'NetworkDriver.DeleteEndpoint',
  'IpamDriver.ReleaseAddress',
];
const whenRemoved = ['NetworkDriver.DeleteNetwork', 'IpamDriver.ReleaseAddress', 'IpamDriver.ReleasePool'];

if (inOwnNetwork(import.meta.path)) {
  describe('networks and addresses of plugins', () => {
    let stack: NetworkStack;
    let plugin: NetworkPlugin;
    let other: OtherMachine;
    const members: Member[] = [];
    const gateway = { join: { Gateway: '10.251.0.1' } };
    const published = { portBindings: { '80/tcp': [{ hostIp: '0.0.0.0', hostPort: '28480' }] } };
    const create = (over: Parameters<NetworkStack['createNetwork']>[1] = {}) =>
      stack.createNetwork('net', {
        driver: 'plug',
        ipam: { driver: 'plug', options: { colour: 'blue' }, pools: [] },
        options: { flavour: 'sour' },
        ...over,
      });
    const start = async (name: string, over: Parameters<NetworkStack['start']>[1] = {}): Promise<Member> => {
      const member = await stack.start(name, { endpoints: { net: {} }, ...over });
      members.push(member);
      member.serve(80, '::');
      return member;
    };
    const end = async (): Promise<void> => {
      for (const member of members.splice(0)) {
        member.stop();
        await stack.service.teardown(member.request.containerId);
      }
    };
    const methods = (): string[] => plugin.calls().map(({ method }) => method);
    const inside = async (member: Member, ...args: readonly string[]): Promise<string> =>
      await runOk(['nsenter', `--net=${member.path}`, 'ip', ...args]);
    /** Interfaces of the host that the plugin made. */
    const pluginLinks = (): string[] => stack.driver.linkNames().filter(name => /^(n[ivp][0-9a-f]{10}|mv)/.test(name));

    beforeAll(async () => {
      stack = new NetworkStack();
      plugin = await startNetworkPlugin(join(stack.dir, 'plugins/plug.sock'), join(stack.dir, 'plug'));
      await stack.service.recover(new Map());
      other = await OtherMachine.connect('lan', ['10.252.0.1/24'], ['10.252.0.2/24']);
      other.serve('other', 82);
    });
    beforeEach(async () => {
      await plugin.behave(gateway);
      plugin.calls();
    });
    afterEach(async () => {
      await end();
      for (const { name, predefined } of stack.service.list({})) if (!predefined) await stack.service.remove(name);
      expect(plugin.state()).toEqual(emptyPlugin);
      expect(pluginLinks()).toEqual([]);
      expect(stack.driver.sandboxes()).toEqual([]);
    });
    afterAll(async () => {
      await plugin?.[Symbol.asyncDispose]();
      await stack.close();
      await other?.[Symbol.asyncDispose]();
    });

    test('a plugin makes the network, gives the addresses and carries the packets', async () => {
      const network = await create();
      expect(network.ipam.pools[0]).toMatchObject({ subnet: '10.251.0.0/24', gateway: '10.251.0.1' });
      const made = plugin.calls();
      expect(made.map(({ method }) => method)).toEqual([
        'NetworkDriver.GetCapabilities',
        'IpamDriver.GetDefaultAddressSpaces',
        'IpamDriver.GetCapabilities',
        ...whenMade,
      ]);
      expect(made[3]?.body).toEqual({ AddressSpace: 'here', Pool: '', SubPool: '', Options: { colour: 'blue' }, V6: false });
      expect(made[4]?.body).toEqual({
        PoolID: '10.251.0.0/24',
        Address: '',
        Options: { RequestAddressType: 'com.docker.network.gateway' },
      });
      expect(made[5]?.body).toEqual({
        NetworkID: network.id,
        Options: {
          'com.docker.network.generic': { flavour: 'sour' },
          'com.docker.network.enable_ipv4': true,
          'com.docker.network.enable_ipv6': false,
        },
        IPv4Data: [{ AddressSpace: 'here', Pool: '10.251.0.0/24', Gateway: '10.251.0.1/24' }],
        IPv6Data: [],
      });

      const a = await start('a', { endpoints: { net: { driverOpts: { size: 'large' } } }, exposedPorts: ['81/tcp'], ...published });
      const started = plugin.calls();
      expect(started.map(({ method }) => method)).toEqual([...whenStarted, 'NetworkDriver.EndpointOperInfo']);
      const endpoint = { NetworkID: network.id, EndpointID: a.sandbox.endpoints.net?.endpointId };
      const ports = {
        'com.docker.network.endpoint.exposedports': [
          { Proto: 6, Port: 81 },
          { Proto: 6, Port: 80 },
        ],
        'com.docker.network.portmap': [{ Proto: 6, IP: '', Port: 80, HostIP: '0.0.0.0', HostPort: 28_480, HostPortEnd: 28_480 }],
      };
      expect(started[1]?.body).toEqual({
        ...endpoint,
        Interface: { Address: '10.251.0.2/24', AddressIPv6: '', MacAddress: '' },
        Options: { size: 'large', ...ports },
      });
      expect(started[2]?.body).toEqual({ ...endpoint, SandboxKey: a.path, Options: ports });
      expect(started[3]?.body).toEqual({ ...endpoint, Options: ports });
      const address = await inside(a, '-br', 'address', 'show', 'dev', 'plug0');
      expect(address).toContain('10.251.0.2/24');
      expect(a.sandbox.endpoints.net).toMatchObject({ ipAddress: '10.251.0.2', gateway: '10.251.0.1' });
      expect(await inside(a, '-br', 'link', 'show', 'dev', 'plug0')).toContain(String(a.sandbox.endpoints.net?.macAddress));
      // What is published is what the plugin says.
      expect(a.sandbox.ports['80/tcp']).toEqual([{ hostIp: '0.0.0.0', hostPort: '28480' }]);

      const b = await start('b', { endpoints: { net: { ipv4Address: '', macAddress: '02:00:00:00:12:34' } } });
      expect(await inside(b, '-br', 'link', 'show', 'dev', 'plug0')).toContain('02:00:00:00:12:34');
      expect(await fetchTcp(a.path, b.address, 80)).toBe(`b ${a.address}`);
      // By its gateway, which is the plugin's bridge.
      await other.ip('route', 'add', '10.251.0.0/24', 'via', '10.252.0.1');
      expect(await fetchTcp(a.path, '10.252.0.2', 82)).toBe(`other ${a.address}`);
      plugin.calls();
      await end();
      expect(methods()).toEqual([...whenEnded, ...whenEnded]);
      await stack.service.remove('net');
      expect(methods()).toEqual(whenRemoved);
    });

    test('routes of the plugin; without a gateway of its own a container leaves by the bridge for that', async () => {
      await plugin.behave({
        join: {
          StaticRoutes: [
            { Destination: '10.253.0.0/24', RouteType: 0, NextHop: '10.251.0.1' },
            { Destination: '10.254.0.0/24', RouteType: 1 },
          ],
        },
      });
      await create();
      const a = await start('a', published);
      const routes = await inside(a, 'route');
      expect(routes).toContain('10.253.0.0/24 via 10.251.0.1 dev plug0');
      expect(routes).toContain('10.254.0.0/24 dev plug0');
      expect(await fetchTcp(a.path, '10.252.0.2', 82)).toBe('other 10.252.0.1');
      expect(Object.keys(a.sandbox.endpoints)).toEqual(['net']);
      // Its ports are published by the daemon then.
      expect(await fetchTcp(other.path, '10.252.0.1', 28_480)).toBe('a 10.252.0.2');
      expect(methods()).not.toContain('NetworkDriver.ProgramExternalConnectivity');
      await plugin.behave({ join: { DisableGatewayService: true } });
      const b = await start('b');
      expect(await inside(b, 'route')).not.toContain('default');
    });

    test('subnets, addresses and reserved ones that the user chooses; IPv6; link addresses that the plugin wants to know', async () => {
      await plugin.behave({ ...gateway, needsMac: true });
      await plugin.start();
      const pools = [
        { subnet: '10.250.0.0/24', gateway: '10.250.0.9', ipRange: '', auxiliaryAddresses: { router: '10.250.0.77' } },
        { subnet: 'fd13:250::/112', gateway: '', ipRange: '', auxiliaryAddresses: {} },
      ];
      await create({ enableIpv6: true, ipam: { driver: 'plug', options: {}, pools } });
      await plugin.behave({ ...gateway, join: { Gateway: '10.250.0.9', GatewayIPv6: 'fd13:250::1' }, needsMac: true });
      const a = await start('a', { endpoints: { net: { ipv4Address: '10.250.0.50', ipv6Address: 'fd13:250::50' } } });
      const b = await start('b');
      expect([a.address, a.address6, b.address, b.address6]).toEqual(['10.250.0.50', 'fd13:250::50', '10.250.0.1', 'fd13:250::2']);
      expect(await fetchTcp(a.path, b.address6, 80, 3000)).toBe(`b ${a.address6}`);
      expect(await inside(a, '-6', 'route', 'show', 'default')).toContain('via fd13:250::1 dev plug0');
      const asked = plugin
        .calls()
        .filter(
          ({ method, body }) =>
            method === 'IpamDriver.RequestAddress' && 'com.docker.network.endpoint.macaddress' in (body.Options as object),
        );
      expect(asked).toHaveLength(4);
      expect(asked[0]?.body).toMatchObject({
        PoolID: '10.250.0.0/24',
        Address: '10.250.0.50',
        Options: { 'com.docker.network.endpoint.macaddress': a.sandbox.endpoints.net?.macAddress },
      });
      expect(await refusal(start('c', { endpoints: { net: { ipv4Address: '10.250.0.77' } } }))).toBe(
        'plugin "plug": IpamDriver.RequestAddress: 10.250.0.77 is taken',
      );
    });

    test('a driver of ours with addresses of a plugin; a plugin with our addresses, and with addresses of its own', async () => {
      await create({ driver: 'bridge' });
      const a = await start('a');
      const b = await start('b');
      expect([a.address, b.address]).toEqual(['10.251.0.2', '10.251.0.3']);
      expect(await fetchTcp(a.path, b.address, 80)).toBe(`b ${a.address}`);
      await end();
      await stack.service.remove('net');
      expect(plugin.state()).toEqual(emptyPlugin);

      await plugin.behave({});
      await create({ ipam: { driver: '', options: {}, pools: [] } });
      const c = await start('c');
      expect(c.address).toMatch(/^10\.\d+\.\d+\.2$/);
      expect(plugin.state().pools).toEqual({});
      await end();
      await stack.service.remove('net');

      await plugin.behave({ interface: { Address: '10.249.0.7/24', MacAddress: '02:00:00:00:07:07' } });
      plugin.calls();
      await create({ ipam: { driver: 'null', options: {}, pools: [] } });
      expect(plugin.calls()[0]?.body).toMatchObject({ IPv4Data: [{ AddressSpace: 'null', Pool: '0.0.0.0/0' }] });
      const d = await start('d');
      expect(d.sandbox.endpoints.net).toMatchObject({ ipAddress: '10.249.0.7', macAddress: '02:00:00:00:07:07' });
      expect(await inside(d, '-br', 'address', 'show', 'dev', 'plug0')).toContain('10.249.0.7/24');
      // Everything is free where nobody has said what is taken.
      await stack.createNetwork('beside');
      await end();
      await stack.service.remove('net');
      // What it was given is not its to change.
      await create();
      expect(await refusal(start('e'))).toMatch(
        /plugin "plug": NetworkDriver.CreateEndpoint answered with 10.249.0.7\/24 in place of 10.251.0.2\/24/,
      );
    });

    test('a container in a user namespace of its own gets the interface and gives it back', async () => {
      await create();
      const ids = [{ containerId: 0, hostId: 200_000, size: 65_536 }];
      const a = await start('a', { userNamespace: { idMap: { uids: ids, gids: ids } } });
      const b = await start('b');
      expect(await fetchTcp(a.path, b.address, 80)).toBe(`b ${a.address}`);
      await stack.service.disconnect(a.request.containerId, 'net');
      expect(Object.keys(plugin.state().endpoints)).toEqual([String(b.sandbox.endpoints.net?.endpointId)]);
    });

    test('a plugin that needs no gateway: none is reserved', async () => {
      await plugin.behave({ needsGateway: false });
      await plugin.start();
      expect((await create()).ipam.pools[0]?.gateway).toBe('');
      expect(methods().filter(method => method === 'IpamDriver.RequestAddress')).toEqual([]);
      expect((await start('a')).address).toBe('10.251.0.1');
      await plugin.behave({});
      await plugin.start();
    });

    test('a running container joins and leaves, and its ports go with the default route', async () => {
      await create();
      const a = await stack.start('a', { endpoints: { bridge: {} }, ...published });
      members.push(a);
      a.serve(80);
      expect(await fetchTcp(other.path, '10.252.0.1', 28_480)).toBe('a 10.252.0.2');
      plugin.calls();
      const joining = { ...a.request, endpoints: { bridge: {}, net: { gwPriority: 5 } } };
      const joined = await stack.service.connect(joining, 'net', AbortSignal.timeout(5000));
      expect(methods()).toEqual([...whenStarted, 'NetworkDriver.EndpointOperInfo']);
      expect(await inside(a, 'route', 'show', 'default')).toContain('via 10.251.0.1 dev plug0');
      expect(joined.endpoints.net?.ipAddress).toBe('10.251.0.2');
      expect(await fetchTcp(other.path, '10.252.0.1', 28_480, 300)).not.toStartWith('a ');
      const left = await stack.service.disconnect(a.request.containerId, 'net');
      expect(methods()).toEqual(whenEnded);
      expect(Object.keys(left?.endpoints ?? {})).toEqual(['bridge']);
      expect(await inside(a, '-br', 'link')).not.toContain('plug0');
      expect(await fetchTcp(other.path, '10.252.0.1', 28_480)).toBe('a 10.252.0.2');
    });

    test('a plugin whose networks are on every host allocates them first, and hears by which address this one is known', async () => {
      await runOk(['ip', 'route', 'add', 'default', 'via', '10.252.0.2']);
      await plugin.behave({ ...gateway, scope: 'global' });
      await plugin.start();
      const network = await create();
      expect(network.plugin).toMatchObject({ scope: 'global', allocated: true });
      const calls = plugin.calls();
      expect(calls.find(({ method }) => method === 'NetworkDriver.DiscoverNew')?.body).toEqual({
        DiscoveryType: 1,
        DiscoveryData: { Address: '10.252.0.1', BindAddress: '10.252.0.1', Self: true },
      });
      expect(calls.at(-1)?.body).toMatchObject({ Options: { 'com.docker.network.generic': { flavour: 'sour', allocated: 'yes' } } });
      expect(stack.service.list({ scope: ['global'] }).map(({ name }) => name)).toEqual(['net']);
      await stack.service.remove('net');
      expect(methods()).toEqual(['NetworkDriver.DeleteNetwork', 'NetworkDriver.FreeNetwork', ...whenRemoved.slice(1)]);
      await runOk(['ip', 'route', 'delete', 'default']);
      await plugin.behave({});
      await plugin.start();
    });

    test.each(whenMade)('%s refused, or the plugin gone in the middle: the network is not made, and nothing is left', async method => {
      await plugin.behave({ refuse: method });
      expect(await refusal(create())).toBe(`plugin "plug": ${method}: not today`);
      expect(plugin.state()).toEqual(emptyPlugin);
      await plugin.behave({ dieAfter: method });
      expect(await refusal(create())).toMatch(new RegExp(`^plugin "plug" at .*: ${method} broke off`));
      expect(stack.service.list({ name: ['net'] })).toEqual([]);
      // What could not be told is told before the plugin is asked for anything else.
      await plugin.behave(gateway);
      // Nobody can give back what he was never told of.
      if (method === 'IpamDriver.RequestPool') plugin.forgetPools();
      await plugin.start();
      await create();
      expect(Object.values(plugin.state().pools)).toEqual([{ uses: 1, taken: ['10.251.0.1'] }]);
    });

    test.each(whenStarted)(
      '%s refused, or the plugin gone in the middle: the container does not start, and nothing is left',
      async method => {
        await create();
        const before = plugin.state();
        await plugin.behave({ ...gateway, refuse: method });
        expect(await refusal(start('a', published))).toBe(`plugin "plug": ${method}: not today`);
        expect(plugin.state()).toEqual(before);
        expect(stack.driver.sandboxes()).toEqual([]);
        await plugin.behave({ ...gateway, dieAfter: method });
        expect(await refusal(start('a', published))).toMatch(new RegExp(`^plugin "plug" at .*: ${method} broke off`));
        expect(stack.driver.sandboxes()).toEqual([]);
        await plugin.behave(gateway);
        await plugin.start();
        const a = await start('a', published);
        expect(Object.keys(plugin.state().endpoints)).toEqual([String(a.sandbox.endpoints.net?.endpointId)]);
      },
    );

    test('a plugin that is slow, or not there: what names it, and what is told when it is back', async () => {
      await create();
      const a = await start('a', published);
      await plugin.behave({ ...gateway, hang: 'NetworkDriver.Join' });
      expect(await refusal(start('b'))).toMatch(/^plugin "plug" at .*: NetworkDriver.Join did not answer within 3 s$/);
      await plugin.kill();
      await end();
      expect(stack.driver.sandboxes()).toEqual([]);
      expect(await refusal(stack.service.remove('net'))).toMatch(/^plugin "plug" does not listen at /);
      expect(await refusal(start('b'))).toMatch(/^plugin "plug" does not listen at /);
      expect(Object.keys(plugin.state().endpoints)).toContain(String(a.sandbox.endpoints.net?.endpointId));
      await plugin.behave(gateway);
      await plugin.start();
      const c = await start('c');
      expect(Object.keys(plugin.state().endpoints)).toEqual([String(c.sandbox.endpoints.net?.endpointId)]);
      expect(plugin.state().published).toEqual([String(c.sandbox.endpoints.net?.endpointId)]);
    });

    test('the daemon that comes after another knows everything, and asks again of plugins that keep nothing', async () => {
      await plugin.behave({ ...gateway, needsReplay: true });
      await plugin.start();
      await create();
      const a = await start('a', published);
      const before = plugin.state();
      stack = stack.restarted();
      await plugin.kill();
      plugin.forgetPools();
      await plugin.start();
      await stack.service.recover(new Map([[a.request.containerId, ['net']]]));
      expect(plugin.state().pools).toEqual(before.pools);
      const b = await start('b');
      expect(await fetchTcp(b.path, a.address, 80)).toBe(`a ${b.address}`);
      // It ends while there is no daemon, and the plugin is away when the next one comes.
      await plugin.kill();
      for (const member of members.splice(0)) member.stop();
      stack = stack.restarted();
      await stack.service.recover(new Map());
      expect(stack.driver.sandboxes()).toEqual([]);
      await plugin.behave(gateway);
      await plugin.start();
      stack = stack.restarted();
      await stack.service.recover(new Map());
      expect(plugin.state()).toMatchObject({ endpoints: {}, published: [] });
      expect(Object.values(plugin.state().pools)).toEqual([{ uses: 1, taken: ['10.251.0.1'] }]);
    });

    test('names that are nobody’s', async () => {
      expect(await refusal(create({ driver: 'nosuch' }))).toBe('could not find plugin nosuch in v1 plugin registry: plugin not found');
      expect(await refusal(create({ ipam: { driver: 'nosuch', options: {}, pools: [] } }))).toBe(
        'could not find ipam plugin nosuch: plugin not found',
      );
      expect(await refusal(create({ driver: 'bridge', ipam: { driver: 'null', options: {}, pools: [] } }))).toMatch(/needs addresses/);
    });
  });
}
