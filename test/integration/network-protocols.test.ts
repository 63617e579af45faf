import { afterAll, beforeAll, expect } from 'bun:test';
import * as dns from 'dns-packet';
import { MessageReader, withLength } from '#host/dns/tcp-messages.ts';
import { runInNamespace } from '#host/sys/netns.ts';
import { openNftables } from '#host/sys/nftables.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { inOwnNetwork } from '#test/helpers/own-network.ts';
import { fetchTcp, type Member, NetworkStack } from '#test/helpers/network-stack.ts';

const { describe, test } = needs('root', 'nft', 'python3');

if (inOwnNetwork(import.meta.path)) {
  describe('protocols of container networks', () => {
    let stack: NetworkStack;
    const members: Member[] = [];
    const start = async (...args: Parameters<NetworkStack['start']>): Promise<Member> => {
      const member = await stack.start(...args);
      members.push(member);
      return member;
    };
    const end = async (...ended: readonly Member[]): Promise<void> => {
      for (const member of ended) {
        member.stop();
        await stack.service.teardown(member.request.containerId);
      }
    };
    beforeAll(async () => {
      stack = new NetworkStack();
      await stack.service.recover(new Map());
    });
    afterAll(async () => {
      await end(...members);
      for (const { name, predefined } of stack.service.list({})) if (!predefined) await stack.service.remove(name);
      await stack.close();
    });

    test('IPv6: addresses, a default route, neighbours, published ports without translation, isolation', async () => {
      const pools = [{ subnet: 'fd13:213::/64', ipRange: '', gateway: '', auxiliaryAddresses: {} }];
      await stack.createNetwork('six', { enableIpv6: true, ipam: { driver: '', options: {}, pools } });
      await stack.createNetwork('apart', { enableIpv6: true });
      const published = {
        portBindings: { '80/tcp': [{ hostIp: '', hostPort: '28180' }], '81/tcp': [{ hostIp: '::1', hostPort: '28181' }] },
      };
      const a = await start('a', { endpoints: { six: { ipv6Address: 'fd13:213::77' } } });
      const b = await start('b', { endpoints: { six: {} }, ...published });
      const c = await start('c', { endpoints: { apart: {} } });
      b.serve(80, '::');
      b.serve(81, '::');
      expect(a.address6).toBe('fd13:213::77');
      expect(Bun.spawnSync(['nsenter', `--net=${a.path}`, 'ip', '-6', 'route', 'show', 'default']).stdout.toString()).toContain(
        'via fd13:213::1 dev eth0',
      );
      expect(await fetchTcp(a.path, b.address6, 80)).toBe(`b ${a.address6}`);
      expect(await fetchTcp(c.path, b.address6, 80)).toBe('timeout');
      for (const host of ['127.0.0.1', '::1', 'fd13:213::1']) expect(await fetchTcp(undefined, host, 28_180, 5000)).toStartWith('b ');
      expect(await fetchTcp(undefined, '::1', 28_181, 5000)).toStartWith('b ');
      expect(await fetchTcp(undefined, '127.0.0.1', 28_181)).toBe('refused');
      // Through the host, a neighbour of another network reaches the published port at an address of the host.
      expect(await fetchTcp(c.path, 'fd13:213::1', 28_180)).toStartWith('b ');
      expect((await resolve(a.path, 'b', 'AAAA')).answers).toEqual([b.address6]);
      await end(a, b, c);
      for (const name of ['six', 'apart']) await stack.service.remove(name);
    });

    test('SCTP is translated by packet rules alone', async () => {
      const lan = await stack.lanHost();
      const a = await start('a', { portBindings: { '99/sctp': [{ hostIp: '', hostPort: '28199' }] } });
      // The kernel here may have no SCTP: packets are made and read by hand.
      const reader = Bun.spawn(['nsenter', `--net=${a.path}`, 'python3', '-c', readSctp], { stdout: 'pipe' });
      const got = new Response(reader.stdout).text();
      await eventually('the packet arrives with the port of the container', async () => {
        Bun.spawnSync(['nsenter', `--net=${lan}`, 'python3', '-c', sendSctp, '10.214.0.1', '28199']);
        return (await Promise.race([got, Bun.sleep(50).then(() => '')])) === '10.214.0.2 99\n';
      });
      await end(a);
    });

    test('names are asked of the servers given with --dns, from inside the container, over UDP and TCP', async () => {
      await stack.createNetwork('names');
      const server = await start('server', { endpoints: { names: {} } });
      const seen = await serveNames(server);
      const client = await start('client', { endpoints: { names: {} }, dns: [server.address] });
      expect(client.sandbox.resolvConf).toContain('nameserver 127.0.0.11');
      for (const transport of ['udp', 'tcp'] as const) {
        expect((await resolve(client.path, 'server', 'A', transport)).answers).toEqual([server.address]);
        expect((await resolve(client.path, 'far.example', 'A', transport)).answers).toEqual(['192.0.2.7']);
        expect((await resolve(client.path, 'missing.example', 'A', transport)).rcode).toBe('NXDOMAIN');
      }
      expect(seen).toEqual(['far.example udp', 'missing.example udp', 'far.example tcp', 'missing.example tcp']);
      // An answer larger than a datagram carries comes over TCP.
      expect((await resolve(client.path, 'large.example', 'TXT', 'udp')).truncated).toBe(true);
      expect((await resolve(client.path, 'large.example', 'TXT', 'tcp')).answers).toHaveLength(1);
      await end(client, server);
      await stack.service.remove('names');
    });

    test('a name without a dot is asked of other servers, unless somebody has asked for search lists to be tried first', async () => {
      await stack.createNetwork('names');
      const server = await start('server', { endpoints: { names: {} } });
      const seen = await serveNames(server);
      const plain = await start('plain', { endpoints: { names: {} }, dns: [server.address] });
      expect((await resolve(plain.path, 'nobody', 'A')).rcode).toBe('NXDOMAIN');
      expect(seen).toEqual(['nobody udp']);
      const searching = await start('searching', {
        endpoints: { names: {} },
        dns: [server.address],
        dnsOptions: ['ndots:2'],
        dnsSearch: ['example'],
      });
      for (const type of ['A', 'AAAA'] as const)
        expect(await resolve(searching.path, 'nobody', type)).toMatchObject({ rcode: 'NOERROR', answers: [] });
      expect((await resolve(searching.path, 'server', 'A')).answers).toEqual([server.address]);
      expect((await resolve(searching.path, 'far.example', 'A')).answers).toEqual(['192.0.2.7']);
      expect(seen).toEqual(['nobody udp', 'far.example udp']);
      expect(searching.sandbox.resolvConf).toMatch(/^nameserver 127\.0\.0\.11\nsearch example\noptions ndots:2$/m);
      await end(plain, searching, server);
      await stack.service.remove('names');
    });

    test('a server that does not know a name is not the last word, but for one that is responsible for it', async () => {
      await stack.createNetwork('names');
      const [first, second] = [await start('first', { endpoints: { names: {} } }), await start('second', { endpoints: { names: {} } })];
      const asked = await serveNames(first, { knows: [] });
      await serveNames(second);
      const client = await start('client', { endpoints: { names: {} }, dns: [first.address, second.address] });
      expect((await resolve(client.path, 'far.example', 'A')).answers).toEqual(['192.0.2.7']);
      expect(asked).toEqual(['far.example udp']);
      expect((await resolve(client.path, 'missing.example', 'A')).rcode).toBe('NXDOMAIN');
      await end(client, first);
      const responsible = await start('responsible', { endpoints: { names: {} } });
      await serveNames(responsible, { knows: [], isResponsible: true });
      const other = await start('other', { endpoints: { names: {} }, dns: [responsible.address, second.address] });
      expect((await resolve(other.path, 'far.example', 'A')).rcode).toBe('NXDOMAIN');
      await end(other, responsible, second);
      await stack.service.remove('names');
    });

    test('links, aliases, short ids, reverse lookups, several of one name, and nothing of other networks', async () => {
      await stack.createNetwork('names');
      await stack.createNetwork('apart');
      const a = await start('a', { endpoints: { names: { aliases: ['both', 'only-a'] } } });
      const b = await start('b', { endpoints: { names: { aliases: ['both'] } }, hostname: 'host-of-b' });
      const c = await start('c', { endpoints: { apart: {} } });
      const client = await start('client', { endpoints: { names: { links: ['a:db'] } } });
      const addresses = async (name: string) => (await resolve(client.path, name, 'A')).answers;
      for (const name of ['a', 'only-a', 'a.names', 'A', 'db', a.request.containerId.slice(0, 12)])
        expect(await addresses(name)).toEqual([a.address]);
      expect(await addresses('host-of-b')).toEqual([b.address]);
      expect((await addresses('both')).toSorted()).toEqual([a.address, b.address].toSorted());
      const firsts = new Set<unknown>();
      await eventually('either comes first', async () => firsts.add((await addresses('both'))[0]).size === 2);
      const reversed = `${a.address.split('.').toReversed().join('.')}.in-addr.arpa`;
      expect((await resolve(client.path, reversed, 'PTR')).answers).toEqual(['a.names']);
      // Of another network nothing is known: it would be asked of others, of whom there are none here or who do not know it.
      for (const [name, type] of [
        ['c', 'A'],
        [`${c.address.split('.').toReversed().join('.')}.in-addr.arpa`, 'PTR'],
      ] as const) {
        expect((await resolve(client.path, name, type)).answers).toEqual([]);
      }
      expect((await resolve(b.path, 'db', 'A')).answers).toEqual([]);
      await end(a, b, c, client);
      for (const name of ['names', 'apart']) await stack.service.remove(name);
    });

    test('a client that goes on sending UDP reaches the next container that publishes the port', async () => {
      const binding = { portBindings: { '53/udp': [{ hostIp: '', hostPort: '28153' }] } };
      const answers: string[] = [];
      const socket = await Bun.udpSocket({
        connect: { hostname: '127.0.0.1', port: 28_153 },
        socket: { data: (_socket, data) => void answers.push(data.toString()), error: () => undefined },
      });
      const timer = setInterval(() => {
        try {
          socket.send('ping');
        } catch {
          // Refused while nobody listens.
        }
      }, 5);
      try {
        const first = await start('first', binding);
        await first.echo(53);
        await eventually('the first answers', () => answers.at(-1) === 'first ping');
        await end(first);
        const second = await start('second', binding);
        await second.echo(53);
        expect(second.address).toBe(first.address);
        await eventually('the second answers', () => answers.at(-1) === 'second ping');
        // Another container with another address: the flow that the kernel remembers leads to the old one.
        const keeper = await start('keeper');
        await end(second);
        const blocker = await start('blocker');
        const third = await start('third', binding);
        await third.echo(53);
        expect(third.address).not.toBe(second.address);
        await eventually('the third answers', () => answers.at(-1) === 'third ping', { timeoutMs: 3000 });
        await end(keeper, blocker, third);
      } finally {
        clearInterval(timer);
        socket.close();
      }
    });

    test('a container does not reach what listens on loopback addresses of the host by sending packets for them to the bridge', async () => {
      const a = await start('a');
      const gateway = a.sandbox.endpoints.bridge?.gateway ?? '';
      const got: string[] = [];
      const listen = (hostname: string) =>
        Bun.udpSocket({ hostname, port: 0, socket: { data: (_socket, data) => void got.push(data.toString()) } });
      const [loopback, bridge] = [await listen('127.0.0.1'), await listen(gateway)];
      const send = (address: string, port: number, text: string): void => {
        const sent = Bun.spawnSync(['nsenter', `--net=${a.path}`, 'python3', '-c', sendRaw, gateway, address, String(port), text]);
        expect(sent.stderr.toString()).toBe('');
      };
      /** What is sent last to an address that may be spoken to has arrived: everything before it has, too, or never will. */
      const arrived = async (): Promise<string[]> => {
        const mark = `mark ${String(got.length)}`;
        send(gateway, bridge.port, mark);
        await eventually('the mark arrives', () => got.includes(mark));
        return got.filter(text => !text.startsWith('mark'));
      };
      send('127.0.0.1', loopback.port, 'guarded');
      expect(await arrived()).toEqual([]);
      // Without the guard it gets through: what holds it back is the guard and not a mistake in the packet.
      using nftables = openNftables();
      nftables.run(`flush chain inet ${stack.table} guard`);
      send('127.0.0.1', loopback.port, 'unguarded');
      expect(await arrived()).toEqual(['unguarded']);
      for (const socket of [loopback, bridge]) socket.close();
      await end(a);
    });

    test('a neighbour of the host does not reach what is published on loopback addresses by sending packets for them to the host', async () => {
      const lan = await stack.lanHost();
      const bindings = { '53/udp': [{ hostIp: '127.0.0.1', hostPort: '28161' }], '54/udp': [{ hostIp: '', hostPort: '28162' }] };
      const a = await start('a', { portBindings: bindings });
      const got = await a.collect(53, 54);
      const send = (address: string, port: number, text: string): void => {
        const sent = Bun.spawnSync(['nsenter', `--net=${lan}`, 'python3', '-c', sendRaw, '10.214.0.1', address, String(port), text]);
        expect(sent.stderr.toString()).toBe('');
      };
      send('127.0.0.1', 28_161, 'to loopback');
      send('127.0.0.1', 28_162, 'to loopback too');
      send('10.214.0.1', 28_161, 'to an address where it is not published');
      send('10.214.0.1', 28_162, 'to the host');
      await eventually('what may come has come', () => got.length > 0);
      expect(got).toEqual(['to the host']);
      await end(a);
    });
  });

  test('without a default bridge containers that ask for it have a loopback interface only, and networks work', async () => {
    const before = new NetworkStack();
    await before.service.recover(new Map());
    const stack = before.restarted({ bridgeName: undefined });
    await stack.service.recover(new Map());
    expect(
      stack.service
        .list({})
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(['host', 'none']);
    expect(stack.driver.linkNames()).not.toContain(stack.bridge);
    const request = stack.request('lonely', { endpoints: { bridge: {} } });
    const { namespace, endpoints } = await stack.service.setup(request, AbortSignal.timeout(5000));
    expect(namespace).toEqual({ kind: 'new' });
    expect(Object.keys(endpoints)).toEqual(['none']);
    await stack.createNetwork('own');
    const joining = stack.service.connect({ ...request, endpoints: { own: {} } }, 'own', AbortSignal.timeout(5000));
    expect(joining).rejects.toThrow('private (none) mode');
    const member = await stack.start('m', { endpoints: { own: {} } });
    expect(member.address).not.toBe('');
    for (const { containerId } of [request, member.request]) await stack.service.teardown(containerId);
    await stack.service.remove('own');
    await stack.close();
  });
}

/** Asks the resolver of a container as a program in it would. */
async function resolve(path: string, name: string, type: 'A' | 'AAAA' | 'TXT' | 'PTR', transport: 'udp' | 'tcp' = 'udp') {
  const query = dns.encode({ type: 'query', id: 7, flags: dns.RECURSION_DESIRED, questions: [{ name, type }] });
  const { promise, resolve: done } = Promise.withResolvers<Uint8Array>();
  const reader = new MessageReader();
  const hostname = '127.0.0.11';
  const opening = runInNamespace(path, () =>
    transport === 'udp'
      ? Bun.udpSocket({ connect: { hostname, port: 53 }, socket: { data: (_socket, data) => done(new Uint8Array(data)) } })
      : Bun.connect({ hostname, port: 53, socket: { data: (_socket, data) => void reader.read(data).forEach(done) } }),
  );
  const socket = await opening;
  if ('send' in socket) socket.send(query);
  else socket.write(withLength(query));
  const answer = dns.decode(Buffer.from(await promise));
  if ('send' in socket) socket.close();
  else socket.end();
  return {
    rcode: (answer as { readonly rcode?: string }).rcode,
    truncated: answer.flag_tc,
    answers: (answer.answers ?? []).flatMap(one => ('data' in one ? [one.data] : [])),
  };
}

/** A name server on port 53 of a container. Returns the names it is asked for, as they come. */
async function serveNames(
  member: Member,
  {
    knows = ['far.example', 'large.example'],
    isResponsible = false,
  }: { readonly knows?: readonly string[]; readonly isResponsible?: boolean } = {},
): Promise<string[]> {
  const seen: string[] = [];
  const answer = (query: Uint8Array, transport: 'udp' | 'tcp'): Uint8Array => {
    const { id = 0, questions = [] } = dns.decode(Buffer.from(query));
    const [{ name, type } = { name: '', type: 'A' as const }] = questions;
    if (type === 'A') seen.push(`${name} ${transport}`);
    const isKnown = knows.includes(name);
    const isTooLarge = name === 'large.example' && transport === 'udp';
    const record: dns.Answer = type === 'TXT' ? { name, type, data: 'x'.repeat(200) } : { name, type: 'A', data: '192.0.2.7' };
    return dns.encode({
      type: 'response',
      id,
      questions,
      flags:
        dns.RECURSION_DESIRED |
        (isResponsible ? dns.AUTHORITATIVE_ANSWER : 0) |
        (isTooLarge ? dns.TRUNCATED_RESPONSE : 0) |
        (isKnown ? 0 : 3),
      answers: isKnown && !isTooLarge ? [record] : [],
    });
  };
  const { opening, tcp } = runInNamespace(member.path, () => ({
    opening: Bun.udpSocket({
      hostname: '0.0.0.0',
      port: 53,
      socket: { data: (socket, data, port, from) => void socket.send(answer(new Uint8Array(data), 'udp'), port, from) },
    }),
    tcp: Bun.listen<MessageReader>({
      hostname: '0.0.0.0',
      port: 53,
      socket: {
        open: socket => void (socket.data = new MessageReader()),
        data: (socket, data) => socket.data.read(data).forEach(message => socket.write(withLength(answer(message, 'tcp')))),
      },
    }),
  }));
  const udp = await opening;
  member.alsoStops(() => {
    udp.close();
    tcp.stop(true);
  });
  return seen;
}

/** An INIT chunk with the checksum that connection tracking looks at (CRC-32C). */
const sendSctp = `
import socket, struct, sys
def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8): crc = (crc >> 1) ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff
chunk = struct.pack('!BBHIIHHI', 1, 0, 20, 1, 65536, 1, 1, 1)
header = struct.pack('!HHI', 5000, int(sys.argv[2]), 0)
packet = header + struct.pack('<I', crc32c(header + bytes(4) + chunk)) + chunk
socket.socket(socket.AF_INET, socket.SOCK_RAW, 132).sendto(packet, (sys.argv[1], 0))
`;

const readSctp = `
import socket, struct
packet, (source, _) = socket.socket(socket.AF_INET, socket.SOCK_RAW, 132).recvfrom(2048)
print(source, struct.unpack('!H', packet[22:24])[0], flush=True)
`;

/** A UDP datagram in a frame for the gateway's MAC address, whatever the address in it is. */
const sendRaw = `
import socket, struct, sys, time
gateway, address, port, text = sys.argv[1:]
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.connect((gateway, 9)); own = probe.getsockname()[0]; probe.send(b'x')
for _ in range(100):
    lines = [line.split() for line in open('/proc/net/arp')][1:]
    found = [line[3] for line in lines if line[0] == gateway and line[3] != '00:00:00:00:00:00']
    if found: break
    time.sleep(0.01)
mac = bytes.fromhex(found[0].replace(':', ''))
data = text.encode()
udp = struct.pack('!HHHH', 4000, int(port), 8 + len(data), 0) + data
head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(own), socket.inet_aton(address))
total = sum(struct.unpack('!10H', head)); total = (total >> 16) + (total & 0xffff); total += total >> 16
head = head[:10] + struct.pack('!H', ~total & 0xffff) + head[12:]
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); raw.bind(('eth0', 0))
raw.send(mac + raw.getsockname()[4] + b'\\x08\\x00' + head + udp)
`;
