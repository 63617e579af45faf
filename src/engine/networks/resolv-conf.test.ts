import { expect, test } from 'bun:test';
import { directResolvConf, internalResolvConf, parseResolvConf } from './resolv-conf.ts';

const none = { dns: [], dnsSearch: [], dnsOptions: [] };
const host = parseResolvConf(
  '# by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch a.example b.example\noptions timeout:1\n',
);

test('the default bridge gets the host file without loopback servers, and IPv6 ones only with IPv6', () => {
  expect(directResolvConf(host, none, false)).toBe('nameserver 192.0.2.53\nsearch a.example b.example\noptions timeout:1\n');
  expect(directResolvConf(host, none, true)).toContain('nameserver 2001:db8::53\n');
});

test('public servers when nothing else can be reached', () => {
  expect(directResolvConf(parseResolvConf('nameserver 127.0.0.1\n'), none, false)).toBe('nameserver 8.8.8.8\nnameserver 8.8.4.4\n');
});

test('what the user says replaces what the host says; a search domain "." means none', () => {
  const text = directResolvConf(host, { dns: ['9.9.9.9'], dnsSearch: ['.'], dnsOptions: ['ndots:2'] }, false);
  expect(text).toBe('nameserver 9.9.9.9\noptions ndots:2\n');
});

test('user-defined networks get the internal resolver and ndots:0 unless it is set', () => {
  const text = internalResolvConf(host, none, ['127.0.0.53']);
  expect(text).toStartWith('nameserver 127.0.0.11\nsearch a.example b.example\noptions timeout:1 ndots:0\n');
  expect(text).toContain('# ExtServers: [host(127.0.0.53)]');
  expect(internalResolvConf(host, { ...none, dnsOptions: ['ndots:5'] }, [])).toContain('options ndots:5\n');
});
