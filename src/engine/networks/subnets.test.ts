import { expect, test } from 'bun:test';
import { formatPrefix } from '#base/ip.ts';
import { chooseSubnet, defaultAddressPools, parsePrefix, uniqueLocalPool } from './subnets.ts';

const choose = (...inUse: string[]): string => formatPrefix(chooseSubnet(defaultAddressPools, 4, inUse.map(parsePrefix)));

test('chooseSubnet() takes the first free one, in the order of the pools', () => {
  expect(choose()).toBe('172.17.0.0/16');
  expect(choose('172.17.0.0/16', '172.18.4.0/24')).toBe('172.19.0.0/16');
  expect(choose('172.16.0.0/12')).toBe('192.168.0.0/20');
  expect(choose('172.16.0.0/12', '192.168.1.0/24')).toBe('192.168.16.0/20');
});

test('chooseSubnet() says when all is in use', () => {
  expect(() => choose('172.16.0.0/12', '192.168.0.0/16')).toThrow('all predefined address pools have been fully subnetted');
});

test('the IPv6 pool of an engine is a unique local /48 that depends on its id alone', () => {
  const pool = uniqueLocalPool('engine');
  expect(pool).toEqual(uniqueLocalPool('engine'));
  expect(pool.base).toMatch(/^fd[0-9a-f]{2}:[0-9a-f]{1,4}:[0-9a-f]{1,4}::\/48$/);
  expect(formatPrefix(chooseSubnet([pool], 6, []))).toBe(pool.base.replace('/48', '/64'));
});
