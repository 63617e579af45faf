import { describe, expect, test } from 'bun:test';
import { invalidArgument } from '#base/errors.ts';
import type { LogConfig } from '#core/logs.ts';
import { checkRequest } from './check-config.ts';
import type { ContainerConfig, HostConfig, RestartPolicy } from './model.ts';
import { aConfig, aHostConfig, everyLimit, someHost, someOptions } from './test-values.ts';

const checked = (hostConfig: Partial<HostConfig>, config: Partial<ContainerConfig> = {}, host = someHost()) =>
  checkRequest(aConfig(config), aHostConfig(hostConfig), { options: someOptions(), host, logs }).warnings;

const logs = {
  check(config: LogConfig): void {
    if (config.type === 'json-file' && Object.keys(config.config).length === 0) return;
    throw invalidArgument(`refused by the driver: ${JSON.stringify(config)}`);
  },
};

const refused = (hostConfig: Partial<HostConfig>, config: Partial<ContainerConfig> = {}, host = someHost()): string => {
  try {
    checked(hostConfig, config, host);
  } catch (err) {
    expect(err).toMatchObject({ kind: 'InvalidArgument' });
    return err instanceof Error ? err.message : '';
  }
  return 'not refused';
};

test('a container that asks for nothing is fine', () => expect(checked({})).toEqual([]));

describe('config', () => {
  const cases: readonly [string, Partial<ContainerConfig>, string][] = [
    ['relative directory', { workingDir: 'a' }, "the working directory 'a' is invalid, it needs to be an absolute path"],
    ['nameless variable', { env: ['=x'] }, 'invalid environment variable: =x'],
    ['empty variable', { env: [''] }, 'invalid environment variable: '],
    ['null in a variable', { env: ['A=\0'] }, 'invalid environment variable: it must not contain a null character'],
    ['long host name', { hostname: 'x'.repeat(65) }, `invalid hostname format: ${'x'.repeat(65)}`],
    ['host name with a space', { hostname: 'a b' }, 'invalid hostname format: a b'],
    ['stop signal', { stopSignal: 'SIGNOPE' }, 'invalid signal: SIGNOPE'],
    ['health interval', { healthcheck: { Interval: 5 } }, 'Interval in Healthcheck cannot be less than 1ms'],
    ['health retries', { healthcheck: { Retries: -1 } }, 'Retries in Healthcheck cannot be negative'],
    ['exposed port', { exposedPorts: ['http/tcp'] }, 'invalid port specification: "http/tcp"'],
  ];
  for (const [what, config, text] of cases) test(what, () => expect(refused({}, config)).toBe(text));
});

describe('host config', () => {
  const policy = (name: string, maximumRetryCount = 0): Partial<HostConfig> => ({
    restartPolicy: { name, maximumRetryCount } as RestartPolicy,
  });
  const cases: readonly [string, Partial<HostConfig>, string][] = [
    ['--rm with a policy', { autoRemove: true, ...policy('always') }, "can't create 'AutoRemove' container with restart policy"],
    [
      'unknown policy',
      policy('sometimes'),
      "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
    ],
    ['a count for always', policy('always', 1), "invalid restart policy: maximum retry count can only be used with 'on-failure'"],
    [
      'a negative count for always',
      policy('always', -1),
      "invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative",
    ],
    ['a negative count', policy('on-failure', -1), 'invalid restart policy: maximum retry count cannot be negative'],
    ['port', { portBindings: { '70000/tcp': [] } }, 'invalid port specification: "70000/tcp"'],
    ['port range', { portBindings: { '9-8/tcp': [] } }, 'invalid port specification: "9-8/tcp"'],
    ['host port', { portBindings: { '80/tcp': [{ hostIp: '', hostPort: 'x' }] } }, 'invalid port specification: "x"'],
    ['host address', { portBindings: { '80/tcp': [{ hostIp: 'here', hostPort: '' }] } }, 'invalid IP address in port binding: "here"'],
    ['extra host', { extraHosts: ['nohost'] }, 'bad format for add-host: "nohost"'],
    ['extra host’s address', { extraHosts: ['a:b'] }, 'invalid IP address in add-host: "b"'],
    ['dns', { dns: ['x'] }, 'bad format for dns: invalid IP address: x'],
    ['capability', { capAdd: ['FLY'] }, 'invalid CapAdd: unknown capability: "CAP_FLY"'],
    [
      'capability of another kernel',
      { capAdd: ['BPF'] },
      'invalid CapAdd: capability not supported by your kernel or not available in the current environment: "CAP_BPF"',
    ],
    ['security option', { securityOpt: ['nope'] }, 'invalid --security-opt 1: "nope"'],
    ['security option with a value', { securityOpt: ['nope=1'] }, 'invalid --security-opt 2: "nope=1"'],
    [
      'seccomp profile',
      { securityOpt: ['seccomp={}'] },
      'Decoding seccomp profile failed: it must be an object with a defaultAction, such as "SCMP_ACT_ERRNO"',
    ],
    ['runtime', { runtime: 'nope' }, 'unknown or invalid runtime name: nope'],
    ['log driver', { logConfig: { type: 'nope', config: {} } }, 'refused by the driver: {"type":"nope","config":{}}'],
    [
      'log option of the default driver',
      { logConfig: { type: '', config: { nope: '1' } } },
      'refused by the driver: {"type":"json-file","config":{"nope":"1"}}',
    ],
    ['isolation', { isolation: 'hyperv' }, 'Invalid isolation: "hyperv" - linux only supports \'default\''],
    [
      'kernel settings of the host’s IPC',
      { ipcMode: 'host', sysctls: { 'kernel.shmmax': '1' } },
      'sysctl "kernel.shmmax" is not allowed in the hosts ipc namespace',
    ],
    [
      'storage option',
      { storageOpt: { speed: '1G' } },
      'unknown storage option "speed": there is only size, such as --storage-opt size=10G',
    ],
    ['storage size', { storageOpt: { size: 'big' } }, 'invalid storage option size="big": invalid size: \'big\''],
    ['network of nobody', { networkMode: 'container:' }, 'Invalid network mode: invalid container format container:<name|id>'],
    [
      'links and the host’s network',
      { networkMode: 'host', links: ['a'] },
      "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
    ],
    ['dns and another’s network', { networkMode: 'container:x', dns: ['1.1.1.1'] }, 'conflicting options: dns and the network mode'],
    [
      'ports and another’s network',
      { networkMode: 'container:x', publishAllPorts: true },
      'conflicting options: port publishing and the container type network mode',
    ],
    ['ipc', { ipcMode: 'nope' }, 'invalid IPC mode: nope'],
    ['pid', { pidMode: 'container:' }, 'invalid PID mode: container:'],
    ['uts', { utsMode: 'container:x' }, 'invalid UTS mode: container:x'],
    ['userns', { usernsMode: 'remap' }, 'invalid user namespace mode: remap'],
    [
      'network settings of the host',
      { networkMode: 'host', sysctls: { 'net.core.somaxconn': '1' } },
      'sysctl "net.core.somaxconn" not allowed in host network namespace',
    ],
  ];
  for (const [what, hostConfig, text] of cases) test(what, () => expect(refused(hostConfig)).toBe(text));

  test('what contradicts a name or port of its own', () => {
    expect(refused({ networkMode: 'container:x' }, { hostname: 'me' })).toBe('conflicting options: hostname and the network mode');
    expect(refused({ networkMode: 'container:x' }, { exposedPorts: ['1/tcp'] })).toBe(
      'conflicting options: port exposing and the container type network mode',
    );
    expect(refused({ networkMode: 'container:x' }, { macAddress: '00:00:00:00:00:01' })).toBe(
      'conflicting options: mac-address and the network mode',
    );
    expect(refused({ utsMode: 'host' }, { hostname: 'me' })).toBe('conflicting options: hostname and the UTS mode');
  });
});

describe('resources', () => {
  const cases: readonly [Partial<HostConfig>, string][] = [
    [{ memoryBytes: 1024 }, 'Minimum memory limit allowed is 6MB'],
    [{ memoryBytes: 10_000_000, memorySwapBytes: 7_000_000 }, 'Minimum memoryswap limit should be larger than memory limit, see usage'],
    [{ memorySwapBytes: 7_000_000 }, 'You should always set the Memory limit when using Memoryswap limit, see usage'],
    [{ memorySwappiness: 101 }, 'Invalid value: 101, valid memory swappiness range is 0-100'],
    [{ memoryReservationBytes: 1 }, 'Minimum memory reservation allowed is 6MB'],
    [
      { memoryBytes: 10_000_000, memoryReservationBytes: 11_000_000 },
      'Minimum memory limit can not be less than memory reservation limit, see usage',
    ],
    [{ nanoCpus: 1e9, cpuPeriod: 1000 }, 'Conflicting options: Nano CPUs and CPU Period cannot both be set'],
    [{ nanoCpus: 1e9, cpuQuota: 1000 }, 'Conflicting options: Nano CPUs and CPU Quota cannot both be set'],
    [{ nanoCpus: 5e9 }, 'range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available'],
    [{ nanoCpus: -1 }, 'range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available'],
    [{ cpuPeriod: 10 }, 'CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)'],
    [{ cpuQuota: 10 }, 'CPU cfs quota can not be less than 1ms (i.e. 1000)'],
    [{ cpuRealtimePeriod: 1, cpuRealtimeRuntime: 2 }, 'cpu real-time runtime cannot be higher than cpu real-time period'],
    [{ cpusetCpus: 'x' }, 'Invalid value x for cpuset cpus: invalid format: x'],
    [{ cpusetCpus: '2-9' }, 'Requested CPUs are not available - requested 2-9, available: 0-3'],
    [{ cpusetMems: '3' }, 'Requested memory nodes are not available - requested 3, available: 0'],
    [{ blkioWeight: 5 }, 'Range of blkio weight is from 10 to 1000'],
    [{ blkioWeightDevice: [{ path: '/dev/sda', weight: 1001 }] }, 'Range of blkio weight is from 10 to 1000'],
    [{ cpuShares: -1 }, 'invalid CPU shares (-1): value must be a positive integer'],
    [{ cpuShares: 1 }, 'the minimum allowed cpu-shares is 2'],
    [{ cpuShares: 262_145 }, 'the maximum allowed cpu-shares is 262144'],
    [{ oomScoreAdj: 1001 }, 'Invalid value 1001, range for oom score adj is [-1000, 1000]'],
    [{ shmSizeBytes: -1 }, 'SHM size can not be less than 0'],
    [{ ulimits: [{ name: 'nope', soft: 1, hard: 1 }] }, 'invalid ulimit type: nope'],
    [{ ulimits: [{ name: 'nofile', soft: 2, hard: 1 }] }, 'ulimit soft limit must be less than or equal to hard limit: 2 > 1'],
  ];
  for (const [hostConfig, text] of cases) test(text, () => expect(refused(hostConfig)).toBe(text));

  test('what the kernel cannot do is a warning, and left out', () => {
    const cannot = (...lacks: (keyof typeof everyLimit)[]) =>
      someHost({ limits: { ...everyLimit, ...Object.fromEntries(lacks.map(limit => [limit, false])) } });
    const without = (hostConfig: Partial<HostConfig>, ...lacks: (keyof typeof everyLimit)[]) => {
      const { limits, warnings } = checkRequest(aConfig(), aHostConfig(hostConfig), {
        options: someOptions(),
        host: cannot(...lacks),
        logs,
      });
      return { warnings, left: Object.fromEntries(Object.keys(hostConfig).map(key => [key, limits[key as keyof HostConfig]])) };
    };
    expect(without({ memoryBytes: 10_000_000, memorySwapBytes: 0 }, 'swapLimit')).toEqual({
      warnings: ['Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.'],
      left: { memoryBytes: 10_000_000, memorySwapBytes: -1 },
    });
    expect(without({ memoryBytes: 10_000_000, memorySwapBytes: 20_000_000 }, 'memoryLimit')).toEqual({
      warnings: ['Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.'],
      left: { memoryBytes: 0, memorySwapBytes: -1 },
    });
    expect(without({ memorySwappiness: 500 }, 'memorySwappiness')).toEqual({
      warnings: ['Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.'],
      left: { memorySwappiness: undefined },
    });
    expect(without({ memoryReservationBytes: 10 }, 'memoryReservation')).toEqual({
      warnings: ['Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.'],
      left: { memoryReservationBytes: 0 },
    });
    expect(without({ oomKillDisable: true }, 'oomKillDisable')).toEqual({
      warnings: ['Your kernel does not support OomKillDisable. OomKillDisable discarded.'],
      left: { oomKillDisable: undefined },
    });
    expect(without({ oomKillDisable: false }, 'oomKillDisable').warnings).toEqual([]);
    expect(without({ pidsLimit: 5 }, 'pidsLimit')).toEqual({
      warnings: ['Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.'],
      left: { pidsLimit: undefined },
    });
    expect(without({ cpuShares: 5 }, 'cpuShares')).toEqual({
      warnings: ['Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.'],
      left: { cpuShares: 0 },
    });
    expect(without({ cpuPeriod: 1, cpuQuota: 1 }, 'cpuCfsQuota')).toEqual({
      warnings: ['Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.'],
      left: { cpuPeriod: 0, cpuQuota: 0 },
    });
    expect(without({ cpusetCpus: '99', cpusetMems: 'x' }, 'cpuSet')).toEqual({
      warnings: ['Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.'],
      left: { cpusetCpus: '', cpusetMems: '' },
    });
    expect(refused({ nanoCpus: 1e9 }, {}, cannot('cpuCfsQuota'))).toBe(
      'NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted',
    );
    expect(refused({ cpuRealtimeRuntime: 1 }, {}, cannot('cpuRealtime'))).toBe('kernel does not support CPU real-time scheduler');
    expect(checked({ oomKillDisable: true })).toEqual([
      'OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.',
    ]);
    const blkio = {
      blkioWeight: 100,
      blkioWeightDevice: [{ path: '/dev/sda', weight: 100 }],
      blkioDeviceWriteIops: [{ path: '/dev/sda', rate: 1 }],
    };
    expect(checked(blkio, {}, cannot('blkioWeight', 'blkioThrottle'))).toEqual([
      'Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.',
      'Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.',
      'Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.',
    ]);
    expect(checked(blkio)).toEqual([]);
  });
});
