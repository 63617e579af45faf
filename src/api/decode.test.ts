import { expect, test } from 'bun:test';
import { decodeJson } from './decode.ts';
import { parseAuthHeader, formatAuthHeader } from './requests/auth.ts';
import { containerCreateRequest } from './requests/container.ts';
import { execCreateRequest } from './requests/exec.ts';

const create = (body: unknown) => decodeJson(JSON.stringify(body), containerCreateRequest, 'ContainerCreateRequest');

test('decode takes what clients send: null as unset, one string as a list, names in any case, unknown fields ignored', () => {
  expect(
    create({ Cmd: 'ls', Entrypoint: null, env: ['A=b'], Nonsense: 1, HostConfig: { memory: 7, CapAdd: ['ALL'], Init: null } }),
  ).toEqual({
    Cmd: ['ls'],
    Env: ['A=b'],
    HostConfig: { Memory: 7, CapAdd: ['ALL'] },
  });
});

test.each([
  [{ Tty: 'yes' }, 'cannot unmarshal string "yes" into field ContainerCreateRequest.Tty: expected true or false'],
  [{ HostConfig: { Memory: 'lots' } }, 'string "lots" into field ContainerCreateRequest.HostConfig.Memory: expected a whole number'],
  [{ HostConfig: { Memory: 1.5 } }, 'number 1.5 into field ContainerCreateRequest.HostConfig.Memory'],
  [{ Env: ['a', 3] }, 'number 3 into field ContainerCreateRequest.Env[1]: expected a string'],
  [{ Labels: ['a'] }, 'array ["a"] into field ContainerCreateRequest.Labels: expected an object'],
  [{ HostConfig: { PortBindings: { '80/tcp': [{ HostPort: 80 }] } } }, 'HostConfig.PortBindings["80/tcp"][0].HostPort: expected a string'],
  [[], 'array [] into field ContainerCreateRequest: expected an object'],
  [null, 'cannot unmarshal null into field ContainerCreateRequest: expected an object'],
])('decode of %j names the field and the value', (body, message) => {
  expect(() => create(body)).toThrow(message);
});

test('decode refuses what is no JSON, and text after it', () => {
  for (const text of ['{', '{} {}', 'nonsense']) expect(() => decodeJson(text, execCreateRequest, 'ExecConfig')).toThrow(/^invalid JSON: /);
});

test('a key called __proto__ is a key', () => {
  const decoded = decodeJson('{"Labels":{"__proto__":"x"}}', containerCreateRequest, 'C');
  expect(Object.keys(decoded.Labels ?? {})).toEqual(['__proto__']);
  expect(({} as Record<string, unknown>)['x']).toBeUndefined();
});

test('the credentials header is base64url, and what cannot be read counts as not sent', () => {
  const config = { username: 'u', password: '§?>~~', serveraddress: 'localhost:5000' };
  const header = formatAuthHeader(config);
  expect(header).toMatch(/^[A-Za-z0-9_-]+=*$/);
  expect(parseAuthHeader(header)).toEqual(config);
  for (const bad of [undefined, '', 'e30=', 'not base64!', Buffer.from('[1]').toString('base64url')])
    expect(parseAuthHeader(bad)).toBeUndefined();
});
