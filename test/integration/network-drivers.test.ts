import { afterAll, afterEach, beforeAll, expect } from 'bun:test';
import { createNetworkDriver } from '#host/netlink/network-driver.ts';
import { runInNamespace } from '#host/sys/netns.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { fetchTcp, type Member, NetworkStack, refusal } from '#test/helpers/network-stack.ts';
import { inOwnNetwork } from '#test/helpers/own-network.ts';
import { OtherMachine } from '#test/helpers/other-machine.ts';
import { run, runOk } from '#test/helpers/run.ts';

const { describe } = needs('root', 'nft');
const pool = (subnet: string, gateway = '', ipRange = '') => ({ subnet, gateway, ipRange, auxiliaryAddresses: {} });
const ipam = (...pools: ReturnType<typeof pool>[]) => ({ driver: '', options: {}, pools });

if (inOwnNetwork(import.meta.path)) {
  describe('networks on a link of the host', () => {
    let stack: NetworkStack;
    let other: OtherMachine;
    const members: Member[] = [];
    const link = `mp${process.pid.toString(16).slice(-6)}`;
    const start = async (name: string, endpoints: Record<string, Record<string, unknown>>): Promise<Member> => {
      const member = await stack.start(name, { endpoints });
      members.push(member);
      member.serve(80, '::');
      return member;
    };
    const end = async (): Promise<void> => {
      for (const member of members.splice(0)) {
        member.stop();
        await stack.service.teardown(member.request.containerId);
      }
      for (const { name, predefined } of stack.service.list({})) if (!predefined) await stack.service.remove(name);
    };
    /** What the kernel says about the interface of a container. */
    const linkOf = (member: Member): string =>
      Bun.spawnSync(['nsenter', `--net=${member.path}`, 'ip', '-d', 'link', 'show', 'eth0']).stdout.toString();
    const create = (name: string, driver: string, options: Record<string, string>, third = 216) =>
      stack.createNetwork(name, {
        driver,
        options,
        enableIpv6: true,
        ipam: ipam(
          pool(`10.${String(third)}.0.0/24`, `10.${String(third)}.0.254`),
          pool(`fd13:${String(third)}::/64`, `fd13:${String(third)}::ff`),
        ),
      });

    beforeAll(async () => {
      stack = new NetworkStack();
      await stack.service.recover(new Map());
      other = await OtherMachine.connect(link, [], ['10.216.0.254/24', 'fd13:216::ff/64']);
      other.serve('other', 80, '::');
    });
    afterEach(async () => await end());
    afterAll(async () => {
      await stack.close();
      await other?.[Symbol.asyncDispose]();
    });

    const macvlan = needs('root', 'macvlan');
    macvlan.test('macvlan: containers are on the link with addresses of their own, IPv4 and IPv6', async () => {
      await create('mac', 'macvlan', { parent: link });
      const a = await start('a', { mac: { macAddress: '02:42:0a:d8:00:07' } });
      const b = await start('b', { mac: {} });
      expect(linkOf(a)).toContain('macvlan mode bridge');
      expect(linkOf(a)).toContain('02:42:0a:d8:00:07');
      expect(await fetchTcp(a.path, b.address, 80)).toBe(`b ${a.address}`);
      expect(await fetchTcp(a.path, b.address6, 80)).toBe(`b ${a.address6}`);
      expect(await fetchTcp(other.path, a.address, 80)).toBe('a 10.216.0.254');
      expect(await fetchTcp(a.path, '10.216.0.254', 80)).toBe(`other ${a.address}`);
      // The default route is by the gateway, which is somebody on the link.
      expect(Bun.spawnSync(['nsenter', `--net=${a.path}`, 'ip', 'route', 'show', 'default']).stdout.toString()).toContain(
        'via 10.216.0.254 dev eth0',
      );
    });

    macvlan.test('macvlan: private containers do not reach each other, vepa’s only through the other end of the link', async () => {
      for (const mode of ['private', 'vepa']) {
        await create('mac', 'macvlan', { parent: link, macvlan_mode: mode });
        const [a, b] = [await start('a', { mac: {} }), await start('b', { mac: {} })];
        expect(linkOf(a)).toContain(`macvlan mode ${mode}`);
        expect(await fetchTcp(a.path, b.address, 80, 300)).toBe('timeout');
        expect(await fetchTcp(a.path, '10.216.0.254', 80)).toBe(`other ${a.address}`);
        await end();
      }
    });

    macvlan.test('macvlan: passthru gives the link to one container', async () => {
      await create('mac', 'macvlan', { parent: link, macvlan_mode: 'passthru' });
      const a = await start('a', { mac: {} });
      expect(linkOf(a)).toContain('macvlan mode passthru');
      expect(await fetchTcp(a.path, '10.216.0.254', 80)).toBe(`other ${a.address}`);
      const before = stack.driver.sandboxes();
      expect(await refusal(stack.start('b', { endpoints: { mac: {} } }))).toMatch(/to one container, and a has it/);
      expect(stack.driver.sandboxes()).toEqual(before);
      await end();
      // Of two that come at the same time one gets it.
      await create('mac', 'macvlan', { parent: link, macvlan_mode: 'passthru' });
      const both = await Promise.all(['c', 'd'].map(name => refusal(start(name, { mac: {} }))));
      expect(both.filter(answer => answer === 'done')).toHaveLength(1);
      expect(both.find(answer => answer !== 'done')).toMatch(/to one container/);
    });

    macvlan.test('macvlan: a running container joins and leaves', async () => {
      await create('mac', 'macvlan', { parent: link });
      const a = await stack.start('a');
      members.push(a);
      a.serve(80, '::');
      const request = { ...a.request, endpoints: { mac: {} } };
      const joined = await stack.service.connect(request, 'mac', AbortSignal.timeout(5000));
      expect(await fetchTcp(other.path, joined.endpoints.mac?.ipAddress ?? '', 80)).toBe('a 10.216.0.254');
      const left = await stack.service.disconnect(a.request.containerId, 'mac');
      expect(Object.keys(left?.endpoints ?? {})).toEqual(['bridge']);
      expect(Bun.spawnSync(['nsenter', `--net=${a.path}`, 'ip', 'link', 'show', 'eth1']).exitCode).toBe(1);
    });

    macvlan.test('bad parents and modes are refused with the rule, and nothing is left', async () => {
      for (const [options, words] of [
        [{ parent: 'nosuch' }, /this host has no such interface/],
        [{ parent: 'nosuch.7' }, /no interface nosuch/],
        [{ parent: `${link}.4095` }, /1 to 4094/],
        [{ parent: 'lo' }, /loopback/],
        [{ parent: link, macvlan_mode: 'tap' }, /want bridge, private, vepa or passthru/],
        [{ parent: link, ipvlan_mode: 'l2' }, /unknown option ipvlan_mode/],
      ] as const) {
        expect(await refusal(create('bad', 'macvlan', options))).toMatch(words);
      }
      await create('mac', 'macvlan', { parent: link });
      expect(await refusal(create('twice', 'macvlan', { parent: link }, 217))).toMatch(/already using parent interface/);
    });

    needs('root', 'macvlan', 'vlan').test('macvlan: a VLAN of the link is made for the network and goes with it', async () => {
      await other.ip('link', 'add', 'lan0.7', 'link', 'lan0', 'type', 'vlan', 'id', '7');
      await other.ip('address', 'add', '10.217.0.254/24', 'dev', 'lan0.7');
      await other.ip('link', 'set', 'lan0.7', 'up');
      await create('tagged', 'macvlan', { parent: `${link}.7` }, 217);
      const a = await start('a', { tagged: {} });
      expect(await fetchTcp(other.path, a.address, 80)).toBe('a 10.217.0.254');
      await end();
      expect(stack.driver.linkNames()).not.toContain(`${link}.7`);
    });

    needs('root', 'ipvlan', 'vlan').test(
      'ipvlan: a VLAN of the link is made for the network and goes with it; one that was there stays',
      async () => {
        await runOk(['ip', 'link', 'add', `${link}.9`, 'link', link, 'type', 'vlan', 'id', '9']);
        for (const [number, isOurs] of [
          ['8', true],
          ['9', false],
        ] as const) {
          await other.ip('link', 'add', `lan0.${number}`, 'link', 'lan0', 'type', 'vlan', 'id', number);
          await other.ip('address', 'add', '10.222.0.254/24', 'dev', `lan0.${number}`);
          await other.ip('link', 'set', `lan0.${number}`, 'up');
          await create('tagged', 'ipvlan', { parent: `${link}.${number}` }, 222);
          const a = await start('a', { tagged: {} });
          expect(await fetchTcp(other.path, a.address, 80, 3000)).toBe('a 10.222.0.254');
          await end();
          expect(stack.driver.linkNames().includes(`${link}.${number}`)).toBe(!isOurs);
          await other.ip('link', 'delete', `lan0.${number}`);
        }
        await runOk(['ip', 'link', 'delete', `${link}.9`]);
      },
    );

    needs('root', 'macvlan', 'dummy').test('macvlan: without a parent, and internal, containers have each other only', async () => {
      await create('alone', 'macvlan', {}, 217);
      const [a, b] = [await start('a', { alone: {} }), await start('b', { alone: {} })];
      expect(await fetchTcp(a.path, b.address, 80)).toBe(`b ${a.address}`);
      // The interfaces of the containers go with what they share.
      const made = (): string[] => stack.driver.linkNames().filter(name => name.startsWith('dm-'));
      await runOk(['ip', 'link', 'delete', made()[0] ?? '']);
      await eventually('they are back', async () => (await fetchTcp(a.path, b.address, 80, 500)) === `b ${a.address}`);
      await end();
      expect(made()).toEqual([]);
    });

    const ipvlan = needs('root', 'ipvlan');
    ipvlan.test('ipvlan l2: containers are on the link, with the address of the parent', async () => {
      await create('ipv', 'ipvlan', { parent: link });
      const [a, b] = [await start('a', { ipv: {} }), await start('b', { ipv: {} })];
      expect(linkOf(a)).toContain('ipvlan');
      expect(linkOf(a)).toContain('mode l2 bridge');
      expect(await fetchTcp(a.path, b.address, 80)).toBe(`b ${a.address}`);
      expect(await fetchTcp(other.path, a.address, 80)).toBe('a 10.216.0.254');
      expect(await refusal(stack.start('c', { endpoints: { ipv: { macAddress: '02:00:00:00:00:01' } } }))).toMatch(/custom mac address/);
    });

    ipvlan.test('ipvlan l3 and l3s: the host routes, containers have no gateway, and a router reaches them by the host', async () => {
      await runOk(['ip', 'address', 'add', '10.216.0.9/24', 'dev', link]);
      await runOk(['ip', 'route', 'add', '10.215.0.0/24', 'via', '10.216.0.254']);
      // Behind the router there is somebody who does not know the link.
      await other.ip('address', 'add', '10.215.0.1/32', 'dev', 'lo');
      await other.ip('route', 'replace', '10.218.0.0/24', 'via', '10.216.0.9');
      for (const mode of ['l3', 'l3s']) {
        await create('ipv', 'ipvlan', { parent: link, ipvlan_mode: mode }, 218);
        const [a, b] = [await start('a', { ipv: {} }), await start('b', { ipv: {} })];
        expect(linkOf(a)).toContain(`mode ${mode} `);
        expect(await fetchTcp(a.path, b.address, 80)).toBe(`b ${a.address}`);
        expect(Bun.spawnSync(['nsenter', `--net=${a.path}`, 'ip', 'route', 'show', 'default']).stdout.toString()).toContain(
          'default dev eth0',
        );
        expect(await fetchTcp(other.path, a.address, 80, 3000)).toBe('a 10.216.0.254');
        expect(await fetchTcp(a.path, '10.215.0.1', 80, 3000)).toBe(`other ${a.address}`);
        // The host has no address on the network; in mode l3s it sees the packets that it routes.
        expect(Bun.spawnSync(['ip', 'neigh', 'show', a.address]).stdout.toString()).toBe('');
        await end();
      }
      await runOk(['ip', 'address', 'delete', '10.216.0.9/24', 'dev', link]);
    });

    needs('root', 'macvlan').test('macvlan vepa: containers reach each other through a switch that sends back what it got', async () => {
      await other.ip('address', 'flush', 'dev', 'lan0');
      await other.ip('link', 'add', 'switch', 'type', 'bridge');
      await other.ip('link', 'set', 'lan0', 'master', 'switch');
      await other.ip('link', 'set', 'lan0', 'type', 'bridge_slave', 'hairpin', 'on');
      await other.ip('link', 'set', 'switch', 'up');
      await create('mac', 'macvlan', { parent: link, macvlan_mode: 'vepa' });
      const [a, b] = [await start('a', { mac: {} }), await start('b', { mac: {} })];
      expect(await fetchTcp(a.path, b.address, 80, 5000)).toBe(`b ${a.address}`);
      await other.ip('link', 'delete', 'switch');
      for (const address of ['10.216.0.254/24', 'fd13:216::ff/64']) await other.ip('address', 'add', address, 'dev', 'lan0', 'nodad');
    });

    ipvlan.test('ipvlan: private containers do not reach each other', async () => {
      await create('ipv', 'ipvlan', { parent: link, ipvlan_flag: 'private' });
      const [a, b] = [await start('a', { ipv: {} }), await start('b', { ipv: {} })];
      expect(linkOf(a)).toContain('mode l2 private');
      expect(await fetchTcp(a.path, b.address, 80, 300)).toBe('timeout');
      expect(await fetchTcp(a.path, '10.216.0.254', 80)).toBe(`other ${a.address}`);
    });

    needs('root', 'vxlan').test.each([
      [4, '10.219.0.1', '10.219.0.2'],
      [6, 'fd13:219::1', 'fd13:219::2'],
    ] as const)(
      'overlay: containers of two hosts of IPv%p are on one network, and leave each host by its own way',
      async (family, here, peer) => {
        const cable = `ov${process.pid.toString(16).slice(-6)}`;
        await using after = new AsyncDisposableStack();
        const host = after.use(await OtherMachine.connect(cable, ['10.219.0.1/24', 'fd13:219::1/64'], ['10.219.0.2/24', 'fd13:219::2/64']));
        host.serve('host', 81);
        const options = { 'com.docker.network.driver.overlay.peers': peer, 'com.docker.network.driver.overlay.vxlanid_list': '5001' };
        const wide = await stack.createNetwork('wide', {
          driver: 'overlay',
          options,
          ipam: ipam(pool('10.220.0.0/24', '', '10.220.0.0/25')),
        });
        const a = await start('a', { wide: {} });
        const mtu = wide.bridge?.mtu ?? 0;

        // The other host has what a daemon there would have made.
        const there = runInNamespace(host.path, () =>
          createNetworkDriver({ namespaceDir: `${stack.dir}/far`, userNamespaceDir: `${stack.dir}/far-userns` }),
        );
        after.use(there);
        after.defer(() => void there.removeSandbox('far'));
        there.putBridge({ name: 'ov0', mac: '02:00:00:00:09:01', mtu, addresses: [], keepsAddresses: false, routesNeighbours: false });
        there.putTunnel({ name: 'vx0', bridge: 'ov0', vni: 5001, port: 4789, mtu, local: undefined, family });
        there.putTunnelPeers('vx0', { hosts: [here], interfaces: [] });
        const far = await there.createSandbox(
          'far',
          [
            {
              ...{ kind: 'bridged', hostName: 'vethfar', bridge: 'ov0', name: 'eth0', mac: '02:00:00:00:09:02', mtu },
              ...{ addresses: ['10.220.0.200/24'], settings: {}, hairpin: false, isolated: false },
            },
          ],
          [],
        );
        const answer = (socket: Bun.Socket): void => void socket.end(`far ${socket.remoteAddress}`);
        const server = runInNamespace(far.path, () =>
          Bun.listen({ hostname: '0.0.0.0', port: 80, socket: { open: answer, data: () => undefined } }),
        );
        after.defer(() => server.stop(true));
        expect(await fetchTcp(a.path, '10.220.0.200', 80, 3000)).toBe(`far ${a.address}`);
        expect(await fetchTcp(far.path, a.address, 80, 3000)).toBe('a 10.220.0.200');
        // Whole packets of the network's size pass: the way between the hosts has room for what is put around them.
        const ping = ['busybox', 'ping', '-c', '1', '-W', '2', '-s', String(Math.min(mtu, 1400) - 28), '10.220.0.200'];
        expect((await run(['nsenter', `--net=${a.path}`, ...ping])).exitCode).toBe(0);
        // The way out is another network, which nobody sees.
        expect(Object.keys(a.sandbox.endpoints)).toEqual(['wide']);
        expect(await fetchTcp(a.path, '10.219.0.2', 81)).toBe('host 10.219.0.1');
        expect(await fetchTcp(undefined, a.address, 80, 300)).not.toStartWith('a ');
        // What somebody removes is put back.
        await runOk(['ip', 'link', 'delete', wide.overlay?.link ?? '']);
        await eventually('the tunnel is back', async () => (await fetchTcp(a.path, '10.220.0.200', 80, 500)) === `far ${a.address}`);
        // A host that is no peer any more gets nothing.
        stack.driver.putTunnelPeers(wide.overlay?.link ?? '', { hosts: [], interfaces: [{ mac: '02:00:00:00:09:02', host: peer }] });
        expect(await fetchTcp(a.path, '10.220.0.200', 80, 3000)).toBe(`far ${a.address}`);

        await end();
        expect(stack.driver.linkNames().filter(name => /^(vx|ov)-/.test(name))).toEqual([]);
      },
    );
  });
}
