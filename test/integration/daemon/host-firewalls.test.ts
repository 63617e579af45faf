import { existsSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect } from 'bun:test';
import { inspect, sh, start } from '#test/helpers/containers.ts';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { type Dockerd, startDockerd } from '#test/helpers/dockerd.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { enableUfw, firewallCmd, startFirewalld } from '#test/helpers/host-firewalls.ts';
import { needs } from '#test/helpers/needs.ts';
import { fetchTcp } from '#test/helpers/network-stack.ts';
import { OtherMachine } from '#test/helpers/other-machine.ts';
import { inOwnNetwork } from '#test/helpers/own-network.ts';
import { cached } from '#test/helpers/paths.ts';
import { run, runOk } from '#test/helpers/run.ts';

const { describe } = needs('root', 'nft', 'conmon');

/** This host for its neighbour, and the neighbour. */
const [host, neighbour] = ['10.238.0.1', '10.238.0.2'];
const [ourPort, theirPort] = [28_401, 28_402];

if (inOwnNetwork(import.meta.path, { programs: cached('firewalls') })) {
  describe('beside other firewalls', () => {
    let other: OtherMachine;
    const answering = (word: string) => sh(`exec nc -ll -p 80 -e echo ${word}`);
    const says = (what: string, path: string | undefined, address: string, port: number, word: string) =>
      eventually(what, async () => (await fetchTcp(path, address, port, 500)).startsWith(word), { timeoutMs: 15_000 });

    /** Where a container of ours is. */
    const placeOf = async (daemon: TestDaemon, name: string): Promise<{ path: string; address: string }> => {
      const { State, NetworkSettings } = await inspect(daemon, name);
      const [network] = Object.values(NetworkSettings.Networks);
      return { path: `/proc/${String(State.Pid)}/ns/net`, address: network?.IPAddress ?? '' };
    };
    /** With a container `ours` that has a published port, and one `apart` on another network. */
    const startOurs = async (...args: readonly string[]): Promise<TestDaemon> => {
      const daemon = await startDaemon({ comparesMachine: false, args });
      const published = { ...answering('ours'), HostConfig: { PortBindings: { '80/tcp': [{ HostPort: String(ourPort) }] } } };
      await start(daemon, published, 'ours');
      await daemon.api.expect('POST', '/networks/create', { body: { Name: 'apart' } });
      await start(daemon, { ...answering('apart'), HostConfig: { NetworkMode: 'apart' } }, 'apart');
      return daemon;
    };
    /** What Docker's users expect wherever there is a firewall: ways in and out are open, everything else is closed. */
    const works = async (daemon: TestDaemon): Promise<void> => {
      const [ours, apart] = [await placeOf(daemon, 'ours'), await placeOf(daemon, 'apart')];
      await says('the neighbour reaches the port', other.path, host, ourPort, 'ours');
      await says('the host reaches the port', undefined, '127.0.0.1', ourPort, 'ours');
      await says('containers reach the neighbour', ours.path, neighbour, 82, `other ${host}`);
      await says('those of another network too', apart.path, neighbour, 82, `other ${host}`);
      await says('and the port', apart.path, host, ourPort, 'ours');
      expect(await fetchTcp(apart.path, ours.address, 80, 300)).toBe('timeout');
      await other.ip('route', 'replace', ours.address, 'via', host);
      expect(await fetchTcp(other.path, ours.address, 80, 300)).toBe('timeout');
    };
    /** Rules of others, without what counts packets. */
    const foreignRules = async (): Promise<string> =>
      (await runOk(['iptables-save']))
        .replace(/^#.*$/gm, '')
        .replace(/\[\d+:\d+\]/g, '')
        .replace(/^.*"berth.*\n/gm, '');

    beforeAll(async () => {
      other = await OtherMachine.connect('lan', [`${host}/24`], [`${neighbour}/24`]);
      await runOk(['ip', 'route', 'add', 'default', 'via', neighbour]);
      other.serve('other', 82);
    });
    afterAll(async () => await other[Symbol.asyncDispose]());
    afterEach(async () => {
      expect(await runOk(['nft', 'list', 'ruleset'])).not.toContain('berth');
      await runOk(['nft', 'flush', 'ruleset']);
      await run(['ip', 'link', 'delete', 'docker0']);
    });

    const { test: withDockerd } = needs('dockerd');
    const startTheirs = async (): Promise<Dockerd> => {
      const docker = await startDockerd({ shareNamespaces: true });
      const script = 'nc -ll -p 81 -e echo closed & exec nc -ll -p 80 -e echo theirs';
      const args = ['run', '-d', '--name', 'theirs', '--restart', 'always', '-p', `${String(theirPort)}:80`, 'busybox', 'sh', '-c', script];
      expect((await docker.docker(args)).stderr).toBe('');
      return docker;
    };
    const bothWork = async (daemon: TestDaemon, docker: Dockerd): Promise<void> => {
      await works(daemon);
      const format = '{{.State.Pid}} {{.NetworkSettings.IPAddress}}';
      const [pid = '', address = ''] = (await docker.docker(['inspect', '-f', format, 'theirs'])).stdout.trim().split(' ');
      const theirs = { path: `/proc/${pid}/ns/net`, address };
      const ours = await placeOf(daemon, 'ours');
      await says('the neighbour reaches their port', other.path, host, theirPort, 'theirs');
      await says('their container reaches the neighbour', theirs.path, neighbour, 82, `other ${host}`);
      await says('ours reaches their port', ours.path, host, theirPort, 'theirs');
      await says('theirs reaches our port', theirs.path, host, ourPort, 'ours');
      // Docker lets everybody to a published port at the container's own address, but to no other.
      expect(await fetchTcp(ours.path, theirs.address, 81, 300)).toBe('timeout');
      expect(await fetchTcp(theirs.path, ours.address, 80, 300)).toBe('timeout');
    };

    withDockerd(
      'a dockerd that was there before',
      async () => {
        // Then it sets the policy of FORWARD to DROP.
        await Bun.write('/proc/sys/net/ipv4/ip_forward', '0');
        await using docker = await startTheirs();
        expect(await foreignRules()).toContain(':FORWARD DROP');
        const before = await foreignRules();
        await using daemon = await startOurs();
        await bothWork(daemon, docker);
        await daemon.kill();
        await daemon.start();
        await bothWork(daemon, docker);
        expect(await foreignRules()).toBe(before);
        expect((await docker.docker(['kill', 'theirs'])).exitCode).toBe(0);
        const ended = docker.pid;
        process.kill(ended);
        await eventually('their daemon has ended', () => !existsSync(`/proc/${String(ended)}/cwd`), { timeoutMs: 20_000 });
        await docker.start({ shareNamespaces: true });
        await bothWork(daemon, docker);
      },
      120_000,
    );

    withDockerd(
      'a dockerd that comes later, has a network more, and goes',
      async () => {
        await using daemon = await startOurs();
        await using docker = await startTheirs();
        await runOk(['iptables', '-P', 'FORWARD', 'DROP']);
        await bothWork(daemon, docker);
        expect((await docker.docker(['network', 'create', 'more'])).exitCode).toBe(0);
        const script = 'exec nc -ll -p 80 -e echo more';
        expect((await docker.docker(['run', '-d', '--name', 'more', '--network', 'more', 'busybox', 'sh', '-c', script])).exitCode).toBe(0);
        const address = (await docker.docker(['inspect', '-f', '{{.NetworkSettings.Networks.more.IPAddress}}', 'more'])).stdout.trim();
        await bothWork(daemon, docker);
        const { path } = await placeOf(daemon, 'ours');
        await eventually('what is theirs is closed', async () => (await fetchTcp(path, address, 80, 300)) === 'timeout');
      },
      120_000,
    );

    const { test: withUfw } = needs('ufw');
    withUfw(
      'ufw, turned on while containers run and made anew; what its operator refuses on the way through is refused',
      async () => {
        await using daemon = await startOurs();
        await using _ufw = await enableUfw();
        await works(daemon);
        await runOk(['ufw', 'reload']);
        await works(daemon);
        await daemon.restart();
        await works(daemon);
        await runOk(['ufw', 'route', 'deny', 'proto', 'tcp', 'from', neighbour, 'to', 'any', 'port', '80']);
        await eventually('the refusal holds', async () => (await fetchTcp(other.path, host, ourPort, 300)) === 'timeout');
        expect((await runOk(['ufw', 'status'])).toLowerCase()).toContain('deny fwd');
      },
      120_000,
    );
    withUfw(
      'ufw decides about published ports with --host-firewall',
      async () => {
        await using _ufw = await enableUfw();
        await using _daemon = await startOurs('--host-firewall');
        await says('the host reaches the port', undefined, '127.0.0.1', ourPort, 'ours');
        expect(await fetchTcp(other.path, host, ourPort, 300)).toBe('timeout');
        await runOk(['ufw', 'allow', `${String(ourPort)}/tcp`]);
        await says('the neighbour reaches the port', other.path, host, ourPort, 'ours');
        await runOk(['ufw', 'delete', 'allow', `${String(ourPort)}/tcp`]);
        await eventually('it is closed again', async () => (await fetchTcp(other.path, host, ourPort, 300)) === 'timeout');
      },
      120_000,
    );

    const { test: withFirewalld } = needs('firewalld');
    withFirewalld(
      'firewalld, started while containers run, reloaded, and there before',
      async () => {
        await using _firewalld = await startFirewalld();
        await using daemon = await startOurs();
        await works(daemon);
        await firewallCmd('--reload');
        await works(daemon);
        await firewallCmd('--complete-reload');
        await works(daemon);
        await daemon.kill();
        await daemon.start();
        await works(daemon);
      },
      120_000,
    );
    withFirewalld(
      'firewalld decides about published ports with --host-firewall',
      async () => {
        await using _daemon = await startOurs('--host-firewall');
        await says('the neighbour reaches the port', other.path, host, ourPort, 'ours');
        await using _firewalld = await startFirewalld();
        await eventually('it is closed', async () => !(await fetchTcp(other.path, host, ourPort, 300)).startsWith('ours'));
        await firewallCmd(`--add-port=${String(ourPort)}/tcp`);
        await says('the neighbour reaches the port again', other.path, host, ourPort, 'ours');
      },
      120_000,
    );
  });
}
