import { expect, test } from 'bun:test';
import { contains, formatIp, formatPrefix, ipBytes, ipFromBytes, isLoopback, overlaps, parseCidr, parseIp } from './ip.ts';

const text = (input: string): string | undefined => {
  const address = parseIp(input);
  return address === undefined ? undefined : formatIp(address);
};
const prefix = (input: string) => {
  const cidr = parseCidr(input);
  if (cidr === undefined) throw new Error(input);
  return cidr.prefix;
};

test.each([
  ['10.1.2.3', '10.1.2.3'],
  ['::', '::'],
  ['::1', '::1'],
  ['FE80::00A0:0', 'fe80::a0:0'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['1:0:3:4:5:6:7:8', '1:0:3:4:5:6:7:8'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
])('parseIp(%s) is %s in canonical form', (input, expected) => {
  expect(text(input)).toBe(expected);
});

test.each([
  '',
  '1.2.3',
  '1.2.3.256',
  '01.2.3.4',
  '1.2.3.4.5',
  ':::',
  '1::2::3',
  '12345::',
  'g::',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  ':1',
])('parseIp(%p) is not an address', input => {
  expect(parseIp(input)).toBeUndefined();
});

test('parseCidr() gives the network and keeps the address', () => {
  const cidr = parseCidr('172.17.5.9/16');
  expect(cidr === undefined ? '' : `${formatIp(cidr.address)} ${formatPrefix(cidr.prefix)}`).toBe('172.17.5.9 172.17.0.0/16');
  expect(parseCidr('172.17.0.0/33')).toBeUndefined();
  expect(parseCidr('172.17.0.0')).toBeUndefined();
});

test('prefixes know what is in them and which overlap', () => {
  expect(contains(prefix('10.0.0.0/8'), { family: 4, value: 0x0a_ff_ff_ffn })).toBe(true);
  expect(contains(prefix('10.0.0.0/8'), { family: 4, value: 0x0b_00_00_00n })).toBe(false);
  expect(overlaps(prefix('10.1.0.0/16'), prefix('10.0.0.0/8'))).toBe(true);
  expect(overlaps(prefix('10.1.0.0/16'), prefix('10.2.0.0/16'))).toBe(false);
  expect(overlaps(prefix('::/0'), prefix('0.0.0.0/0'))).toBe(false);
});

test('bytes and addresses are the same thing', () => {
  for (const input of ['192.0.2.7', '2001:db8::7'])
    expect(formatIp(ipFromBytes(ipBytes(parseIp(input) ?? { family: 4, value: 0n })))).toBe(input);
});

test('isLoopback() is 127.0.0.0/8 and ::1', () => {
  expect(['127.9.9.9', '::1', '128.0.0.1', '::2'].map(input => isLoopback(parseIp(input) ?? { family: 4, value: 0n }))).toEqual([
    true,
    true,
    false,
    false,
  ]);
});
