import { join } from 'node:path';
import { expect } from 'bun:test';
import { execIn, inspect } from '#test/helpers/containers.ts';
import { startDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { emptyPlugin, startNetworkPlugin } from '#test/helpers/network-plugin.ts';

const { test } = needs('root', 'conmon', 'nft');

/** Calls in the middle of which the daemon is killed, and how they come about. */
const makes = ['IpamDriver.RequestAddress', 'NetworkDriver.CreateNetwork'];
const starts = [
  'IpamDriver.RequestAddress',
  'NetworkDriver.CreateEndpoint',
  'NetworkDriver.Join',
  'NetworkDriver.ProgramExternalConnectivity',
];
const ends = ['NetworkDriver.Leave', 'NetworkDriver.DeleteEndpoint', 'IpamDriver.ReleaseAddress'];
const removes = ['NetworkDriver.DeleteNetwork', 'IpamDriver.ReleasePool'];

test('a network of a plugin from the command line; the daemon killed while it waits for the plugin, call by call, leaves nothing', async () => {
  await using daemon = await startDaemon();
  const folder = join(daemon.folder, 'wires');
  await using plugin = await startNetworkPlugin(join(daemon.execRoot, 'plugins/wires.sock'), folder);
  const gateway = { join: { Gateway: '10.251.0.1' } };
  await plugin.behave(gateway);
  const berth = async (...args: readonly string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await daemon.berth(args);
    if (exitCode !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
    return stdout.trim();
  };
  const create = ['network', 'create', '-d', 'wires', '--ipam-driver', 'wires', '--ipam-opt', 'colour=blue', '-o', 'flavour=sour', 'net'];
  const runs = [
    'run',
    '-d',
    '--name',
    'wired',
    '--network',
    'net',
    '-p',
    '28490:80',
    'busybox',
    'sh',
    '-c',
    'trap "exit 0" TERM; while :; do sleep 0.1; done',
  ];

  await berth(...create);
  const info = await daemon.api.expect<{ Plugins: { Network: string[] } }>('GET', '/info');
  expect(info.Plugins.Network).toEqual(['bridge', 'host', 'ipvlan', 'macvlan', 'null', 'overlay', 'wires']);
  const shown = await daemon.api.expect<Record<string, unknown>>('GET', '/networks/net');
  expect(shown).toMatchObject({
    ...{ Driver: 'wires', Scope: 'local', Options: { flavour: 'sour' } },
    IPAM: { Driver: 'wires', Options: { colour: 'blue' }, Config: [{ Subnet: '10.251.0.0/24', Gateway: '10.251.0.1' }] },
  });
  const id = await berth(...runs);
  expect((await inspect(daemon, id)).NetworkSettings.Networks.net).toMatchObject({ IPAddress: '10.251.0.2', Gateway: '10.251.0.1' });
  expect((await inspect(daemon, id)).NetworkSettings.Ports['80/tcp']).toEqual([{ HostIp: '0.0.0.0', HostPort: '28480' }]);
  // A daemon that was killed finds the container on its network; it can leave and come back.
  await daemon.kill();
  await daemon.start();
  expect((await execIn(daemon, id, ['ping', '-c', '1', '-W', '2', '10.251.0.1'])).exitCode).toBe(0);
  await berth('network', 'disconnect', 'net', 'wired');
  await berth('network', 'connect', 'net', 'wired');
  expect((await execIn(daemon, id, ['ping', '-c', '1', '-W', '2', '10.251.0.1'])).exitCode).toBe(0);

  const killDuring = async (method: string, ...args: readonly string[]): Promise<void> => {
    await plugin.behave({ ...gateway, hang: method });
    plugin.calls();
    const asked = daemon.berth(args);
    await eventually(`${method} is asked`, () => plugin.calls().some(call => call.method === method));
    await daemon.kill();
    await asked;
    await plugin.behave(gateway);
    await daemon.start();
  };
  for (const method of ends) {
    await killDuring(method, 'rm', '-f', 'wired');
    // The container that was being removed is gone, or as it was.
    await daemon.berth(['rm', '-f', 'wired']);
    expect(plugin.state()).toMatchObject({ endpoints: {}, published: [] });
    await berth(...runs);
  }
  await berth('rm', '-f', 'wired');
  for (const method of starts) {
    await killDuring(method, ...runs);
    await daemon.berth(['rm', '-f', 'wired']);
    expect(plugin.state()).toMatchObject({ endpoints: {}, published: [] });
    expect(Object.values(plugin.state().pools)).toEqual([{ uses: 1, taken: ['10.251.0.1'] }]);
  }
  for (const method of removes) {
    await killDuring(method, 'network', 'rm', 'net');
    expect(plugin.state()).toEqual(emptyPlugin);
    await berth(...create);
  }
  await berth('network', 'rm', 'net');
  for (const method of makes) {
    await killDuring(method, ...create);
    expect(plugin.state()).toEqual(emptyPlugin);
    expect((await daemon.api.get('/networks/net')).status).toBe(404);
  }
}, 120_000);
