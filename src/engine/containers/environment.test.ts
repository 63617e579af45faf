import { expect, test } from 'bun:test';
import { containerEnvironment, execEnvironment } from './environment.ts';
import { aConfig } from './test-values.ts';

const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

test('a container: path, host name, terminal, links, its own, home', () => {
  expect(containerEnvironment(aConfig({ tty: true, env: ['A=1'] }), 'me', '/root', ['L=2'])).toEqual([
    path,
    'HOSTNAME=me',
    'TERM=xterm',
    'L=2',
    'A=1',
    'HOME=/root',
  ]);
});

test('what it says itself replaces, a bare name takes away, the last of one name counts', () => {
  expect(containerEnvironment(aConfig({ env: ['HOSTNAME=x', 'PATH', 'HOME=/h', 'A=1', 'A=2=3'] }), 'me', '/root', [])).toEqual([
    'HOSTNAME=x',
    'HOME=/h',
    'A=2=3',
  ]);
});

test('an exec: the container’s with its own on top, its own terminal', () => {
  const config = aConfig({ tty: true, env: ['A=1', 'B=1'] });
  expect(execEnvironment(config, { hostname: 'me', home: '/h', tty: false, env: ['B=2'], linked: [] })).toEqual([
    path,
    'HOSTNAME=me',
    'A=1',
    'B=2',
    'HOME=/h',
  ]);
});
