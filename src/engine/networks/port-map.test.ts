import { expect, test } from 'bun:test';
import { expandPortMap } from '#core/port-ranges.ts';
import type { SandboxRequest } from '#core/network.ts';
import type { PublishedPorts } from './model.ts';
import { portMapOf } from './port-map.ts';

const request = (exposedPorts: string[]): SandboxRequest => ({
  ...{ containerId: 'c', containerName: 'c', hostname: '', domainname: '', mode: { mode: 'networks' }, endpoints: {} },
  ...{ publishAllPorts: false, dns: [], dnsOptions: [], dnsSearch: [], extraHosts: [], portBindings: {}, exposedPorts },
});

const published = (containerPort: number, hostPort: number, count: number, hostIp = '0.0.0.0'): PublishedPorts => ({
  ...{ protocol: 'tcp', containerPort, hostPort, count, hostIp },
});

test('a range is one entry, with a binding for each host address', () => {
  const map = portMapOf(request(['20000-24999/tcp']), [published(20_000, 20_000, 5000), published(20_000, 20_000, 5000, '::')]);
  expect(map).toEqual({
    '20000-24999/tcp': [
      { hostIp: '0.0.0.0', hostPort: '20000-24999' },
      { hostIp: '::', hostPort: '20000-24999' },
    ],
  });
});

test('each port is there once, with all that lead to it; exposed ones that are not published have nothing', () => {
  const map = portMapOf(request(['79-83/tcp', '53/udp']), [published(80, 8080, 3), published(81, 9000, 1), published(90, 0, 1)]);
  const at = (hostPort: string) => ({ hostIp: '0.0.0.0', hostPort });
  expect(expandPortMap(map)).toEqual({
    '79/tcp': [],
    '80/tcp': [at('8080')],
    '81/tcp': [at('8081'), at('9000')],
    '82/tcp': [at('8082')],
    '83/tcp': [],
    '90/tcp': [at('')],
    '53/udp': [],
  });
});
