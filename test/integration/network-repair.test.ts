import { afterAll, afterEach, beforeAll, expect } from 'bun:test';
import { eventually } from '#test/helpers/eventually.ts';
import { processesNaming } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';
import { fetchTcp, type Member, NetworkStack } from '#test/helpers/network-stack.ts';
import { inOwnNetwork } from '#test/helpers/own-network.ts';
import { OtherMachine } from '#test/helpers/other-machine.ts';
import { run, runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'nft');

if (inOwnNetwork(import.meta.path)) {
  describe('what others do to a network while the daemon runs', () => {
    let stack: NetworkStack;
    let other: OtherMachine;
    let members: Member[] = [];
    const published = { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '28380' }] } };
    const start = async (name: string, over: Parameters<NetworkStack['start']>[1] = {}): Promise<Member> => {
      const member = await stack.start(name, over);
      members.push(member);
      member.serve(80, '::');
      return member;
    };
    const open = async (made: NetworkStack): Promise<void> => {
      stack = made;
      await stack.service.recover(new Map());
    };
    const close = async (): Promise<void> => {
      for (const member of members) {
        member.stop();
        await stack.service.teardown(member.request.containerId);
      }
      members = [];
      for (const { name, predefined } of stack.service.list({})) if (!predefined) await stack.service.remove(name);
      await stack.close();
    };
    const answers = (what: string, path: string | undefined, host: string, port: number, text: string) =>
      eventually(what, async () => (await fetchTcp(path, host, port, 300)).startsWith(text), { timeoutMs: 5000 });

    beforeAll(async () => {
      other = await OtherMachine.connect('lan', ['10.240.0.1/24'], ['10.240.0.2/24']);
      await runOk(['ip', 'route', 'add', 'default', 'via', '10.240.0.2']);
      other.serve('other', 82);
    });
    afterEach(async () => await close());
    afterAll(async () => await other[Symbol.asyncDispose]());

    test('a bridge, an interface and the packet rules that somebody removes are put back, and everything answers again', async () => {
      await open(new NetworkStack());
      await stack.createNetwork('net');
      const a = await start('a', { endpoints: { net: {} }, ...published });
      const b = await start('b', { endpoints: { net: {} } });
      const bridge = stack.service.inspect('net').bridge?.name ?? '';
      const everything = async (): Promise<void> => {
        await answers('the neighbour', b.path, a.address, 80, `a ${b.address}`);
        await answers('the way out', a.path, '10.240.0.2', 82, 'other 10.240.0.1');
        await answers('the way in', other.path, '10.240.0.1', 28_380, 'a 10.240.0.2');
      };
      await everything();
      await runOk(['ip', 'link', 'delete', bridge]);
      await everything();
      const veth = (await runOk(['ip', '-br', 'link', 'show', 'master', bridge])).split('@')[0] ?? '';
      await runOk(['ip', 'link', 'delete', veth]);
      await everything();
      await runOk(['ip', 'link', 'set', bridge, 'down']);
      await everything();
      await runOk(['nft', 'delete', 'table', 'inet', stack.table]);
      await everything();
      await runOk(['nft', 'flush', 'chain', 'inet', stack.table, 'published']);
      await everything();
      await runOk(['nft', 'flush', 'ruleset']);
      await everything();
      expect((await run(['nft', 'list', 'table', 'inet', `${stack.table}_user`])).exitCode).toBe(0);
      // Each is told of, by what it was.
      const told = stack.logged.filter(line => line.includes('repaired what somebody else had changed')).join('');
      for (const what of [
        `${bridge} of network net, which was gone`,
        'interface eth0 of container b',
        'which was down',
        'the packet rules, which were gone',
      ])
        expect(told).toContain(what);
    });

    test('an interface that is removed inside a container, and the process that holds published ports, are replaced', async () => {
      await open(new NetworkStack());
      const a = await start('a', published);
      await answers('the way out', a.path, '10.240.0.2', 82, 'other 10.240.0.1');
      await runOk(['nsenter', `--net=${a.path}`, 'ip', 'link', 'delete', 'eth0']);
      await answers('the way out', a.path, '10.240.0.2', 82, 'other 10.240.0.1');
      await answers('the way in', other.path, '10.240.0.1', 28_380, 'a 10.240.0.2');
      const pidsOf = (): number[] => processesNaming(`${stack.dir}/port-proxy.sock`).map(line => Number(line.split(' ')[0]));
      const before = await eventually('a process holds the port', () => (pidsOf().length > 0 ? pidsOf() : undefined));
      for (const pid of before) process.kill(pid, 'SIGKILL');
      // From outside nobody notices: packet rules carry what they can. [::1] is the process's part.
      expect(await fetchTcp(other.path, '10.240.0.1', 28_380)).toBe('a 10.240.0.2');
      await answers('what only the process carries', undefined, '::1', 28_380, 'a ');
      expect(pidsOf().some(pid => before.includes(pid))).toBe(false);
    });

    test('chains of others that drop what they do not know let our bridges pass, and know nothing of them afterwards', async () => {
      const before = 'table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; ip daddr 10.240.0.77 drop; }; }';
      await runOk(['nft', before]);
      await open(new NetworkStack());
      const a = await start('a', published);
      await answers('the way out', a.path, '10.240.0.2', 82, 'other 10.240.0.1');
      await answers('the way in', other.path, '10.240.0.1', 28_380, 'a 10.240.0.2');
      // What must stay closed stays closed.
      await other.ip('route', 'add', a.address, 'via', '10.240.0.1');
      expect(await fetchTcp(other.path, a.address, 80, 300)).toBe('timeout');
      // Whoever makes his rules anew forgets ours.
      await runOk(['nft', 'flush', 'chain', 'ip', 'filter', 'FORWARD']);
      await answers('the way out', a.path, '10.240.0.2', 82, 'other 10.240.0.1');
      await runOk([
        'nft',
        'table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10; ct state established accept; reject; }; }',
      ]);
      await answers('the way out', a.path, '10.240.0.2', 82, 'other 10.240.0.1');
      await close();
      expect(await runOk(['nft', 'list', 'ruleset'])).not.toContain('accept comment');
      await runOk(['nft', 'flush', 'ruleset']);
      await open(new NetworkStack());
    });

    test('the operator’s own chain decides before ours, survives, and is left when it has rules', async () => {
      await open(new NetworkStack());
      const a = await start('a', published);
      const chain = ['inet', `${stack.table}_user`, 'forward'];
      await runOk(['nft', 'add', 'rule', ...chain, 'ip', 'saddr', '10.240.0.2', 'tcp', 'dport', '80', 'drop']);
      expect(await fetchTcp(other.path, '10.240.0.1', 28_380, 300)).toBe('timeout');
      expect(await fetchTcp(a.path, '10.240.0.2', 82)).toStartWith('other ');
      await runOk(['nft', 'delete', 'table', 'inet', stack.table]);
      // Until the rules are back the port proxy is the way in.
      await eventually('the rules are back', async () =>
        (await run(['nft', 'list', 'map', 'inet', stack.table, 'ports4'])).stdout.includes('28380'),
      );
      expect(await fetchTcp(other.path, '10.240.0.1', 28_380, 300)).toBe('timeout');
      const table = `${stack.table}_user`;
      await close();
      expect((await run(['nft', 'list', 'table', 'inet', table])).exitCode).toBe(0);
      await runOk(['nft', 'flush', 'table', 'inet', table]);
      await open(new NetworkStack());
    });

    test('the host’s own rules decide about published ports where the operator wants it so', async () => {
      await open(new NetworkStack({}, undefined, { hostDecides: true }));
      await start('a', published);
      await answers('the way in', other.path, '10.240.0.1', 28_380, 'a ');
      await runOk(['nft', 'table inet host { chain input { type filter hook input priority 0; iifname "lan" tcp dport 28380 drop; }; }']);
      expect(await fetchTcp(other.path, '10.240.0.1', 28_380, 300)).toBe('timeout');
      expect(await fetchTcp(undefined, '127.0.0.1', 28_380)).toStartWith('a ');
      await runOk(['nft', 'delete', 'table', 'inet', 'host']);
      await answers('the way in', other.path, '10.240.0.1', 28_380, 'a ');
    });

    test('the size of packets follows the way out, of running containers too, unless it was chosen', async () => {
      await runOk(['ip', 'link', 'set', 'lan', 'mtu', '1400']);
      await open(new NetworkStack({ mtu: undefined }));
      await stack.createNetwork('chosen', { options: { 'com.docker.network.driver.mtu': '1450' } });
      const a = await start('a', { endpoints: { bridge: {}, chosen: {} } });
      const mtus = async (): Promise<string[]> =>
        [...(await runOk(['nsenter', `--net=${a.path}`, 'ip', '-o', 'link'])).matchAll(/eth\d@.* mtu (\d+)/g)].map(([, mtu = '']) => mtu);
      expect(await mtus()).toEqual(['1400', '1450']);
      await runOk(['ip', 'link', 'set', 'lan', 'mtu', '1320']);
      await eventually('the container has it', async () => (await mtus()).join() === '1320,1450');
      expect(stack.service.inspect('bridge').bridge?.mtu).toBe(1320);
    });
  });
}
