import { join } from 'node:path';
import { expect } from 'bun:test';
import { startDaemon, tempFolder } from '#test/helpers/daemon.ts';
import { startDockerd } from '#test/helpers/dockerd.ts';
import { needs } from '#test/helpers/needs.ts';
import { emptyPlugin, type NetworkPlugin, startNetworkPlugin } from '#test/helpers/network-plugin.ts';
import type { RunResult } from '#test/helpers/run.ts';

const { test } = needs('root', 'conmon', 'nft', 'dockerd');

type Docker = (args: readonly string[]) => Promise<RunResult>;

/** What a plugin is asked while networks and containers come and go. */
async function conversation(docker: Docker, plugin: NetworkPlugin): Promise<string[]> {
  const ok = async (...args: readonly string[]): Promise<void> => {
    const { exitCode, stderr } = await docker(args);
    if (exitCode !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
  };
  const sleep = ['busybox', 'sleep', '1000'];
  await plugin.behave({ join: { Gateway: '10.251.0.1' } });
  await ok('network', 'create', '-d', 'wires', '--ipam-driver', 'wires', '--ipam-opt', 'colour=blue', '-o', 'flavour=sour', 'net');
  await ok('run', '-d', '--name', 'one', '--network', 'net', '-p', '28470:80', ...sleep);
  await ok('run', '-d', '--name', 'two', '--network', 'net', ...sleep);
  await ok('network', 'disconnect', 'net', 'two');
  await ok('network', 'connect', '--driver-opt', 'size=large', 'net', 'two');
  await ok('rm', '-f', 'two');
  await ok('stop', '-t', '0', 'one');
  await ok('start', 'one');
  await ok('rm', '-f', 'one');
  await plugin.behave({});
  await ok('run', '-d', '--name', 'three', '--network', 'net', '-p', '28471:80', ...sleep);
  await ok('rm', '-f', 'three');
  await ok('network', 'rm', 'net');
  await ok('network', 'create', '-d', 'wires', '--ipam-driver', 'null', 'bare');
  await ok('network', 'rm', 'bare');
  const subnet = ['--subnet', '10.66.0.0/16', '--gateway', '10.66.0.9', '--aux-address', 'router=10.66.0.7'];
  await ok('network', 'create', '-d', 'wires', ...subnet, '--internal', 'own');
  await ok('run', '-d', '--name', 'four', '--network', 'own', ...sleep);
  await ok('rm', '-f', 'four');
  await ok('network', 'rm', 'own');
  expect(plugin.state()).toEqual(emptyPlugin);
  return plugin.calls().flatMap(({ method, body }) => {
    // What it is, and how often it is asked how it is, are the daemon's affair.
    if (/GetCapabilities|GetDefaultAddressSpaces|EndpointOperInfo/.test(method)) return [];
    const { 'com.docker.network.enable_ipv4': _newer, ...options } = (body.Options ?? {}) as Record<string, unknown>;
    const text = JSON.stringify(sorted({ ...body, ...('Options' in body ? { Options: options } : {}) }));
    const anonymous = text.replace(/"SandboxKey":"[^"]*"/, '"SandboxKey":"…"').replace(/[0-9a-f]{64}/g, '…');
    return [`${method} ${anonymous}`];
  });
}

/** The same whatever the order of keys. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, one]) => [key, sorted(one)]),
  );
}

/** A network's addresses go back before it is gone with Docker, and after that here: who has them next is sure to be alone. */
const withoutOrderOfRemoval = (calls: readonly string[]): string[] => {
  const isOfRemoval = (call: string | undefined): boolean => /DeleteNetwork|ReleasePool|ReleaseAddress/.test(call ?? '');
  const groups: string[][] = [];
  for (const [index, call] of calls.entries()) {
    if (isOfRemoval(call) && isOfRemoval(calls[index - 1])) groups.at(-1)?.push(call);
    else groups.push([call]);
  }
  return groups.flatMap(group => group.toSorted());
};

test('a plugin for networks and addresses is asked the same as by Docker', async () => {
  await using folder = await tempFolder();
  const theirs = await (async () => {
    await using dockerd = await startDockerd();
    await using plugin = await startNetworkPlugin('/run/docker/plugins/wires.sock', join(folder.path, 'theirs'), dockerd.pid);
    return await conversation(args => dockerd.docker(args), plugin);
  })();
  await using daemon = await startDaemon();
  await using plugin = await startNetworkPlugin(join(daemon.execRoot, 'plugins/wires.sock'), join(folder.path, 'ours'));
  const ours = await conversation(args => daemon.docker(args), plugin);
  expect(withoutOrderOfRemoval(ours)).toEqual(withoutOrderOfRemoval(theirs));
  expect(ours.length).toBeGreaterThan(40);
}, 120_000);
