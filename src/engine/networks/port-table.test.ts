import { expect, test } from 'bun:test';
import { PortTable } from './port-table.ts';

const tcp = (hostIp: string, hostPort = 80, count = 1) => ({ protocol: 'tcp' as const, hostIp, hostPort, count });

test('a port on all addresses excludes the same port on any address of that family, and the other way round', () => {
  const table = new PortTable();
  expect(table.take(tcp('127.0.0.1'))).toBeUndefined();
  expect(table.take(tcp('127.0.0.1'))).toBe(80);
  expect(table.take(tcp('0.0.0.0'))).toBe(80);
  expect(table.take(tcp('::'))).toBeUndefined();
  expect(table.take(tcp('::1'))).toBe(80);
  expect(table.take({ ...tcp('0.0.0.0'), protocol: 'udp' })).toBeUndefined();
  table.release(tcp('127.0.0.1'));
  expect(table.take(tcp('0.0.0.0'))).toBeUndefined();
});

test('a range is taken as a whole or not at all, and names the first port that somebody has', () => {
  const table = new PortTable();
  expect(table.take(tcp('127.0.0.2', 20_100))).toBeUndefined();
  expect(table.take(tcp('0.0.0.0', 20_000, 5000))).toBe(20_100);
  expect(table.take(tcp('0.0.0.0', 20_000, 100))).toBeUndefined();
  expect(table.take(tcp('127.0.0.1', 20_099, 2))).toBe(20_099);
  table.release(tcp('127.0.0.2', 20_100));
  table.release(tcp('0.0.0.0', 20_000, 100));
  expect(table.take(tcp('0.0.0.0', 1, 65_535))).toBeUndefined();
});

test('nextEphemeral() goes on behind the last one and comes round', () => {
  const table = new PortTable();
  const next = () => table.nextEphemeral([10, 13]);
  expect([next(), next()]).toEqual([10, 11]);
  table.skipEphemeral(1);
  expect([next(), next()]).toEqual([13, 10]);
});
