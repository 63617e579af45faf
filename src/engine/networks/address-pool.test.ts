import { expect, test } from 'bun:test';
import { kindOf } from '#base/errors.ts';
import { formatIp, parseIp } from '#base/ip.ts';
import { AddressPool } from './address-pool.ts';

const pool = (over: Partial<ConstructorParameters<typeof AddressPool>[0]> = {}) =>
  new AddressPool({ subnet: '10.9.0.0/29', gateway: '10.9.0.1', ipRange: '', auxiliaryAddresses: {}, ...over });
const ip = (text: string) => parseIp(text) ?? { family: 4 as const, value: 0n };
const kind = (action: () => unknown): string => {
  try {
    action();
    return 'fine';
  } catch (err) {
    return kindOf(err);
  }
};

test('takeNext() gives the lowest free address, without network, gateway and broadcast, until there is none', () => {
  const addresses = pool();
  expect(Array.from({ length: 5 }, () => formatIp(addresses.takeNext()))).toEqual([
    '10.9.0.2',
    '10.9.0.3',
    '10.9.0.4',
    '10.9.0.5',
    '10.9.0.6',
  ]);
  expect(kind(() => addresses.takeNext())).toBe('Unavailable');
  addresses.release(ip('10.9.0.4'));
  expect(formatIp(addresses.takeNext())).toBe('10.9.0.4');
});

test('an ip-range limits what is chosen, not what may be asked for', () => {
  const addresses = pool({ subnet: '10.9.0.0/24', ipRange: '10.9.0.128/30' });
  expect(formatIp(addresses.takeNext())).toBe('10.9.0.128');
  addresses.takeThis(ip('10.9.0.7'));
  expect(kind(() => addresses.takeThis(ip('10.9.0.7')))).toBe('PermissionDenied');
  expect(kind(() => addresses.takeThis(ip('10.9.1.7')))).toBe('InvalidArgument');
});

test('auxiliary addresses and the gateway are never given', () => {
  const addresses = pool({ auxiliaryAddresses: { router: '10.9.0.2' } });
  expect(formatIp(addresses.takeNext())).toBe('10.9.0.3');
  expect(kind(() => addresses.takeThis(ip('10.9.0.2')))).toBe('PermissionDenied');
  expect(kind(() => addresses.takeThis(ip('10.9.0.1')))).toBe('PermissionDenied');
});

test('the last address of an IPv6 subnet is an address like any other', () => {
  const addresses = pool({ subnet: 'fd00:9::/126', gateway: 'fd00:9::1' });
  expect(Array.from({ length: 2 }, () => formatIp(addresses.takeNext()))).toEqual(['fd00:9::2', 'fd00:9::3']);
});
