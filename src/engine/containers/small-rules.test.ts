import { describe, expect, test } from 'bun:test';
import { resolveCapabilities } from './capabilities.ts';
import { parseDeviceRule, resolveDevices } from './devices.ts';
import { requestedEndpoints } from './network-request.ts';
import { parseNumberList } from './number-ranges.ts';
import { parseSecurityOptions } from './security-options.ts';
import { parseSignal } from '#base/signals.ts';
import { toStartFailure } from './start-failure.ts';
import { aHostConfig, someHost } from './test-values.ts';
import { tmpfsOptions } from './tmpfs-options.ts';

test('parseSignal(): names, numbers, real-time signals', () => {
  for (const text of ['9', 'KILL', 'sigkill', 'SIGKILL']) expect(parseSignal(text)).toBe(9);
  expect([parseSignal('RTMIN'), parseSignal('SIGRTMIN+3'), parseSignal('RTMAX-1'), parseSignal('64')]).toEqual([34, 37, 63, 64]);
  for (const text of ['0', '65', 'NOPE', 'RTMIN+31', 'RTMAX+1']) expect(() => parseSignal(text)).toThrow(`invalid signal: ${text}`);
});

test('parseNumberList()', () => {
  expect(parseNumberList('0-2,5')).toEqual([0, 1, 2, 5]);
  for (const text of ['', 'a', '2-1', '1,', '1--2']) expect(parseNumberList(text)).toBeUndefined();
});

test('resolveCapabilities(): add and drop, ALL, privileged', () => {
  const known = ['CAP_CHOWN', 'CAP_KILL', 'CAP_SYS_ADMIN'];
  const of = (add: string[], drop: string[], privileged = false): string[] => resolveCapabilities({ add, drop, privileged }, known);
  expect(of([], [])).toEqual(['CAP_CHOWN', 'CAP_KILL']);
  expect(of(['sys_admin'], ['CAP_CHOWN'])).toEqual(['CAP_KILL', 'CAP_SYS_ADMIN']);
  expect(of(['ALL'], ['KILL'])).toEqual(['CAP_CHOWN', 'CAP_SYS_ADMIN']);
  expect(of(['KILL'], ['all'])).toEqual(['CAP_KILL']);
  expect(of([], ['ALL'], true)).toEqual(known);
});

test('parseSecurityOptions(): both ways to write them', () => {
  expect(parseSecurityOptions(['no-new-privileges:true', 'label=disable', 'apparmor:x', 'systempaths=unconfined'])).toEqual({
    noNewPrivileges: true,
    seccomp: undefined,
    appArmor: 'x',
    labelDisabled: true,
    systemPathsUnconfined: true,
  });
  expect(parseSecurityOptions([]).noNewPrivileges).toBeUndefined();
});

test('tmpfsOptions(): defaults give way to their opposite', () => {
  expect(tmpfsOptions('')).toEqual(['noexec', 'nosuid', 'nodev', 'rprivate']);
  expect(tmpfsOptions('rw,exec,dev,size=1m')).toEqual(['nosuid', 'rw', 'exec', 'dev', 'size=1m', 'rprivate']);
});

describe('devices', () => {
  test('rules', () => {
    expect(parseDeviceRule('c 10:* rw')).toEqual({ allow: true, type: 'c', major: 10, access: 'rw' });
    expect(parseDeviceRule('a *:* rwm')).toEqual({ allow: true, type: 'a', access: 'rwm' });
    for (const rule of ['x 1:1 r', 'c 1 r', 'c 1:1', 'c 1:1 x']) {
      expect(() => parseDeviceRule(rule)).toThrow(`invalid device cgroup rule format: '${rule}'`);
    }
  });

  const mapped = (pathOnHost: string, cgroupPermissions = '') =>
    resolveDevices(aHostConfig({ devices: [{ pathOnHost, pathInContainer: '', cgroupPermissions }] }), someHost());

  test('one of the host keeps its name and mode', () => {
    expect(mapped('/dev/sda').nodes).toEqual([
      { source: '/dev/sda', path: '/dev/sda', type: 'b', major: 8, minor: 0, fileMode: 0o660, uid: 0, gid: 6 },
    ]);
  });

  test('what is none is refused', () => {
    const gathering = (path: string): string => `error gathering device information while adding custom device "${path}"`;
    expect(() => mapped('/dev/nope')).toThrow(`${gathering('/dev/nope')}: no such file or directory`);
    expect(() => mapped('/etc/passwd')).toThrow(`${gathering('/etc/passwd')}: not a device node`);
    expect(() => mapped('/dev/sda', 'rx')).toThrow('permissions must be of r, w and m, not "rx"');
  });
});

test('requestedEndpoints(): the network of the mode and those with settings', () => {
  const of = (networkMode: string, endpoints = {}): object => requestedEndpoints(aHostConfig({ networkMode }), endpoints);
  expect(of('bridge')).toEqual({ bridge: {} });
  expect(of('bridge', { default: { aliases: ['a'] } })).toEqual({ bridge: { aliases: ['a'] } });
  expect(of('mine', { other: {} })).toEqual({ mine: {}, other: {} });
  expect(of('none', { other: {} })).toEqual({ none: {} });
  expect(of('container:x', { other: {} })).toEqual({});
});

test('toStartFailure(): exit codes as clients know them', () => {
  const code = (text: string): number => toStartFailure(new Error(text)).exitCode;
  expect(code('exec: "nope": executable file not found in $PATH: unknown')).toBe(127);
  expect(code('stat /x: no such file or directory')).toBe(127);
  expect(code('exec: "/etc": permission denied')).toBe(126);
  expect(code('exec: "/etc": is a directory')).toBe(126);
  expect(code('exec format error')).toBe(126);
  expect(code('address already in use')).toBe(128);
  expect(toStartFailure(new Error('OCI runtime create failed: mount /a to /b: not a directory')).error.message).toContain(
    'Are you trying to mount a directory onto a file',
  );
});
