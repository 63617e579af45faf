import { afterAll, beforeAll, expect } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import type { PortMap, Sandbox } from '#core/network.ts';
import { openNftables } from '#host/sys/nftables.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { mountsBelow, processesNaming } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';
import { inOwnNetwork } from '#test/helpers/own-network.ts';
import { fetchTcp, type Member, NetworkStack } from '#test/helpers/network-stack.ts';

const { describe, test } = needs('root', 'nft');

if (inOwnNetwork(import.meta.path)) {
  describe('traffic of containers', () => {
    let stack: NetworkStack;
    let a: Member;
    let b: Member;
    let lan: string;
    const port = 28_080;
    beforeAll(async () => {
      stack = new NetworkStack();
      await stack.service.recover(new Map());
      a = await stack.start('a');
      b = await stack.start('b', {
        portBindings: { '80/tcp': [{ hostIp: '', hostPort: String(port) }], '81/tcp': [{ hostIp: '127.0.0.1', hostPort: '28081' }] },
      });
      b.serve(80);
      b.serve(81);
      a.serve(82);
      lan = await stack.lanHost();
    });
    afterAll(async () => {
      for (const member of [a, b]) {
        member.stop();
        await stack.service.teardown(member.request.containerId);
      }
      await stack.close();
    });

    test('a published port is reached at 127.0.0.1, ::1 and the addresses of the host', async () => {
      expect(await fetchTcp(undefined, '127.0.0.1', port)).toStartWith('b ');
      expect(await fetchTcp(undefined, '10.214.0.1', port)).toStartWith('b ');
      // The proxy that carries IPv6 starts a moment after the first port is published; until then connections wait.
      expect(await fetchTcp(undefined, '::1', port, 5000)).toStartWith('b ');
    });

    test('a neighbour of the host reaches published ports, and is seen with its own address', async () => {
      expect(await fetchTcp(lan, '10.214.0.1', port)).toBe('b 10.214.0.2');
    });

    test('a neighbour does not reach what is published on 127.0.0.1 or not at all', async () => {
      expect(await fetchTcp(lan, '10.214.0.1', 28_081)).toBe('refused');
      expect(await fetchTcp(lan, b.address, 80)).toBe('timeout');
      expect(await fetchTcp(undefined, '127.0.0.1', 28_081)).toStartWith('b ');
    });

    test('containers of one network reach each other, and see each other’s addresses', async () => {
      expect(await fetchTcp(a.path, b.address, 80)).toBe(`b ${a.address}`);
    });

    test('the very first packet between two new containers arrives', async () => {
      for (let round = 0; round < 8; round++) {
        const [c, d] = [await stack.start('c'), await stack.start('d')];
        c.serve(80);
        // A lost packet is sent again after a second.
        expect(await fetchTcp(d.path, c.address, 80, 500)).toBe(`c ${d.address}`);
        for (const member of [c, d]) {
          member.stop();
          await stack.service.teardown(member.request.containerId);
        }
      }
    });

    test('a container reaches published ports of its host, its own among them', async () => {
      expect(await fetchTcp(a.path, '10.214.0.1', port)).toStartWith('b ');
      expect(await fetchTcp(a.path, b.sandbox.endpoints.bridge?.gateway ?? '', port)).toStartWith('b ');
      expect(await fetchTcp(b.path, '10.214.0.1', port)).toStartWith('b ');
    });

    test('networks do not reach each other except through published ports', async () => {
      await stack.createNetwork('other');
      const c = await stack.start('c', { endpoints: { other: {} } });
      c.serve(80);
      expect(await fetchTcp(a.path, c.address, 80)).toBe('timeout');
      expect(await fetchTcp(c.path, a.address, 82)).toBe('timeout');
      expect(await fetchTcp(c.path, '10.214.0.1', port)).toStartWith('b ');
      c.stop();
      await stack.service.teardown(c.request.containerId);
      await stack.service.remove('other');
    });

    test('an internal network leads nowhere', async () => {
      await stack.createNetwork('inner', { internal: true });
      const [c, d] = [await stack.start('c', { endpoints: { inner: {} } }), await stack.start('d', { endpoints: { inner: {} } })];
      c.serve(80);
      expect(await fetchTcp(d.path, c.address, 80)).toBe(`c ${d.address}`);
      expect(['refused', 'timeout']).toContain(await fetchTcp(d.path, '10.214.0.2', 80));
      for (const member of [c, d]) {
        member.stop();
        await stack.service.teardown(member.request.containerId);
      }
      await stack.service.remove('inner');
    });

    test('without icc containers reach the outside but not each other', async () => {
      await stack.createNetwork('apart', { options: { 'com.docker.network.bridge.enable_icc': 'false' } });
      const [c, d] = [await stack.start('c', { endpoints: { apart: {} } }), await stack.start('d', { endpoints: { apart: {} } })];
      c.serve(80);
      expect(['refused', 'timeout']).toContain(await fetchTcp(d.path, c.address, 80));
      expect(await fetchTcp(d.path, '10.214.0.1', port)).toStartWith('b ');
      for (const member of [c, d]) {
        member.stop();
        await stack.service.teardown(member.request.containerId);
      }
      await stack.service.remove('apart');
    });

    test('published ports follow a container to the network that carries them next, and go with the last one', async () => {
      await stack.createNetwork('next');
      await stack.createNetwork('sealed', { internal: true });
      const member = await stack.start('m', {
        portBindings: { '80/tcp': [{ hostIp: '', hostPort: '28082' }], '80/udp': [{ hostIp: '', hostPort: '' }] },
      });
      const id = member.request.containerId;
      member.serve(80);
      const reached = async (): Promise<string[]> =>
        await Promise.all(['127.0.0.1', '10.214.0.1', '::1'].map(host => fetchTcp(undefined, host, 28_082, 5000)));
      const published = (ports: PortMap): string[] => (ports['80/tcp'] ?? []).map(({ hostPort }) => hostPort);
      const { connect, disconnect } = stack.service;
      const joining = { ...member.request, endpoints: { bridge: {}, next: {}, sealed: {} } };
      await connect(joining, 'next', AbortSignal.timeout(5000));
      await connect(joining, 'sealed', AbortSignal.timeout(5000));
      expect(published((await disconnect(id, 'bridge'))?.ports ?? {})).toEqual(['28082', '28082']);
      for (const answer of await reached()) expect(answer).toStartWith('m ');
      expect(elementsOf(stack.table)).not.toContain(member.address);
      // An internal network carries nothing: the ports are free again.
      expect(published((await disconnect(id, 'next'))?.ports ?? {})).toEqual([]);
      expect(await fetchTcp(undefined, '127.0.0.1', 28_082)).toBe('refused');
      expect(await fetchTcp(undefined, '::1', 28_082)).toBe('refused');
      expect(published((await connect(joining, 'next', AbortSignal.timeout(5000))).ports)).toEqual(['28082', '28082']);
      for (const answer of await reached()) expect(answer).toStartWith('m ');
      member.stop();
      await stack.service.teardown(id);
      expect(elementsOf(stack.table)).not.toContain('28082');
      expect(await fetchTcp(undefined, '127.0.0.1', 28_082)).toBe('refused');
      for (const name of ['next', 'sealed']) await stack.service.remove(name);
    });

    test('a port that somebody took meanwhile keeps a container from joining the network that would carry it', async () => {
      await stack.createNetwork('next');
      await stack.createNetwork('sealed', { internal: true });
      const member = await stack.start('m', { endpoints: { sealed: {} }, portBindings: { '80/tcp': [{ hostIp: '', hostPort: '28083' }] } });
      const other = Bun.listen({ hostname: '0.0.0.0', port: 28_083, socket: { data: () => undefined } });
      const joining = { ...member.request, endpoints: { next: {}, sealed: {} } };
      const joined = (): Promise<Sandbox> => stack.service.connect(joining, 'next', AbortSignal.timeout(5000));
      expect(joined()).rejects.toThrow('address already in use');
      await eventually('it is as before', () => stack.service.users(stack.service.inspect('next')).length === 0);
      other.stop(true);
      expect(Object.keys((await joined()).endpoints)).toEqual(['next', 'sealed']);
      await stack.service.teardown(member.request.containerId);
      for (const name of ['next', 'sealed']) await stack.service.remove(name);
    });

    test('removing networks and interfaces does not keep the daemon from other work', async () => {
      await stack.createNetwork('slow');
      const member = await stack.start('m');
      await stack.service.connect({ ...member.request, endpoints: { bridge: {}, slow: {} } }, 'slow', AbortSignal.timeout(5000));
      let [longest, last] = [0, performance.now()];
      const timer = setInterval(() => {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }, 1);
      const before = performance.now();
      await stack.service.disconnect(member.request.containerId, 'slow');
      await stack.service.remove('slow');
      const took = performance.now() - before;
      clearInterval(timer);
      expect(longest).toBeLessThan(Math.max(10, took / 2));
      await stack.service.teardown(member.request.containerId);
    });

    test('a port that somebody has is refused in Docker’s words, and nothing is left of the try', async () => {
      const before = stack.driver.sandboxes();
      const published = (hostPort: number) => ({ portBindings: { '80/tcp': [{ hostIp: '', hostPort: String(hostPort) }] } });
      expect(stack.start('x', published(port))).rejects.toThrow(`Bind for 0.0.0.0:${String(port)} failed: port is already allocated`);
      const other = Bun.listen({ hostname: '0.0.0.0', port: 0, socket: { data: () => undefined } });
      expect(stack.start('x', published(other.port))).rejects.toThrow('address already in use');
      other.stop(true);
      expect(stack.driver.sandboxes()).toEqual(before);
    });
  });

  describe('a network service', () => {
    test('leaves nothing when its last container has gone: no interface, rule, namespace, process or setting', async () => {
      const settings = hostSettings();
      const stack = new NetworkStack();
      await stack.service.recover(new Map());
      await stack.createNetwork('own', { enableIpv6: true });
      const ports = { '80/tcp': [{ hostIp: '', hostPort: '' }], '53/udp': [{ hostIp: '', hostPort: '' }] };
      const member = await stack.start('a', { endpoints: { own: {} }, portBindings: ports });
      // The proxy that holds the ports runs a moment later.
      await eventually('the port proxy runs', () => processesNaming(stack.dir).length > 0);
      await stack.service.connect({ ...member.request, endpoints: { own: {}, bridge: {} } }, 'bridge', AbortSignal.timeout(5000));
      await stack.service.disconnect(member.request.containerId, 'own');
      await stack.service.teardown(member.request.containerId);
      await stack.service.remove('own');
      const bridges = stack.service.list({}).flatMap(({ bridge }) => bridge?.name ?? []);
      await stack.close();
      expect(existsSync(stack.dir)).toBe(false);
      expect(tables()).not.toContain(stack.table);
      const links = (): string => Bun.spawnSync(['ip', '-br', 'link']).stdout.toString();
      for (const name of [stack.bridge, ...bridges]) expect(links()).not.toContain(name);
      await eventually('interfaces are gone', () => !links().includes(member.sandbox.endpoints.own?.macAddress ?? ''));
      await eventually('the port proxy has ended', () => processesNaming(stack.dir).length === 0);
      expect(mountsBelow(stack.dir)).toEqual([]);
      expect(hostSettings()).toEqual(settings);
    });

    test('on a default bridge without icc a link opens what the other container exposes, and nothing else', async () => {
      let apart = new NetworkStack({ icc: false, bridgeName: 'bl-links' });
      await apart.service.recover(new Map());
      const ids: string[] = [];
      const reached = async (from: Member, to: Member, port: number): Promise<boolean> =>
        (await fetchTcp(from.path, to.address, port)).startsWith(`${to.request.containerName} `);
      const isBarred = async (from: Member, to: Member, port: number): Promise<boolean> =>
        (await fetchTcp(from.path, to.address, port, 150)) === 'timeout';
      try {
        const db = await apart.start('db', { exposedPorts: ['80/tcp', '81/tcp'] });
        const web = await apart.start('web', { exposedPorts: ['80/tcp'], linkedContainers: [db.request.containerId] });
        const other = await apart.start('other');
        ids.push(...[db, web, other].map(({ request }) => request.containerId));
        for (const each of [80, 81, 82]) db.serve(each);
        web.serve(80);
        expect([await reached(web, db, 80), await reached(web, db, 81), await isBarred(web, db, 82)]).toEqual([true, true, true]);
        expect([await isBarred(db, web, 80), await isBarred(other, db, 80)]).toEqual([true, true]);
        // The next daemon knows it too.
        apart = apart.restarted({ icc: false, bridgeName: 'bl-links' });
        await apart.service.recover(new Map(ids.map(id => [id, ['bridge']])));
        expect([await reached(web, db, 80), await isBarred(web, db, 82)]).toEqual([true, true]);
        apart.service.relink(web.request.containerId, []);
        expect(await isBarred(web, db, 80)).toBe(true);
        apart.service.relink(web.request.containerId, [db.request.containerId]);
        expect(await reached(web, db, 80)).toBe(true);
        await apart.service.teardown(db.request.containerId);
        const again = await apart.start('db', { containerId: db.request.containerId, exposedPorts: ['80/tcp'] });
        again.serve(80);
        // Until the interface of the first has gone, packets may still be sent to it.
        await eventually('the container that came back is reached', async () => await reached(web, again, 80));
        for (const member of [db, web, again]) member.stop();
      } finally {
        for (const id of ids) await apart.service.teardown(id);
        await apart.close();
      }
    });

    test('lets go of thousands of ports at once', async () => {
      const stack = new NetworkStack();
      await stack.service.recover(new Map());
      const ports = Array.from({ length: 1500 }, (_, index) => 26_000 + index);
      const portBindings = Object.fromEntries(
        ports.flatMap(port => ['tcp', 'udp'].map(protocol => [`${String(port)}/${protocol}`, [{ hostIp: '', hostPort: String(port) }]])),
      );
      const member = await stack.start('many', { portBindings });
      member.serve(27_499);
      expect(await fetchTcp(undefined, '127.0.0.1', 27_499)).toStartWith('many ');
      expect(await fetchTcp(undefined, '::1', 27_499, 5000)).toStartWith('many ');
      member.stop();
      await stack.service.teardown(member.request.containerId);
      for (const port of [26_000, 26_700, 27_499]) {
        using tcp = Bun.listen({ hostname: '::', port, socket: { data: () => undefined } });
        expect(tcp.port).toBe(port);
        const udp = await Bun.udpSocket({ hostname: '::', port });
        udp.close();
      }
      await stack.close();
    }, 20_000);

    test('keeps the sandbox of a running container over a restart, and removes those of others in words', async () => {
      const stack = new NetworkStack();
      await stack.service.recover(new Map());
      const [kept, gone] = [
        await stack.start('kept', { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '28090' }] } }),
        await stack.start('gone'),
      ];
      kept.serve(80);
      const next = stack.restarted();
      expect(await next.service.recover(new Map([[kept.request.containerId, ['bridge']]]))).toEqual({
        changed: new Map(),
        repaired: [`network sandbox of container ${gone.request.containerId.slice(0, 12)}, which no longer runs`],
      });
      expect(await fetchTcp(undefined, '127.0.0.1', 28_090)).toStartWith('kept ');
      expect(await fetchTcp(undefined, '::1', 28_090, 5000)).toStartWith('kept ');
      expect(existsSync(gone.path)).toBe(false);
      const fresh = await next.start('fresh');
      expect(fresh.address).not.toBe(kept.address);
      kept.stop();
      for (const member of [kept, fresh]) await next.service.teardown(member.request.containerId);
      await next.close();
      expect(tables()).not.toContain(stack.table);
    });

    test('leaves packet rules alone that are right, and mends what is not, in words', async () => {
      const stack = new NetworkStack();
      const ports = {
        '80/tcp': [
          { hostIp: '', hostPort: '28092' },
          { hostIp: '127.0.0.1', hostPort: '28093' },
        ],
        '99/sctp': [{ hostIp: '', hostPort: '28092' }],
      };
      await stack.service.recover(new Map());
      await stack.createNetwork('inner', {
        internal: true,
        enableIpv6: true,
        options: { 'com.docker.network.bridge.enable_icc': 'false' },
      });
      const member = await stack.start('m', { portBindings: ports });
      const running = new Map([[member.request.containerId, ['bridge']]]);
      const before = elementsOf(stack.table);
      let next = stack.restarted();
      expect((await next.service.recover(running)).repaired).toEqual([]);
      // Handles are numbers the kernel never gives twice: nothing was made anew.
      expect(elementsOf(stack.table)).toBe(before);
      const spoilt = async (commands: string): Promise<readonly string[]> => {
        using nftables = openNftables();
        nftables.run(commands);
        next = next.restarted();
        const { repaired } = await next.service.recover(running);
        return repaired;
      };
      const table = `inet ${stack.table}`;
      expect(
        await spoilt(`delete element ${table} ports4 { tcp . 28092 }\nadd element ${table} ports4 { udp . 1 : 10.1.1.1 . 1 }`),
      ).toEqual(['packet rules: 1 for nothing that exists removed, 1 that were missing added']);
      const wrong = `delete element ${table} ports4 { tcp . 28092 }\nadd element ${table} ports4 { tcp . 28092 : 10.1.1.1 . 1 }`;
      expect(await spoilt(wrong)).toHaveLength(1);
      expect(withoutHandles(elementsOf(stack.table))).toBe(withoutHandles(before));
      expect(await spoilt(`flush chain ${table} towards`)).toEqual(['the packet rules, which were not as this version makes them']);
      expect(withoutHandles(elementsOf(stack.table))).toBe(withoutHandles(before));
      expect(await spoilt(`delete table ${table}`)).toEqual(['the packet rules, which were gone']);
      expect(withoutHandles(elementsOf(stack.table))).toBe(withoutHandles(before));
      await next.service.teardown(member.request.containerId);
      await next.service.remove('inner');
      await next.close();
    });

    test('takes a container off a network that it had not quite joined when the daemon died', async () => {
      const stack = new NetworkStack();
      await stack.service.recover(new Map());
      await stack.createNetwork('aside');
      const member = await stack.start('m', { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '28091' }] } });
      member.serve(80);
      const { containerId } = member.request;
      // `aside` comes before `bridge`, so the ports had moved already.
      await stack.service.connect({ ...member.request, endpoints: { bridge: {}, aside: {} } }, 'aside', AbortSignal.timeout(5000));
      const next = stack.restarted();
      const { changed } = await next.service.recover(new Map([[containerId, ['bridge']]]));
      expect(Object.keys(changed.get(containerId)?.endpoints ?? {})).toEqual(['bridge']);
      for (const host of ['127.0.0.1', '::1']) expect(await fetchTcp(undefined, host, 28_091, 5000)).toStartWith('m ');
      await next.service.remove('aside');
      member.stop();
      await next.service.teardown(containerId);
      await next.close();
    });

    test('a resolver of a network answers with names of that network', async () => {
      const stack = new NetworkStack();
      await stack.service.recover(new Map());
      await stack.createNetwork('web');
      const db = await stack.start('db', { endpoints: { web: { aliases: ['store'] } } });
      const app = await stack.start('app', { endpoints: { web: {} } });
      const script = 'import socket,sys\nfor n in sys.argv[1:]:\n print(socket.gethostbyname(n))';
      const resolver = `${stack.dir}/resolv.conf`;
      await Bun.write(resolver, app.sandbox.resolvConf);
      const answers: string[] = [];
      for (const name of ['db', 'store', 'db.web', 'app']) answers.push(await spawned(app.path, resolver, script, name));
      expect(answers).toEqual([db.address, db.address, db.address, app.address]);
      for (const member of [db, app]) await stack.service.teardown(member.request.containerId);
      await stack.service.remove('web');
      await stack.close();
    });
  });
}

/** The resolver runs in this process, so whoever asks must not block it. */
async function spawned(path: string, resolver: string, script: string, name: string): Promise<string> {
  const mount = 'mount --bind "$1" "$(readlink -f /etc/resolv.conf)" && exec python3 -c "$2" "$3"';
  const child = Bun.spawn(['nsenter', `--net=${path}`, 'unshare', '--mount', 'sh', '-c', mount, 'sh', resolver, script, name], {
    stdout: 'pipe',
  });
  return (await new Response(child.stdout).text()).trim();
}

/** Kernel settings of the network that are for the whole host, except forwarding, which stays on. */
function hostSettings(): Record<string, string> {
  const folders = [
    'ipv4',
    'ipv4/conf/all',
    'ipv4/conf/default',
    'ipv4/conf/lo',
    'ipv6/conf/all',
    'ipv6/conf/default',
    'ipv6/conf/lo',
    'core',
    'netfilter',
  ];
  const files = folders.flatMap(folder => [...new Bun.Glob(`${folder}/*`).scanSync({ cwd: '/proc/sys/net', onlyFiles: false })]);
  const kept = files.filter(file => !/forward|_count|conf.(all|default).mc_|stable_secret/.test(file));
  return Object.fromEntries(
    kept.flatMap(file => {
      try {
        return [[file, readFileSync(`/proc/sys/net/${file}`, 'utf8')]];
      } catch {
        return [];
      }
    }),
  );
}

function elementsOf(table: string): string {
  using nftables = openNftables();
  return JSON.stringify(nftables.list(`list table inet ${table}`));
}

/** Hash sets are listed in no order. */
const withoutHandles = (listed: string): string =>
  listed
    .replaceAll(/"handle":\d+/g, '')
    .split('')
    .toSorted()
    .join('');

function tables(): string {
  using nftables = openNftables();
  return JSON.stringify(nftables.list('list tables'));
}
