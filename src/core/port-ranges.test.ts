import { expect, test } from 'bun:test';
import { compactPortMap, compactPorts, expandPortMap, expandPorts, parsePortRange } from './port-ranges.ts';
import type { PortMap } from './network.ts';

const everywhere = (hostPort: string) => ({ hostIp: '', hostPort });

test('ports that follow each other are one range; what is no port stays', () => {
  expect(compactPorts(['82/tcp', '80/tcp', '81/tcp', '53/udp', '53/tcp', 'x'])).toEqual(['x', '53/tcp', '80-82/tcp', '53/udp']);
  expect(compactPorts(['80-90/tcp', '85/tcp', '91/tcp'])).toEqual(['80-91/tcp']);
  expect(expandPorts(['80-82/tcp', '53/udp', 'x'])).toEqual(['80/tcp', '81/tcp', '82/tcp', '53/udp', 'x']);
});

test('published ports are one range where both sides follow each other', () => {
  const map: PortMap = {
    '8000/tcp': [everywhere('9000'), { hostIp: '127.0.0.1', hostPort: '7000' }],
    '8001/tcp': [everywhere('9001'), { hostIp: '127.0.0.1', hostPort: '7001' }],
    '8002/tcp': [everywhere('9002'), { hostIp: '127.0.0.1', hostPort: '7002' }],
    '8003/tcp': [everywhere('9004')],
    '8001/udp': [everywhere('')],
    '8002/udp': [everywhere('')],
    '70/sctp': [],
    '71/sctp': [],
  };
  const compact = compactPortMap(map);
  expect(compact).toEqual({
    '70-71/sctp': [],
    '8000-8002/tcp': [everywhere('9000-9002'), { hostIp: '127.0.0.1', hostPort: '7000-7002' }],
    '8003/tcp': [everywhere('9004')],
    '8001-8002/udp': [everywhere('')],
  });
  expect(expandPortMap(compact)).toEqual(map);
});

test('a port that may be published at any of a range stays alone', () => {
  const map: PortMap = { '80/tcp': [everywhere('8000-8010')], '81/tcp': [everywhere('8011')], '82/tcp': [everywhere('8000-8010')] };
  expect(compactPortMap(map)).toEqual(map);
  expect(expandPortMap(map)).toEqual(map);
});

test('what is no range of ports is none', () => {
  for (const text of ['', '80', '/tcp', '80/icmp', '65536/tcp', '90-80/tcp', '1-2-3/tcp', '-1/tcp'])
    expect(parsePortRange(text)).toBeUndefined();
  expect(parsePortRange('0-65535/udp')).toEqual({ protocol: 'udp', first: 0, last: 65_535 });
});
