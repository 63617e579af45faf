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
    const xfrm = async (what: 'state' | 'policy'): Promise<string> => await runOk(['ip', 'xfrm', what]);
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
      const sent = async (): Promise<number[]> => [...(await xfrm('state')).matchAll(/oseq (0x\w+)/g)].map(([, count]) => Number(count));
      const now = await sent();
      const request = a.request.containerId;
      stack = stack.restarted();
      await stack.service.recover(new Map([[request, ['secret']]]));
      // Keys that were made anew would begin at 0.
      for (const [index, count] of (await sent()).entries()) expect(count).toBeGreaterThanOrEqual(now[index] ?? 0);
      expect(now.some(count => count > 0)).toBe(true);
      expect(await reaches()).toBe(true);
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
    const machine = await OtherMachine.connect('lan', ['10.225.0.1/24'], ['10.225.0.2/24']);
    const driver = runInNamespace(machine.path, () =>
      createNetworkDriver({ namespaceDir: `${dir}/far`, userNamespaceDir: `${dir}/far-userns` }),
    );
    // As a daemon there has it: what a cable for packets of 1500 bytes leaves.
    const mtu = 1393;
    driver.putBridge({ name: 'ov0', mac: '02:00:00:00:09:01', mtu, addresses: [], keepsAddresses: false, routesNeighbours: false });
    driver.putTunnel({ name: 'vx0', bridge: 'ov0', vni, port, mtu, local: undefined });
    driver.putTunnelPeers('vx0', { hosts: ['10.225.0.1'], interfaces: [] });
    const link = { kind: 'bridged', hostName: 'vethfar', bridge: 'ov0', name: 'eth0', mac: '02:00:00:00:09:02', mtu } as const;
    const { path } = await driver.createSandbox(
      'far',
      [{ ...link, addresses: ['10.226.0.200/24'], settings: {}, hairpin: false, isolated: false }],
      [],
    );
    const counters = `
table netdev seen {
  chain in {
    type filter hook ingress device "lan0" priority 0;
    ip protocol esp counter
    ip protocol udp counter
  }
}
table ip sent {
  chain out {
    type filter hook postrouting priority 300;
    udp dport ${String(port)} counter
  }
}`;
    await runOk(['nsenter', `--net=${machine.path}`, 'nft', counters]);
    const far = new FarHost(machine, driver, path);
    far.use([keyOf(1)]);
    return far;
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
    const [esp = 0, plain = 0] = await list('netdev', 'seen');
    const [sentPlain = 0] = await list('ip', 'sent');
    return { esp, plain, sentPlain };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.stop(true);
    this.#driver.removeSandbox('far');
    this.#driver[Symbol.dispose]();
    await this.machine[Symbol.asyncDispose]();
  }
}
