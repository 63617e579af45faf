import { afterAll, afterEach, beforeAll, expect } from 'bun:test';
import { processesNaming } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';
import { fetchTcp, type Member, NetworkStack, refusal } from '#test/helpers/network-stack.ts';
import { OtherMachine } from '#test/helpers/other-machine.ts';
import { inOwnNetwork } from '#test/helpers/own-network.ts';
import { runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'nft');

if (inOwnNetwork(import.meta.path)) {
  describe('ranges of published ports', () => {
    let stack: NetworkStack;
    let other: OtherMachine;
    const members: Member[] = [];
    const start = async (...args: Parameters<NetworkStack['start']>): Promise<Member> => {
      const member = await stack.start(...args);
      members.push(member);
      return member;
    };
    const publish = (inside: string, hostPort: string, hostIp = '') => ({ portBindings: { [inside]: [{ hostIp, hostPort }] } });
    const elements = async (name: string): Promise<number> => {
      const { nftables } = JSON.parse(await runOk(['nft', '-j', 'list', 'map', 'inet', stack.table, name])) as {
        nftables: { map?: { elem?: unknown[] } }[];
      };
      return nftables.flatMap(({ map }) => map?.elem ?? []).length;
    };
    const canListen = (hostname: string, port: number): boolean => {
      try {
        Bun.listen({ hostname, port, socket: { data: () => undefined } }).stop();
        return true;
      } catch {
        return false;
      }
    };

    beforeAll(async () => {
      other = await OtherMachine.connect('lan', ['10.239.0.1/24'], ['10.239.0.2/24']);
      stack = new NetworkStack();
      await stack.service.recover(new Map());
    });
    afterEach(async () => {
      for (const member of members.splice(0)) {
        member.stop();
        await stack.service.teardown(member.request.containerId);
      }
    });
    afterAll(async () => {
      for (const { name, predefined } of stack.service.list({})) if (!predefined) await stack.service.remove(name);
      await stack.close();
      await other[Symbol.asyncDispose]();
    });

    test('thousands of ports are one element and one entry, are held against others, and lead where they should, over a restart too', async () => {
      const a = await start('a', publish('20000-24999/tcp', '20000-24999'));
      expect(a.sandbox.ports).toEqual({
        '20000-24999/tcp': [
          { hostIp: '0.0.0.0', hostPort: '20000-24999' },
          { hostIp: '::', hostPort: '20000-24999' },
        ],
      });
      expect(await elements('ranges4')).toBe(1);
      expect(await elements('ports4')).toBe(0);
      const ports = [20_000, 22_500, 24_999];
      for (const port of ports) a.serve(port);
      const reached = async (): Promise<void> => {
        for (const port of ports) {
          expect(await fetchTcp(undefined, '127.0.0.1', port)).toStartWith('a ');
          expect(await fetchTcp(undefined, '::1', port, 5000)).toStartWith('a ');
          expect(await fetchTcp(other.path, '10.239.0.1', port)).toBe('a 10.239.0.2');
        }
        for (const hostname of ['0.0.0.0', '127.0.0.1', '::', '::1']) expect(canListen(hostname, 24_998)).toBe(false);
        expect(canListen('0.0.0.0', 25_000)).toBe(true);
      };
      await reached();
      expect(processesNaming(stack.dir).filter(line => line.includes('port-proxy'))).toHaveLength(1);
      stack = stack.restarted();
      expect((await stack.service.recover(new Map([[a.request.containerId, ['bridge']]]))).repaired).toEqual([]);
      await reached();
    });

    test('other numbers in the container, an address of its own: each leads to its own', async () => {
      const a = await start('a', publish('30000-30099/tcp', '31000-31099'));
      const b = await start('b', publish('20000-20099/tcp', '20000-20099', '127.0.0.1'));
      a.serve(30_050);
      b.serve(20_050);
      expect(await elements('ports4')).toBe(100);
      expect(await elements('addressRanges4')).toBe(1);
      expect(await fetchTcp(other.path, '10.239.0.1', 31_050)).toBe('a 10.239.0.2');
      expect(await fetchTcp(undefined, '::1', 31_050, 5000)).toStartWith('a ');
      expect(await fetchTcp(undefined, '127.0.0.1', 20_050)).toStartWith('b ');
      expect(await fetchTcp(other.path, '10.239.0.1', 20_050)).toBe('refused');
    });

    test('a port of a range that somebody has is named, and nothing of the range is kept', async () => {
      using _server = Bun.listen({ hostname: '127.0.0.1', port: 21_234, socket: { data: () => undefined } });
      expect(await refusal(stack.start('a', publish('21000-21999/tcp', '21000-21999')))).toMatch(
        /failed to bind host port for 0\.0\.0\.0:21234:10\.[\d.]+:21234\/tcp: address already in use/,
      );
      await start('b', publish('80/tcp', '21500'));
      expect(await refusal(stack.start('c', publish('21400-21999/tcp', '21400-21999')))).toContain(
        'Bind for 0.0.0.0:21500 failed: port is already allocated',
      );
      for (const port of [21_000, 21_233, 21_400, 21_999]) expect(canListen('::', port)).toBe(true);
      await start('d', publish('21501-21999/tcp', '21501-21999'));
    });

    test('UDP: each port leads to its own, for clients of both families', async () => {
      const ask = async (hostname: string, port: number): Promise<string> => {
        const { promise, resolve } = Promise.withResolvers<string>();
        const socket = await Bun.udpSocket({
          hostname: hostname.includes(':') ? '::' : '0.0.0.0',
          connect: { hostname, port },
          socket: { data: (_socket, data) => resolve(data.toString()), error: () => undefined },
        });
        const send = setInterval(() => {
          try {
            socket.send('ping');
          } catch {
            // Refused while nobody listens.
          }
        }, 20);
        const answer = await Promise.race([promise, Bun.sleep(5000).then(() => 'nothing')]);
        clearInterval(send);
        socket.close();
        return answer;
      };
      const a = await start('a', publish('26000-26999/udp', '26000-26999'));
      for (const port of [26_000, 26_777]) await a.echo(port);
      for (const port of [26_000, 26_777])
        for (const hostname of ['127.0.0.1', '::1', '10.239.0.1']) expect(await ask(hostname, port)).toBe('a ping');
    });

    test('ports of the engine’s choice follow each other where they can', async () => {
      const a = await start('a', { exposedPorts: ['5000-5999/tcp', '7000/udp'], publishAllPorts: true });
      const [range] = a.sandbox.ports['5000-5999/tcp'] ?? [];
      const [first = 0, last = 0] = (range?.hostPort ?? '').split('-').map(Number);
      expect(last - first).toBe(999);
      a.serve(5123);
      expect(await fetchTcp(other.path, '10.239.0.1', first + 123)).toBe('a 10.239.0.2');
      const b = await start('b', publish('5000-5099/tcp', ''));
      const chosen = Object.values(b.sandbox.ports).flatMap(([binding]) => binding?.hostPort.split('-').map(Number) ?? []);
      expect(Math.min(...chosen)).toBeGreaterThan(last);
    });

    test('ports of the engine’s choice are different for containers that start at once, and none that somebody has', async () => {
      const [first = 0, last = 0] = (await Bun.file('/proc/sys/net/ipv4/ip_local_port_range').text()).trim().split(/\s+/).map(Number);
      await Bun.write('/proc/sys/net/ipv4/ip_local_port_range', '45000 45011');
      try {
        using _server = Bun.listen({ hostname: '0.0.0.0', port: 45_003, socket: { data: () => undefined } });
        const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k'];
        const started = await Promise.all(names.map(name => start(name, publish('80/tcp', ''))));
        const chosen = started.map(({ sandbox }) => Number(sandbox.ports['80/tcp']?.[0]?.hostPort));
        expect(chosen.toSorted()).toEqual([0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11].map(at => 45_000 + at));
        for (const member of started) member.serve(80);
        for (const [index, name] of names.entries())
          expect(await fetchTcp(other.path, '10.239.0.1', chosen[index] ?? 0)).toStartWith(`${name} `);
        expect(await refusal(stack.start('l', publish('80/tcp', '')))).toContain('all ports of ip_local_port_range are in use for tcp');
      } finally {
        await Bun.write('/proc/sys/net/ipv4/ip_local_port_range', `${String(first)} ${String(last)}`);
      }
    });

    test('ranges that touch and overlap are each reached by the container’s own address on a routed network', async () => {
      await stack.createNetwork('routed', { options: { 'com.docker.network.bridge.gateway_mode_ipv4': 'routed' } });
      const any = [{ hostIp: '', hostPort: '' }];
      const portBindings = { '8000-8099/tcp': any, '8050-8149/tcp': any, '8150/tcp': any, '9000-9002/tcp': any };
      const a = await start('a', { endpoints: { routed: {} }, portBindings });
      await other.ip('route', 'replace', a.address, 'via', '10.239.0.1');
      for (const port of [8000, 8149, 8150, 9002]) {
        a.serve(port);
        expect(await fetchTcp(other.path, a.address, port)).toBe('a 10.239.0.2');
      }
      a.serve(8151);
      expect(await fetchTcp(other.path, a.address, 8151)).toBe('timeout');
      expect(a.sandbox.ports['8050-8099/tcp']).toHaveLength(4);
    });
  });
}
