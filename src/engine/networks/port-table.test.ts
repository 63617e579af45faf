import { expect, test } from 'bun:test';
import { PortTable } from './port-table.ts';

const tcp = (hostIp: string, hostPort = 80) => ({ protocol: 'tcp' as const, hostIp, hostPort });

test('a port on all addresses excludes the same port on any address of that family, and the other way round', () => {
  const table = new PortTable();
  expect(table.take(tcp('127.0.0.1'))).toBe(true);
  expect(table.take(tcp('127.0.0.1'))).toBe(false);
  expect(table.take(tcp('0.0.0.0'))).toBe(false);
  expect(table.take(tcp('::'))).toBe(true);
  expect(table.take(tcp('::1'))).toBe(false);
  expect(table.take({ ...tcp('0.0.0.0'), protocol: 'udp' })).toBe(true);
  table.release(tcp('127.0.0.1'));
  expect(table.take(tcp('0.0.0.0'))).toBe(true);
});

test('ephemeral() goes on behind the last one and comes round', () => {
  const table = new PortTable();
  const [first] = table.ephemeral([10, 12]);
  expect(first).toBe(10);
  expect([...table.ephemeral([10, 12])]).toEqual([11, 12, 10]);
});
