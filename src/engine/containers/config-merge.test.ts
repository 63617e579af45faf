import { describe, expect, test } from 'bun:test';
import { cleanPath, commandLine, mergeConfig } from './config-merge.ts';
import { aConfig } from './test-values.ts';

describe('mergeConfig()', () => {
  test('the user’s entrypoint drops the image’s command; a command alone keeps the image’s entrypoint', () => {
    const image = { Entrypoint: ['/entry'], Cmd: ['default'] };
    const line = (more: Parameters<typeof aConfig>[0]): string => commandLine(mergeConfig(aConfig(more), image)).join(' ');
    expect(line({})).toBe('/entry default');
    expect(line({ cmd: ['own'] })).toBe('/entry own');
    expect(line({ entrypoint: ['/mine'] })).toBe('/mine');
    expect(line({ entrypoint: ['/mine'], cmd: ['own'] })).toBe('/mine own');
    expect(line({ entrypoint: [''], cmd: ['own'] })).toBe('own');
  });

  test('nothing to run', () => {
    expect(() => commandLine(mergeConfig(aConfig(), {}))).toThrow('no command specified');
    expect(() => commandLine(mergeConfig(aConfig({ entrypoint: [''] }), { Cmd: ['x'] }))).toThrow('no command specified');
  });

  test('variables, labels, ports and volumes of both, the user’s first', () => {
    const merged = mergeConfig(aConfig({ env: ['A=mine'], labels: { a: 'mine' }, exposedPorts: ['80/tcp'], volumes: ['/v'] }), {
      Env: ['A=theirs', 'B=2'],
      Labels: { a: 'theirs', b: '2' },
      ExposedPorts: { '80': {}, '53/udp': {} },
      Volumes: { '/v': {}, '/w': {} },
    });
    expect(merged).toMatchObject({
      env: ['A=mine', 'B=2'],
      labels: { a: 'mine', b: '2' },
      exposedPorts: ['80/tcp', '53/udp'],
      volumes: ['/v', '/w'],
    });
  });

  test('user, directory, stop signal: the image’s when the user says nothing', () => {
    const image = { User: 'web', WorkingDir: '/srv//app/../x/', StopSignal: 'SIGQUIT', StopTimeout: 3 };
    expect(mergeConfig(aConfig(), image)).toMatchObject({
      user: 'web',
      workingDir: '/srv/x',
      stopSignal: 'SIGQUIT',
      stopTimeoutSeconds: 3,
    });
    expect(mergeConfig(aConfig({ user: '0', workingDir: '/', stopSignal: 'SIGINT', stopTimeoutSeconds: 0 }), image)).toMatchObject({
      user: '0',
      workingDir: '/',
      stopSignal: 'SIGINT',
      stopTimeoutSeconds: 0,
    });
  });

  test('of a health check only what the user says is replaced', () => {
    const image = { Healthcheck: { Test: ['CMD', 'true'], Interval: 5_000_000_000, Retries: 2 } };
    expect(mergeConfig(aConfig({ healthcheck: { Retries: 9, Interval: 0 } }), image).healthcheck).toEqual({
      Test: ['CMD', 'true'],
      Interval: 5_000_000_000,
      Retries: 9,
    });
  });
});

test('cleanPath() never climbs over the root', () => {
  expect(cleanPath('/a//b/./../c/')).toBe('/a/c');
  expect(cleanPath('/../../etc')).toBe('/etc');
  expect(cleanPath('/')).toBe('/');
});
