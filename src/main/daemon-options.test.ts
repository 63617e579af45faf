import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDaemonFlags } from './daemon-flags.ts';
import { resolveDaemonOptions } from './daemon-options.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'berth-options-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const optionsFor = (argv: readonly string[], config?: unknown) => {
  const file = join(dir, 'daemon.json');
  writeFileSync(file, config === undefined ? '{}' : JSON.stringify(config));
  return resolveDaemonOptions(parseDaemonFlags(['--config-file', file, ...argv]));
};

describe('daemon options', () => {
  test('come from flags in all their spellings', () => {
    const options = optionsFor(['-H', 'unix:///a', '-Htcp://127.0.0.1:1', '--host=/b', '-D', '--icc=false', '--log-opt', 'a=b=c']);
    expect(options.hosts).toEqual(['unix:///a', 'tcp://127.0.0.1:1', 'unix:///b']);
    expect(options.debug).toBe(true);
    expect(options.icc).toBe(false);
    expect(options.logOpts).toEqual({ a: 'b=c' });
    expect(optionsFor(['--cpu-rt-runtime', '950000']).cpuRealtimeRuntimeUs).toBe(950_000);
  });

  test('come from the configuration file', () => {
    const options = optionsFor([], {
      hosts: ['unix:///x'],
      runtimes: { gvisor: { path: '/bin/runsc', runtimeArgs: ['--debug'] } },
      'default-ulimits': { nofile: { Name: 'nofile', Soft: 1, Hard: 2 } },
      'default-address-pools': [{ base: '10.9.0.0/16', size: 24 }],
      'log-opts': { 'max-size': '1m' },
    });
    expect(options.hosts).toEqual(['unix:///x']);
    expect(options.runtimes).toEqual([{ name: 'gvisor', path: '/bin/runsc', args: ['--debug'] }]);
    expect(options.defaultUlimits).toEqual([{ name: 'nofile', soft: 1, hard: 2 }]);
    expect(options.defaultAddressPools).toEqual([{ base: '10.9.0.0/16', size: 24 }]);
    expect(options.logOpts).toEqual({ 'max-size': '1m' });
  });

  test('tlsverify implies TLS', () => {
    expect(optionsFor(['--tlsverify']).tls).toMatchObject({ enabled: true, verify: true });
  });

  test.each([
    [['--nope'], 'unknown flag: --nope'],
    [['-x'], "unknown shorthand flag: 'x' in -x"],
    [['word'], 'unexpected argument "word"'],
    [['--mtu'], 'flag needs an argument: --mtu'],
    [['--mtu', 'big'], 'invalid argument "big" for --mtu: expected a whole number'],
    [['--icc=maybe'], 'invalid argument "maybe" for --icc: expected true or false'],
    [['--log-level', 'loud'], 'invalid --log-level "loud"'],
    [['-H', 'ftp://x'], 'invalid --host "ftp://x"'],
    [['--default-ulimit', 'nofile=9:3'], 'soft limit 9 is above the hard limit 3'],
    [['--registry-mirror', 'mirror.local'], 'invalid mirror "mirror.local"'],
    [['--storage-opt', 'dm.basesize=10G'], 'invalid --storage-opt "dm.basesize=10G": expected DRIVER.size=SIZE'],
    [['--storage-opt', 'overlay2.size=big'], 'invalid --storage-opt overlay2.size "big"'],
    [['--storage-driver', 'zfs'], 'invalid --storage-driver "zfs": expected overlay2, btrfs, fuse-overlayfs, vfs'],
    [['--exec-opt', 'native.cgroupdriver=nope'], 'native.cgroupdriver option nope not supported'],
    [['--exec-opt', 'nonsense'], 'invalid --exec-opt "nonsense"'],
  ])('%p is refused', (argv, message) => {
    expect(() => optionsFor(argv)).toThrow(message);
  });

  test('limits of storage drivers; what says how they are to check is taken', () => {
    const opts = ['overlay2.override_kernel_check=true', 'overlay2.size=10G'];
    expect(optionsFor([], { 'storage-opts': opts }).storageSizes).toEqual({ overlay2: 10 * 1024 ** 3 });
  });

  test('a setting in both places is refused with both values', () => {
    expect(() => optionsFor(['--mtu', '1400'], { mtu: 1300 })).toThrow('mtu: (from flag: 1400, from file: 1300)');
  });

  test('unknown keys and wrong types in the file are named', () => {
    expect(() => optionsFor([], { colour: 'red' })).toThrow("don't match any configuration option: colour");
    expect(() => optionsFor([], { debug: 'yes' })).toThrow('"debug" must be true or false, not "yes"');
  });

  test('a file that is not JSON is refused, a missing one only when it was named', () => {
    const file = join(dir, 'daemon.json');
    writeFileSync(file, '{');
    expect(() => resolveDaemonOptions(parseDaemonFlags(['--config-file', file]))).toThrow('is not valid JSON');
    expect(() => resolveDaemonOptions(parseDaemonFlags(['--config-file', join(dir, 'none.json')]))).toThrow('unable to read');
  });
});
