import { expect, test } from 'bun:test';
import { proxyFor, takeProxies, withoutPassword } from './proxies.ts';

const http = 'http://proxy:3128';
const https = 'http://secure:3128';

test.each([
  ['http://registry.example/v2/', '', http],
  ['https://registry.example/v2/', '', https],
  ['http://127.0.0.1:5000/v2/', '', undefined],
  ['http://[::1]:5000/v2/', '', undefined],
  ['http://localhost:5000/v2/', '', undefined],
  ['https://registry.example/', '*', undefined],
  ['https://registry.example/', 'registry.example', undefined],
  ['https://a.registry.example/', 'registry.example', undefined],
  ['https://myregistry.example/', 'registry.example', https],
  ['https://registry.example/', '.registry.example', https],
  ['https://a.registry.example/', ' other , .registry.example ', undefined],
  ['https://a.registry.example/', '*.registry.example', undefined],
  ['https://registry.example:5000/', 'registry.example:5000', undefined],
  ['https://registry.example/', 'registry.example:443', undefined],
  ['https://registry.example:5000/', 'registry.example:6000', https],
  ['https://10.1.2.3/', '10.0.0.0/8', undefined],
  ['https://11.1.2.3/', '10.0.0.0/8', https],
  ['https://[fd00::5]:5000/', 'fd00::/8', undefined],
  ['https://10.1.2.3:5000/', '10.1.2.3', undefined],
])('%s without %p goes through %p', (url, none, expected) => {
  expect(proxyFor(new URL(url), { http, https, none })).toBe(expected as string);
});

test('what the operator set comes before the environment, which is emptied', () => {
  const env: Record<string, string | undefined> = {
    HTTP_PROXY: 'big:1',
    http_proxy: 'small:1',
    https_proxy: 'http://small:2',
    NO_PROXY: 'a',
    PATH: 'x',
  };
  expect(takeProxies(env, { https: 'http://given:3', http: '', none: '' })).toEqual({
    http: 'http://big:1',
    https: 'http://given:3',
    none: 'a',
  });
  expect(env).toEqual({ PATH: 'x' });
});

test('a proxy that is no web address is refused without its password', () => {
  expect(() => takeProxies({}, { http: 'socks5://me:secret@proxy:1080' })).toThrow(
    'invalid proxy "socks5://xxxxx:xxxxx@proxy:1080": expected an address such as http://proxy.example.com:3128',
  );
  expect(withoutPassword('me:secret@proxy:3128')).toBe('xxxxx:xxxxx@proxy:3128');
});
