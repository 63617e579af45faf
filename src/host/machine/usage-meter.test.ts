import { expect, test } from 'bun:test';
import { createUsageMeter, parseInterfaces, parseSystemCpu } from './usage-meter.ts';

test('the time of all processors is that of the first seven kinds', () => {
  const text = 'cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1 1 1 1 1 1 1 1\ncpu1 0 0 0 0 0 0 0 0 0 0\nintr 5\n';
  expect(parseSystemCpu(text)).toEqual({ cpuNs: 280_000_000, onlineCpus: 2 });
  expect(parseSystemCpu('cpu  900719925474099 0 0 0 0 0 0\n').cpuNs).toBe(9_007_199_254_740_990_000_000n);
});

test('interfaces of networks are told, loopback and the kernel’s tunnels are not', () => {
  const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
 tunl0:       7       7    0    0    0     0          0         0        0       0    0    0    0     0       0          0
  eth0:     200       2    3    4    0     0          0         0      500       6    7    8    0     0       0          0
 eth12:9007199254740993       1    0    0    0     0          0         0        0       0    0    0    0     0       0          0
`;
  expect([...parseInterfaces(text)]).toEqual([
    ['eth0', { received: { bytes: 200, packets: 2, errors: 3, dropped: 4 }, sent: { bytes: 500, packets: 6, errors: 7, dropped: 8 } }],
    [
      'eth12',
      {
        received: { bytes: 9_007_199_254_740_993n, packets: 1, errors: 0, dropped: 0 },
        sent: { bytes: 0, packets: 0, errors: 0, dropped: 0 },
      },
    ],
  ]);
});

test('this machine has processors, and a process that is gone has no interfaces', () => {
  const { cpuNs, onlineCpus } = createUsageMeter().system();
  expect(Number(cpuNs)).toBeGreaterThan(0);
  expect(onlineCpus).toBeGreaterThan(0);
  expect(createUsageMeter().interfaces(2 ** 22).size).toBe(0);
});
