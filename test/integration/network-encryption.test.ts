import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test as plainTest } from 'bun:test';
import { createNetworkDriver } from '#host/netlink/network-driver.ts';
import { runInNamespace } from '#host/sys/netns.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs, unmet } from '#test/helpers/needs.ts';
import { fetchTcp, type Member, NetworkStack, refusal } from '#test/helpers/network-stack.ts';
import { inOwnNetwork } from '#test/helpers/own-network.ts';
import { OtherMachine } from '#test/helpers/other-machine.ts';
import { run, runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'nft', 'vxlan', 'esp');
const option = (name: string): string => `com.docker.network.driver.overlay.${name}`;
const keyOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const pools = [{ subnet: '10.226.0.0/24', gateway: '', ipRange: '10.226.0.0/25', auxiliaryAddresses: {} }];
const vni = 5002;
const port = 20_480 + vni;

if (inOwnNetwork(import.meta.path)) {
  describe('encrypted overlay networks', () => {
    let stack: NetworkStack;
    let far: FarHost;
    let a: Member;
    let keyFile: string;
    const writeKeys = (...bytes: readonly number[]): void => {
      writeFileSync(keyFile, bytes.map(byte => `${Buffer.from(keyOf(byte)).toString('hex')}\n`).join(''));
      chmodSync(keyFile, 0o600);
    };
    const create = (name = 'secret', more: Record<string, string> = {}) =>
      stack.createNetwork(name, {
        driver: 'overlay',
        ipam: { driver: '', options: {}, pools },
        options: {
          [option('peers')]: '10.225.0.2',
          [option('vxlanid_list')]: String(vni),
          encrypted: '',
          [option('keyfile')]: keyFile,
          ...more,
        },
      });
    /** Without the counters, which go on by themselves. */
    const xfrm = async (what: 'state' | 'policy'): Promise<string> =>
      (await runOk(['ip', 'xfrm', what])).replaceAll(/^.*anti-replay.*\n/gm, '');
    const reaches = async (timeoutMs = 3000): Promise<boolean> =>
      (await fetchTcp(a.path, '10.226.0.200', 80, timeoutMs)) === `far ${a.address}`;

    beforeAll(async () => {
      stack = new NetworkStack();
      keyFile = join(stack.dir, 'keys');
      writeKeys(1);
      await stack.service.recover(new Map());
      far = await FarHost.connect(stack.dir);
      await create();
      a = await stack.start('a', { endpoints: { secret: {} } });
      a.serve(80);
    });
    afterEach(async () => {
      writeKeys(1);
      far.use([keyOf(1)]);
      await eventually('both use the first key', async () => await reaches(500));
    });
    afterAll(async () => {
      a?.stop();
      if (a !== undefined) await stack.service.teardown(a.request.containerId);
      for (const { name, predefined } of stack.service.list({})) if (!predefined) await stack.service.remove(name);
      expect([await xfrm('state'), await xfrm('policy')]).toEqual(['', '']);
      await far?.[Symbol.asyncDispose]();
      await stack.close();
    });

    test('what is between hosts is ESP, whole packets of the network pass, and nobody sees a frame of it', async () => {
      const before = await far.seen();
      expect(await reaches()).toBe(true);
      expect(await fetchTcp(far.container, a.address, 80, 3000)).toBe('a 10.226.0.200');
      const mtu = stack.service.inspect('secret').bridge?.mtu ?? 0;
      const ping = ['busybox', 'ping', '-c', '1', '-W', '2', '-s', String(mtu - 28), '10.226.0.200'];
      expect((await run(['nsenter', `--net=${a.path}`, ...ping])).exitCode).toBe(0);
      const after = await far.seen();
      expect(after.esp).toBeGreaterThan(before.esp + 5);
      expect(after.plain).toBe(before.plain);
    });

    test('packets that are not encrypted are not taken, from a host of the network or from others, and none are sent to hosts without keys', async () => {
      const dropped = async (): Promise<number> => {
        const text = await Bun.file('/proc/net/xfrm_stat').text();
        return ['XfrmInTmplMismatch', 'XfrmInPolBlock', 'XfrmInNoPols'].reduce(
          (sum, name) => sum + Number(new RegExp(`${name}\\s+(\\d+)`).exec(text)?.[1] ?? 0),
          0,
        );
      };
      await far.speakPlainly();
      const [before, sent] = [await dropped(), (await far.seen()).sentPlain];
      expect(await fetchTcp(far.container, a.address, 80, 700)).toBe('timeout');
      expect((await far.seen()).sentPlain).toBeGreaterThan(sent);
      expect(await dropped()).toBeGreaterThan(before);
      // A third host, which is no peer.
      await far.machine.ip('address', 'add', '10.225.0.3/24', 'dev', 'lan0');
      const between = await dropped();
      const opening = runInNamespace(far.machine.path, () =>
        Bun.udpSocket({ hostname: '10.225.0.3', port: 0, connect: { hostname: '10.225.0.1', port } }),
      );
      const socket = await opening;
      socket.send('plain');
      await eventually('it is dropped', async () => (await dropped()) > between);
      socket.close();
      await far.machine.ip('address', 'delete', '10.225.0.3/24', 'dev', 'lan0');

      // To a host that has become a peer without there being keys nothing goes.
      const { esp, plain } = await far.seen();
      writeKeys(9);
      far.use([keyOf(1)]);
      await eventually('the new key is in use', async () => !(await reaches(300)));
      const after = await far.seen();
      expect(after.plain).toBe(plain);
      expect(after.esp).toBeGreaterThan(esp);
    });

    test('keys are replaced host by host while packets pass', async () => {
      const usesOf = async (): Promise<number> => (await xfrm('state')).split('\n').filter(line => line.startsWith('src ')).length;
      const first = await xfrm('state');
      expect(await usesOf()).toBe(2);
      // Every host learns the second key, then uses it, then forgets the first.
      writeKeys(1, 2);
      await eventually('this host knows it', async () => (await usesOf()) === 3);
      // What was right has stayed: its counters go on.
      for (const line of first.split('\n').filter(one => one.startsWith('src '))) expect(await xfrm('state')).toContain(line);
      expect(await reaches()).toBe(true);
      far.use([keyOf(2), keyOf(1)]);
      expect(await reaches()).toBe(true);
      writeKeys(2, 1);
      await eventually('this host uses it', async () => {
        const policy = await xfrm('policy');
        return !(first.match(/spi (0x[0-9a-f]+)/g) ?? []).some(spi => policy.includes(spi));
      });
      expect(await reaches()).toBe(true);
      far.use([keyOf(2)]);
      expect(await reaches()).toBe(true);
      writeKeys(2);
      await eventually('the first key is gone', async () => (await usesOf()) === 2);
      expect(await reaches()).toBe(true);
      // A file that has no keys changes nothing.
      writeFileSync(keyFile, 'none\n');
      await Bun.sleep(0);
      expect(await reaches()).toBe(true);
    });

    test('what somebody removes of it is put back, and a daemon that comes after another changes nothing that is right', async () => {
      const [states, policies] = [await xfrm('state'), await xfrm('policy')];
      await runOk(['ip', 'xfrm', 'policy', 'flush']);
      await eventually('the policies are back', async () => (await xfrm('policy')).length >= policies.length);
      await runOk(['ip', 'xfrm', 'state', 'flush']);
      await eventually('the keys are back', async () => (await xfrm('state')).length >= states.length);
      expect(await reaches()).toBe(true);
      const sent = async (): Promise<number[]> =>
        [...(await runOk(['ip', 'xfrm', 'state'])).matchAll(/oseq (0x\w+)/g)].map(([, count]) => Number(count));
      const now = await sent();
      const request = a.request.containerId;
      stack = stack.restarted();
      await stack.service.recover(new Map([[request, ['secret']]]));
      // Keys that were made anew would begin at 0.
      for (const [index, count] of (await sent()).entries()) expect(count).toBeGreaterThanOrEqual(now[index] ?? 0);
      expect(now.some(count => count > 0)).toBe(true);
      expect(await reaches()).toBe(true);
    });

    test('between hosts of IPv6', async () => {
      const six = { vni: 5003, port: 20_480 + 5003 };
      const container = await far.addNetwork('six', six, '10.228.0.200/24', 'fd13:225::1', [keyOf(1)]);
      await stack.createNetwork('six', {
        driver: 'overlay',
        ipam: {
          driver: '',
          options: {},
          pools: [{ subnet: '10.228.0.0/24', gateway: '', ipRange: '10.228.0.0/25', auxiliaryAddresses: {} }],
        },
        options: { [option('peers')]: 'fd13:225::2', [option('vxlanid_list')]: '5003', encrypted: '', [option('keyfile')]: keyFile },
      });
      const b = await stack.start('b', { endpoints: { six: {} } });
      b.serve(80);
      const before = await far.seen();
      expect(await fetchTcp(container, b.address, 80, 5000)).toBe('b 10.228.0.200');
      const after = await far.seen();
      expect(after.esp).toBeGreaterThan(before.esp);
      expect(after.plain).toBe(before.plain);
      b.stop();
      await stack.service.teardown(b.request.containerId);
      await stack.service.remove('six');
    });

    test('keys and ports that do not do are refused, and nothing is left', async () => {
      const [states, policies] = [await xfrm('state'), await xfrm('policy')];
      for (const [options, words] of [
        [{ [option('keyfile')]: '' }, /needs keys that its hosts share/],
        [{ [option('keyfile')]: 'keys' }, /whole path/],
        [{ [option('keyfile')]: join(stack.dir, 'none') }, /there is no file of keys/],
        [{ [option('vxlanid_list')]: '7', [option('port')]: String(port) }, /has the UDP port/],
      ] as const) {
        const other = [{ subnet: '10.227.0.0/24', gateway: '', ipRange: '', auxiliaryAddresses: {} }];
        expect(
          await refusal(
            stack.createNetwork('other', {
              driver: 'overlay',
              ipam: { driver: '', options: {}, pools: other },
              options: {
                [option('peers')]: '10.225.0.2',
                [option('vxlanid_list')]: '8',
                encrypted: 'true',
                [option('keyfile')]: keyFile,
                ...options,
              },
            }),
          ),
        ).toMatch(words);
      }
      expect([await xfrm('state'), await xfrm('policy')]).toEqual([states, policies]);
      expect(stack.service.list({ name: ['other'] })).toEqual([]);
    });
  });

  if (unmet('root', 'nft', 'vxlan') === undefined && unmet('esp') !== undefined) {
    plainTest('a kernel that cannot encrypt says so when the network is made', async () => {
      const stack = new NetworkStack();
      await stack.service.recover(new Map());
      const keyFile = join(stack.dir, 'keys');
      writeFileSync(keyFile, 'ab'.repeat(32), { mode: 0o600 });
      const options = { [option('peers')]: '10.225.0.2', encrypted: 'true', [option('keyfile')]: keyFile };
      expect(await refusal(stack.createNetwork('secret', { driver: 'overlay', options }))).toMatch(
        /the kernel of this host cannot encrypt/,
      );
      expect(stack.service.list({ name: ['secret'] })).toEqual([]);
      expect(stack.driver.linkNames().filter(name => /^(vx|ov)-/.test(name))).toEqual([]);
      await stack.close();
    });
  }
}

/** Another host of the network, with what a daemon there would have made, and counters of what comes by the cable. */
class FarHost implements AsyncDisposable {
  readonly machine: OtherMachine;
  readonly container: string;
  readonly #driver: ReturnType<typeof createNetworkDriver>;
  readonly #server: { stop(closeActive?: boolean): void };

  private constructor(machine: OtherMachine, driver: ReturnType<typeof createNetworkDriver>, container: string) {
    this.machine = machine;
    this.container = container;
    this.#driver = driver;
    const answer = (socket: Bun.Socket): void => void socket.end(`far ${socket.remoteAddress}`);
    this.#server = runInNamespace(container, () =>
      Bun.listen({ hostname: '0.0.0.0', port: 80, socket: { open: answer, data: () => undefined } }),
    );
  }

  static async connect(dir: string): Promise<FarHost> {
    const machine = await OtherMachine.connect('lan', ['10.225.0.1/24', 'fd13:225::1/64'], ['10.225.0.2/24', 'fd13:225::2/64']);
    const driver = runInNamespace(machine.path, () =>
      createNetworkDriver({ namespaceDir: `${dir}/far`, userNamespaceDir: `${dir}/far-userns` }),
    );
    const counters = `
table netdev seen {
  chain in {
    type filter hook ingress device "lan0" priority 0;
    ip protocol esp counter
    ip protocol udp counter
    ip6 nexthdr esp counter
    ip6 nexthdr udp counter
  }
}
table ip sent {
  chain out {
    type filter hook postrouting priority 300;
    udp dport ${String(port)} counter
  }
}`;
    await runOk(['nsenter', `--net=${machine.path}`, 'nft', counters]);
    const { path } = await addFar(driver, 'far', { vni, port }, '10.226.0.200/24', '10.225.0.1');
    const far = new FarHost(machine, driver, path);
    far.use([keyOf(1)]);
    return far;
  }

  /** One more network; returns the namespace of a container on it. */
  async addNetwork(
    name: string,
    numbers: { readonly vni: number; readonly port: number },
    address: string,
    host: string,
    keys: readonly Uint8Array[],
  ): Promise<string> {
    runInNamespace(this.machine.path, () => this.#driver.putEncryption({ ...numbers, local: undefined, hosts: [host], keys }));
    return (await addFar(this.#driver, name, numbers, address, host)).path;
  }

  use(keys: readonly Uint8Array[]): void {
    runInNamespace(this.machine.path, () => this.#driver.putEncryption({ vni, port, local: undefined, hosts: ['10.225.0.1'], keys }));
  }

  async speakPlainly(): Promise<void> {
    for (const what of ['policy', 'state']) await this.machine.ip('xfrm', what, 'flush');
  }

  async seen(): Promise<{ readonly esp: number; readonly plain: number; readonly sentPlain: number }> {
    const list = async (...table: string[]): Promise<number[]> =>
      [...(await runOk(['nsenter', `--net=${this.machine.path}`, 'nft', 'list', 'table', ...table])).matchAll(/packets (\d+)/g)].map(
        ([, count]) => Number(count),
      );
    const [esp = 0, plain = 0, esp6 = 0, plain6 = 0] = await list('netdev', 'seen');
    const [sentPlain = 0] = await list('ip', 'sent');
    return { esp: esp + esp6, plain: plain + plain6, sentPlain };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.stop(true);
    for (const key of this.#driver.sandboxes()) this.#driver.removeSandbox(key);
    this.#driver[Symbol.dispose]();
    await this.machine[Symbol.asyncDispose]();
  }
}

/** What a daemon on the other host would have made: a cable for packets of 1500 bytes leaves these. */
function addFar(
  driver: ReturnType<typeof createNetworkDriver>,
  name: string,
  numbers: { readonly vni: number; readonly port: number },
  address: string,
  host: string,
): Promise<{ readonly path: string }> {
  const family = host.includes(':') ? 6 : 4;
  const mtu = family === 4 ? 1393 : 1373;
  const bridge = `ov-${name}`;
  driver.putBridge({ name: bridge, mac: '02:00:00:00:09:01', mtu, addresses: [], keepsAddresses: false, routesNeighbours: false });
  driver.putTunnel({ name: `vx-${name}`, bridge, ...numbers, mtu, local: undefined, family });
  driver.putTunnelPeers(`vx-${name}`, { hosts: [host], interfaces: [] });
  const link = { kind: 'bridged', hostName: `ve-${name}`, bridge, name: 'eth0', mac: '02:00:00:00:09:02', mtu } as const;
  return driver.createSandbox(name, [{ ...link, addresses: [address], settings: {}, hairpin: false, isolated: false }], []);
}
