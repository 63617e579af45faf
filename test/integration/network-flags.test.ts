import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect } from 'bun:test';
import { execIn, inspect, outputOf, sh, start, waiting } from '#test/helpers/containers.ts';
import { startDaemon, tempFolder, type TestDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { fetchTcp } from '#test/helpers/network-stack.ts';
import { inOwnNetwork } from '#test/helpers/own-network.ts';
import { OtherMachine } from '#test/helpers/other-machine.ts';
import { runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

interface Network {
  readonly EnableIPv6: boolean;
  readonly Options: Readonly<Record<string, string>>;
  readonly IPAM: { readonly Config: readonly Readonly<Record<string, unknown>>[] };
}

const serving = 'while :; do echo served | nc -l -p 80; done';

// Several settings in one daemon, where they do not disturb each other.
if (inOwnNetwork(import.meta.path)) {
  describe('settings of the daemon for networks', () => {
    let other: OtherMachine;
    const network = async (daemon: TestDaemon, name: string): Promise<Network> =>
      await daemon.api.expect<Network>('GET', `/networks/${name}`);
    const addressOf = async (daemon: TestDaemon, id: string, name = 'bridge') => (await inspect(daemon, id)).NetworkSettings.Networks[name];
    const inContainer = async (daemon: TestDaemon, id: string, script: string): Promise<string> =>
      (await execIn(daemon, id, ['sh', '-c', script])).stdout;
    const isServed = async (path: string | undefined, host: string, port: number, timeoutMs = 700): Promise<boolean> =>
      (await fetchTcp(path, host, port, timeoutMs)) === 'served\n';

    beforeAll(async () => {
      other = await OtherMachine.connect('lan', ['10.244.0.1/24', 'fd13:244::1/64'], ['10.244.0.2/24', 'fd13:244::2/64']);
      for (const third of ['245', '246', '247', '248']) await other.ip('route', 'add', `10.${third}.0.0/16`, 'via', '10.244.0.1');
    });
    afterAll(async () => await other?.[Symbol.asyncDispose]());

    test('flags', async () => {
      await using daemon = await startDaemon({
        comparesMachine: false,
        choosesBip: false,
        args: [
          ...['--bip', '10.245.0.1/24', '--fixed-cidr', '10.245.0.128/25', '--default-gateway', '10.245.0.129'],
          ...['--ipv6', '--fixed-cidr-v6', 'fd13:245::/64', '--default-gateway-v6', 'fd13:245::2'],
          ...['--mtu', '1400', '--icc=false', '--ip', '127.0.0.1', '--userland-proxy=false', '--allow-direct-routing'],
          ...['--default-address-pool', 'base=10.246.0.0/16,size=26', '--default-address-pool', 'base=fd13:246::/48,size=64'],
          ...['--default-network-opt', 'bridge=com.docker.network.container_iface_prefix=lan'],
          ...['--host-gateway-ip', '10.9.9.9', '--host-gateway-ip', 'fd13:9::9'],
        ],
      });
      const bridge = await network(daemon, 'bridge');
      expect(bridge.IPAM.Config).toEqual([
        {
          Subnet: '10.245.0.0/24',
          IPRange: '10.245.0.128/25',
          Gateway: '10.245.0.1',
          AuxiliaryAddresses: { DefaultGatewayIPv4: '10.245.0.129' },
        },
        { Subnet: 'fd13:245::/64', Gateway: 'fd13:245::1', AuxiliaryAddresses: { DefaultGatewayIPv6: 'fd13:245::2' } },
      ]);
      const published = {
        ExposedPorts: { '80/tcp': {}, '81/tcp': {} },
        HostConfig: { PortBindings: { '80/tcp': [{ HostPort: '28580' }] } },
      };
      const a = await start(daemon, sh(serving, published), 'one');
      const b = await start(daemon, sh(serving, { HostConfig: { ExtraHosts: ['outside:host-gateway'] } }), 'two');
      const [first, second] = [await addressOf(daemon, a), await addressOf(daemon, b)];
      expect([first?.IPAddress, second?.IPAddress]).toEqual(['10.245.0.128', '10.245.0.130']);
      expect([first?.GlobalIPv6Address, first?.Gateway, first?.IPv6Gateway]).toEqual(['fd13:245::3', '10.245.0.129', 'fd13:245::2']);
      expect(await inContainer(daemon, b, 'ip route; ip -6 route; cat /sys/class/net/lan0/mtu')).toMatch(
        /default via 10\.245\.0\.129 dev lan0[\s\S]*default via fd13:245::2 dev lan0[\s\S]*\n1400\n/,
      );
      expect(await inContainer(daemon, b, 'cat /etc/hosts')).toMatch(/^10\.9\.9\.9\toutside\nfd13:9::9\toutside$/m);
      // Ports of the default bridge are published on 127.0.0.1, and containers on it do not reach each other.
      expect((await inspect(daemon, a)).NetworkSettings.Ports['80/tcp']).toEqual([{ HostIp: '127.0.0.1', HostPort: '28580' }]);
      await eventually('it is served', () => isServed(undefined, '127.0.0.1', 28_580));
      await eventually('the host reaches it', () => isServed(undefined, '10.245.0.128', 80));
      expect(await isServed(other.path, '10.244.0.1', 28_580, 300)).toBe(false);
      expect((await execIn(daemon, b, ['nc', '-w', '1', '10.245.0.128', '80'])).stdout).toBe('');

      // Networks that name nothing: a subnet of the pool, the size of packets, the options; published ports are reached at the container's own address too.
      await daemon.api.expect('POST', '/networks/create', { body: { Name: 'own', EnableIPv6: true }, status: 201 });
      expect((await network(daemon, 'own')).IPAM.Config.map(({ Subnet }) => Subnet)).toEqual(['10.246.0.0/26', 'fd13:246::/64']);
      const own = { ...published, HostConfig: { NetworkMode: 'own', PortBindings: { '80/tcp': [{ HostPort: '28581' }] } } };
      const c = await start(daemon, sh(`${serving} & while :; do echo served | nc -l -p 81; done`, own), 'three');
      const address = (await addressOf(daemon, c, 'own'))?.IPAddress ?? '';
      expect(await inContainer(daemon, c, 'cat /sys/class/net/lan0/mtu')).toBe('1400\n');
      await eventually('it is served', () => isServed(other.path, '10.244.0.1', 28_581));
      await eventually('it is reached at its own address', () => isServed(other.path, address, 80));
      expect(await isServed(other.path, address, 81, 300)).toBe(false);
      await eventually('it is served on the loopback address', () => isServed(undefined, '127.0.0.1', 28_581));
    });

    test('keys of daemon.json, with a bridge of the operator', async () => {
      for (const setting of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']) writeFileSync(`/proc/sys/net/${setting}`, '0');
      await runOk(['ip', 'link', 'add', 'brown', 'type', 'bridge']);
      await runOk(['ip', 'link', 'set', 'brown', 'mtu', '1360', 'up']);
      await runOk(['ip', 'address', 'add', '10.247.0.7/24', 'dev', 'brown']);
      const before = await runOk(['ip', '-o', 'address', 'show', 'dev', 'brown', 'scope', 'global']);
      await using folder = await tempFolder();
      const file = `${folder.path}/daemon.json`;
      const config = {
        ...{ bridge: 'brown', 'fixed-cidr': '10.247.0.64/26', ipv6: true, bip6: 'fd13:247::9/64', 'ip-forward': false, 'ip-masq': false },
        ...{
          'userland-proxy': false,
          'host-gateway-ips': ['10.9.9.9'],
          'default-network-opts': { bridge: { 'com.docker.network.driver.mtu': '1432' } },
        },
        'default-address-pools': [{ base: '10.248.0.0/16', size: 24 }],
      };
      writeFileSync(file, JSON.stringify(config));
      const daemon = await startDaemon({ comparesMachine: false, choosesBip: false, args: ['--config-file', file] });
      {
        await using _daemon = daemon;
        expect((await network(daemon, 'bridge')).IPAM.Config).toEqual([
          { Subnet: '10.247.0.0/24', IPRange: '10.247.0.64/26', Gateway: '10.247.0.7' },
          { Subnet: 'fd13:247::/64', Gateway: 'fd13:247::9' },
        ]);
        expect(readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim()).toBe('0');
        expect(readFileSync('/proc/sys/net/ipv6/conf/all/forwarding', 'utf8').trim()).toBe('0');
        const a = await start(daemon, sh(serving, { HostConfig: { ExtraHosts: ['outside:host-gateway'] } }), 'one');
        const address = await addressOf(daemon, a);
        expect([address?.IPAddress, address?.Gateway]).toEqual(['10.247.0.64', '10.247.0.7']);
        expect(await inContainer(daemon, a, 'cat /sys/class/net/eth0/mtu /etc/hosts')).toMatch(/^1432\n[\s\S]*^10\.9\.9\.9\toutside$/m);
        await eventually('it is served', () => isServed(undefined, '10.247.0.64', 80));
        // What leaves keeps the container's address, once the operator has turned forwarding on.
        other.serve('seen', 82);
        expect((await execIn(daemon, a, ['nc', '-w', '1', '10.244.0.2', '82'])).stdout).toBe('');
        writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
        expect((await execIn(daemon, a, ['nc', '-w', '2', '10.244.0.2', '82'])).stdout).toBe('seen 10.247.0.64');
        await daemon.api.expect('POST', '/networks/create', { body: { Name: 'own' }, status: 201 });
        expect((await network(daemon, 'own')).IPAM.Config).toEqual([{ Subnet: '10.248.0.0/24', Gateway: '10.248.0.1' }]);
        expect(await runOk(['ip', '-o', 'link', 'show', 'dev', 'brown'])).toContain('mtu 1360');
        // A daemon that comes after one that was killed still knows whose bridge it is.
        await daemon.kill();
        await daemon.start();
        await eventually('it is still served', () => isServed(undefined, '10.247.0.64', 80));
      }
      expect(await runOk(['ip', '-o', 'address', 'show', 'dev', 'brown', 'scope', 'global'])).toBe(before);
      await runOk(['ip', 'link', 'delete', 'brown']);
    });

    test('no default bridge; what is no subnet or not in it is refused when the daemon starts', async () => {
      await using daemon = await startDaemon({ comparesMachine: false, choosesBip: false, args: ['--bridge', 'none'] });
      expect(await outputOf(daemon, 'ls /sys/class/net')).toBe('lo');
      expect((await daemon.api.expect<{ Name: string }[]>('GET', '/networks')).map(({ Name }) => Name).toSorted()).toEqual([
        'host',
        'none',
      ]);
      await daemon.api.expect('POST', '/networks/create', { body: { Name: 'own' }, status: 201 });
      const id = await start(daemon, waiting({ HostConfig: { NetworkMode: 'own' } }));
      expect((await addressOf(daemon, id, 'own'))?.IPAddress).not.toBe('');
      for (const [args, words] of [
        [['--bip', '10.245.0.1'], /invalid --bip "10\.245\.0\.1": want an address of the bridge and a prefix length/],
        [['--bip', '10.245.0.1/24', '--fixed-cidr', '10.246.0.0/25'], /invalid --fixed-cidr 10\.246\.0\.0\/25: it has to be part of/],
        [['--bip', '10.245.0.1/24', '--default-gateway', '10.246.0.1'], /invalid --default-gateway 10\.246\.0\.1: it has to be in/],
        [['--ipv6', '--fixed-cidr-v6', '10.1.0.0/16'], /invalid --fixed-cidr-v6 "10\.1\.0\.0\/16": want a subnet such as/],
        [['--host-gateway-ip', 'here'], /host-gateway-ip/],
        [['--default-address-pool', 'base=10.0.0.0/33,size=40'], /default-address-pool/],
      ] as const) {
        const refused = startDaemon({ comparesMachine: false, choosesBip: false, busybox: false, args });
        expect(refused).rejects.toThrow(words);
        await refused.catch(() => undefined);
      }
    });
  });
}
