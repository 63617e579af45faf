import { afterAll, afterEach, beforeAll, expect } from 'bun:test';
import { readFileSync } from 'node:fs';
import { runInNamespace } from '#host/sys/netns.ts';
import { needs } from '#test/helpers/needs.ts';
import { fetchTcp, type Member, NetworkStack, refusal } from '#test/helpers/network-stack.ts';
import { inOwnNetwork } from '#test/helpers/own-network.ts';
import { OtherMachine } from '#test/helpers/other-machine.ts';
import { run, runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'nft');
const bridgeOption = 'com.docker.network.bridge';
const published = { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '28280' }] } };

if (inOwnNetwork(import.meta.path)) {
  describe('options of networks', () => {
    let stack: NetworkStack;
    let other: OtherMachine;
    const members: Member[] = [];
    const link = `op${process.pid.toString(16).slice(-6)}`;
    const pools = [
      { subnet: '10.231.0.0/24', gateway: '', ipRange: '', auxiliaryAddresses: {} },
      { subnet: 'fd13:231::/64', gateway: '', ipRange: '', auxiliaryAddresses: {} },
    ];
    const create = (options: Record<string, string>, over: Parameters<NetworkStack['createNetwork']>[1] = {}) =>
      stack.createNetwork('net', { options, enableIpv6: true, ipam: { driver: '', options: {}, pools }, ...over });
    const start = async (name: string, over: Parameters<NetworkStack['start']>[1] = {}): Promise<Member> => {
      const member = await stack.start(name, { endpoints: { net: {} }, ...over });
      members.push(member);
      for (const port of [80, 81]) member.serve(port, '::');
      return member;
    };
    const pingFrom = async (path: string, address: string): Promise<boolean> =>
      (await run(['nsenter', `--net=${path}`, 'busybox', 'ping', '-c', '1', '-W', '1', address])).exitCode === 0;

    beforeAll(async () => {
      stack = new NetworkStack();
      await stack.service.recover(new Map());
      other = await OtherMachine.connect(link, ['10.230.0.1/24', 'fd13:230::1/64', '10.230.0.9/24'], ['10.230.0.2/24', 'fd13:230::2/64']);
      // It knows the way to the containers, as a host on the same link may.
      await other.ip('route', 'add', '10.231.0.0/24', 'via', '10.230.0.1');
      await other.ip('-6', 'route', 'add', 'fd13:231::/64', 'via', 'fd13:230::1');
      other.serve('other', 82, '::');
    });
    afterEach(async () => {
      for (const member of members.splice(0)) {
        member.stop();
        await stack.service.teardown(member.request.containerId);
      }
      for (const { name, predefined, configFrom } of stack.service.list({}).toSorted((a, b) => (a.configFrom > b.configFrom ? -1 : 1))) {
        if (!predefined || configFrom !== '') await stack.service.remove(name);
      }
    });
    afterAll(async () => {
      await stack.close();
      await other[Symbol.asyncDispose]();
    });

    test('nat: a host that routes to containers reaches nothing; what leaves has the address of the host', async () => {
      await create({});
      const a = await start('a', published);
      expect(await fetchTcp(other.path, a.address, 80, 300)).toBe('timeout');
      expect(await fetchTcp(other.path, a.address6, 80, 300)).toBe('timeout');
      expect(await fetchTcp(other.path, '10.230.0.1', 28_280)).toBe('a 10.230.0.2');
      expect(await fetchTcp(other.path, 'fd13:230::1', 28_280, 5000)).toBe('a fd13:230::2');
      expect(await fetchTcp(a.path, '10.230.0.2', 82)).toBe('other 10.230.0.1');
      expect(await fetchTcp(a.path, 'fd13:230::2', 82)).toBe('other fd13:230::1');
    });

    test('nat-unprotected: every port of a container is reached by its own address, for the family that says so', async () => {
      await create({ [`${bridgeOption}.gateway_mode_ipv4`]: 'nat-unprotected' });
      const a = await start('a', published);
      for (const port of [80, 81]) expect(await fetchTcp(other.path, a.address, port)).toBe('a 10.230.0.2');
      expect(await fetchTcp(other.path, a.address6, 80, 300)).toBe('timeout');
      expect(await fetchTcp(a.path, '10.230.0.2', 82)).toBe('other 10.230.0.1');
    });

    test('routed: published ports are reached by the container’s own address, which is what others see of it', async () => {
      await create({ [`${bridgeOption}.gateway_mode_ipv4`]: 'routed', [`${bridgeOption}.gateway_mode_ipv6`]: 'routed' });
      const a = await start('a', published);
      expect(await fetchTcp(other.path, a.address, 80)).toBe('a 10.230.0.2');
      // The kernel listens for questions about a new IPv6 address a moment later; the next question comes after a second.
      expect(await fetchTcp(other.path, a.address6, 80, 3000)).toBe('a fd13:230::2');
      expect(await fetchTcp(other.path, a.address, 81, 300)).toBe('timeout');
      expect(await pingFrom(other.path, a.address)).toBe(true);
      expect(await fetchTcp(a.path, '10.230.0.2', 82)).toBe(`other ${a.address}`);
      // The host has no part in it, and no port is taken there.
      expect(await fetchTcp(other.path, '10.230.0.1', 28_280)).toBe('refused');
      expect(a.sandbox.ports['80/tcp']?.map(({ hostPort }) => hostPort)).toEqual(['', '']);
    });

    test('isolated: the host has no address on it, and the mode is for internal networks', async () => {
      const modes = { [`${bridgeOption}.gateway_mode_ipv4`]: 'isolated', [`${bridgeOption}.gateway_mode_ipv6`]: 'isolated' };
      expect(await refusal(create(modes))).toMatch(/only be used for an internal network/);
      const { bridge } = await create(modes, { internal: true });
      const [a, b] = [await start('a'), await start('b')];
      expect(await fetchTcp(a.path, b.address, 80)).toBe(`b ${a.address}`);
      expect(await runOk(['ip', '-o', 'address', 'show', 'dev', bridge?.name ?? '', 'scope', 'global'])).toBe('');
      expect(a.sandbox.endpoints.net?.gateway).toBe('');
    });

    test('trusted host interfaces: from there published ports are reached by the container’s own address', async () => {
      await create({ [`${bridgeOption}.trusted_host_interfaces`]: `${link}:nosuch0` });
      const a = await start('a', published);
      expect(await fetchTcp(other.path, a.address, 80)).toBe('a 10.230.0.2');
      expect(await fetchTcp(other.path, a.address, 81, 300)).toBe('timeout');
    });

    test('a fixed address to leave with; a binding of the network for ports that name none', async () => {
      await create({ 'com.docker.network.host_ipv4': '10.230.0.9', [`${bridgeOption}.host_binding_ipv4`]: '127.0.0.1' });
      const a = await start('a', published);
      expect(await fetchTcp(a.path, '10.230.0.2', 82)).toBe('other 10.230.0.9');
      expect(await fetchTcp(other.path, '10.230.0.1', 28_280)).toBe('refused');
      expect(await fetchTcp(undefined, '127.0.0.1', 28_280)).toStartWith('a ');
    });

    test('without masquerading containers leave with their own addresses', async () => {
      await create({ [`${bridgeOption}.enable_ip_masquerade`]: 'false' });
      const a = await start('a');
      expect(await fetchTcp(a.path, '10.230.0.2', 82)).toBe(`other ${a.address}`);
    });

    test('inhibit IPv4: the bridge gets no IPv4 address', async () => {
      const { bridge } = await create({
        [`${bridgeOption}.inhibit_ipv4`]: 'true',
        [`${bridgeOption}.name`]: `oq${process.pid.toString(16).slice(-6)}`,
      });
      expect(await runOk(['ip', '-4', '-o', 'address', 'show', 'dev', bridge?.name ?? ''])).toBe('');
      expect(await runOk(['ip', '-6', '-o', 'address', 'show', 'dev', bridge?.name ?? '', 'scope', 'global'])).toContain('fd13:231::1/64');
    });

    test('a bridge of the operator is used as it is, and stays with what it had', async () => {
      const name = `or${process.pid.toString(16).slice(-6)}`;
      await runOk(['ip', 'link', 'add', name, 'type', 'bridge']);
      await runOk(['ip', 'link', 'set', name, 'mtu', '1380', 'up']);
      await runOk(['ip', 'address', 'add', '10.234.0.1/24', 'dev', name]);
      const addresses = () => runOk(['ip', '-o', 'address', 'show', 'dev', name, 'scope', 'global']);
      const before = await addresses();
      await create({ [`${bridgeOption}.name`]: name });
      const a = await start('a', published);
      expect(await fetchTcp(other.path, '10.230.0.1', 28_280)).toBe('a 10.230.0.2');
      expect(await addresses()).toContain('10.231.0.1/24');
      expect(await refusal(stack.createNetwork('other', { options: { [`${bridgeOption}.name`]: name } }))).toMatch(
        /same bridge name as network net/,
      );
      a.stop();
      await stack.service.teardown(a.request.containerId);
      members.splice(0);
      await stack.service.remove('net');
      expect(await addresses()).toBe(before);
      expect(await runOk(['ip', '-o', 'link', 'show', 'dev', name])).toContain('mtu 1380');
      await runOk(['ip', 'link', 'delete', name]);
      await runOk(['ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}p`]);
      expect(await refusal(create({ [`${bridgeOption}.name`]: name }))).toMatch(/has that name, and is no bridge/);
      await runOk(['ip', 'link', 'delete', name]);
    });

    test('values that are none are refused with what they should be', async () => {
      for (const [options, words] of [
        [{ [`${bridgeOption}.gateway_mode_ipv6`]: 'bridge' }, /want nat, nat-unprotected, routed or isolated/],
        [{ [`${bridgeOption}.enable_icc`]: 'perhaps' }, /want true or false/],
        [{ [`${bridgeOption}.host_binding_ipv4`]: '::1' }, /want an IPv4 address/],
        [{ 'com.docker.network.driver.mtu': '20' }, /from 68 to 65535/],
        [{ [`${bridgeOption}.name`]: 'much-too-long-a-name' }, /1 to 15 characters/],
        [{ 'com.docker.network.container_iface_prefix': 'a/b' }, /interface name/],
      ] as const) {
        expect(await refusal(create(options))).toMatch(words);
      }
      expect(stack.service.list({ name: ['net'] })).toEqual([]);
    });

    test('an endpoint: kernel settings, link-local addresses, names of interfaces', async () => {
      await create({ 'com.docker.network.container_iface_prefix': 'lan' });
      const driverOpts = { 'com.docker.network.endpoint.sysctls': 'net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.hop_limit=77' };
      const a = await start('a', { endpoints: { net: { driverOpts, linkLocalIps: ['169.254.9.9', 'fe80::99'] } } });
      const setting = (path: string) => runInNamespace(a.path, () => readFileSync(`/proc/sys/net/${path}`, 'utf8').trim());
      expect([setting('ipv4/conf/lan0/log_martians'), setting('ipv6/conf/lan0/hop_limit')]).toEqual(['1', '77']);
      const addresses = await runOk(['nsenter', `--net=${a.path}`, 'ip', '-o', 'address', 'show', 'dev', 'lan0']);
      expect(addresses).toContain('169.254.9.9/16');
      expect(addresses).toContain('fe80::99/64');
      for (const bad of [
        'net.ipv4.conf.eth0.log_martians=1',
        'kernel.hostname=x',
        'net.ipv4.conf.IFNAME.log_martians',
        'net/ipv4/conf/IFNAME/../x=1',
      ]) {
        const opts = { 'com.docker.network.endpoint.sysctls': bad };
        expect(await refusal(stack.start('b', { endpoints: { net: { driverOpts: opts } } }))).toMatch(/want net\.X\.Y\.IFNAME\.Z=value/);
      }
      const missing = { 'com.docker.network.endpoint.sysctls': 'net.ipv4.conf.IFNAME.no_such_thing=1' };
      expect(await refusal(stack.start('b', { endpoints: { net: { driverOpts: missing } } }))).toMatch(
        /no setting net\.ipv4\.conf\.lan0\.no_such_thing/,
      );
      expect(stack.driver.sandboxes()).toHaveLength(1);
    });

    test('settings that other networks take over', async () => {
      await create({ [`${bridgeOption}.enable_icc`]: 'false' }, { configOnly: true });
      const made = await stack.createNetwork('made', { configFrom: 'net', enableIpv4: undefined, enableIpv6: undefined });
      expect([made.bridge?.icc, made.ipam.pools[0]?.subnet, made.enableIpv6, made.configFrom]).toEqual([
        false,
        '10.231.0.0/24',
        true,
        'net',
      ]);
      expect(await refusal(stack.service.remove('net'))).toMatch(/is in use/);
      expect(await refusal(stack.start('a', { endpoints: { net: {} } }))).toMatch(/settings for other networks only/);
      expect(await refusal(stack.createNetwork('x', { configFrom: 'nosuch' }))).toMatch(/could not be found/);
      expect(await refusal(stack.createNetwork('x', { configFrom: 'made' }))).toMatch(/without --config-only/);
      expect(await refusal(stack.createNetwork('x', { configFrom: 'net', options: { a: 'b' } }))).toMatch(
        /not supported if the network depends/,
      );
      expect(await refusal(stack.createNetwork('x', { configOnly: true, internal: true }))).toMatch(/network specific fields/);
      await stack.service.remove('made');
    });

    test('addresses: a range, reserved ones, two subnets, and what is exhausted', async () => {
      const reserved = { one: '10.231.0.2', two: '10.231.0.129' };
      const small = [{ subnet: '10.231.0.0/24', gateway: '10.231.0.200', ipRange: '10.231.0.128/30', auxiliaryAddresses: reserved }];
      await create({}, { enableIpv6: false, ipam: { driver: '', options: {}, pools: small } });
      const found: string[] = [];
      for (const name of ['a', 'b', 'c']) found.push((await start(name)).address);
      expect(found).toEqual(['10.231.0.128', '10.231.0.130', '10.231.0.131']);
      expect(await refusal(stack.start('d', { endpoints: { net: {} } }))).toMatch(/no available IPv4 addresses/);
      expect(await refusal(stack.start('d', { endpoints: { net: { ipv4Address: '10.231.0.2' } } }))).toMatch(/Address already in use/);
      expect(await refusal(stack.start('d', { endpoints: { net: { ipv4Address: '10.9.0.2' } } }))).toMatch(/no configured subnet/);
      const overlapping = [{ subnet: '10.231.0.128/25', gateway: '', ipRange: '', auxiliaryAddresses: {} }];
      expect(await refusal(stack.createNetwork('x', { ipam: { driver: '', options: {}, pools: overlapping } }))).toMatch(/Pool overlaps/);
      const twice = [
        { ...small[0], subnet: '10.232.0.0/24', gateway: '10.232.0.1', ipRange: '', auxiliaryAddresses: { me: '10.232.0.1' } },
      ];
      expect(await refusal(stack.createNetwork('x', { ipam: { driver: '', options: {}, pools: twice } }))).toMatch(/auxiliary address me/);
    });
  });
}
