import { describe, expect, test } from 'bun:test';
import type { RuntimeSpec } from '#oci/runtime-spec.ts';
import type { ContainerConfig, HostConfig } from './model.ts';
import { buildSpec, type SpecInput, systemPaths } from './spec.ts';
import { aConfig, aContainer, aHostConfig, aMount, aMountRequest, everyLimit, someHost, someOptions } from './test-values.ts';

const input = (more: Partial<SpecInput> = {}): SpecInput => ({
  container: aContainer(),
  rootPath: '/layers/1/merged',
  mountSources: new Map(),
  singleFiles: new Set(),
  frozen: new Set(),
  files: new Map(),
  user: { uid: 0, gid: 0, additionalGids: [], home: '/root' },
  linkedEnvironment: [],
  network: { kind: 'path', path: '/run/netns/x' },
  userNamespace: undefined,
  joined: {},
  shmPath: undefined,
  options: someOptions(),
  host: someHost(),
  ...more,
});

const specOf = (hostConfig: Partial<HostConfig>, more: Partial<SpecInput> = {}): RuntimeSpec =>
  buildSpec(input({ container: aContainer({ hostConfig: aHostConfig(hostConfig) }), ...more }));
const specOfConfig = (config: Partial<ContainerConfig>, more: Partial<SpecInput> = {}): RuntimeSpec =>
  buildSpec(input({ container: aContainer({ config: aConfig(config) }), ...more }));
const mountAt = (spec: RuntimeSpec, destination: string) => spec.mounts.filter(mount => mount.destination === destination);
const namespaceTypes = (spec: RuntimeSpec): string[] => spec.linux.namespaces.map(namespace => namespace.type).toSorted();

describe('process', () => {
  test('arguments, directory, user and environment', () => {
    const spec = specOfConfig(
      { hostname: 'me', tty: true, workingDir: '/work', env: ['A=1', 'PATH=/bin'] },
      { user: { uid: 5, gid: 6, additionalGids: [7], home: '/home/me' }, linkedEnvironment: ['DB_PORT=tcp://1.2.3.4:5'] },
    );
    expect(spec.process).toMatchObject({
      terminal: true,
      args: ['sh', '-c', 'true'],
      cwd: '/work',
      user: { uid: 5, gid: 6, additionalGids: [7] },
      env: ['PATH=/bin', 'HOSTNAME=me', 'TERM=xterm', 'DB_PORT=tcp://1.2.3.4:5', 'A=1', 'HOME=/home/me'],
    });
    expect(specOf({}).process.cwd).toBe('/');
  });

  test('an init process comes first, as a file of the host, but not in a process namespace of others', () => {
    const spec = specOf({ init: true });
    expect(spec.process.args).toEqual(['/sbin/docker-init', '--', 'sh', '-c', 'true']);
    expect(mountAt(spec, '/sbin/docker-init')).toEqual([
      { destination: '/sbin/docker-init', type: 'bind', source: '/usr/bin/tini', options: ['bind', 'ro'] },
    ]);
    expect(specOf({}, { options: someOptions({ init: true }) }).process.args[0]).toBe('/sbin/docker-init');
    expect(specOf({ init: false }, { options: someOptions({ init: true }) }).process.args[0]).toBe('sh');
    expect(specOf({ pidMode: 'host' }, { options: someOptions({ init: true }) }).process.args[0]).toBe('sh');
  });

  test('limits of the daemon are replaced by those of the container; -1 is no limit', () => {
    const options = someOptions({
      defaultUlimits: [
        { name: 'nofile', soft: 1, hard: 2 },
        { name: 'nproc', soft: 3, hard: 4 },
      ],
    });
    const limits = specOf({ ulimits: [{ name: 'nofile', soft: 10, hard: -1 }] }, { options }).process.rlimits;
    expect(JSON.parse(JSON.stringify(limits, (_, value: unknown) => value))).toMatchObject([
      { type: 'RLIMIT_NOFILE', soft: 10 },
      { type: 'RLIMIT_NPROC', soft: 3, hard: 4 },
    ]);
    expect(JSON.stringify(limits)).toContain('"hard":18446744073709551615');
  });

  test('console size, out-of-memory score', () => {
    expect(specOf({ consoleSize: [24, 80], oomScoreAdj: 500 }).process).toMatchObject({
      consoleSize: { height: 24, width: 80 },
      oomScoreAdj: 500,
    });
    expect(specOf({}).process).not.toHaveProperty('consoleSize');
  });
});

describe('security', () => {
  test('capabilities are bounding, effective and permitted, never inheritable or ambient', () => {
    expect(specOf({ capDrop: ['ALL'], capAdd: ['KILL'] }).process.capabilities).toEqual({
      bounding: ['CAP_KILL'],
      effective: ['CAP_KILL'],
      permitted: ['CAP_KILL'],
      inheritable: [],
      ambient: [],
    });
  });

  test('no-new-privileges: the container’s word, else the daemon’s', () => {
    const of = (securityOpt: string[], byDefault: boolean) =>
      specOf({ securityOpt }, { options: someOptions({ noNewPrivileges: byDefault }) }).process.noNewPrivileges;
    expect(of([], false)).toBe(false);
    expect(of([], true)).toBe(true);
    expect(of(['no-new-privileges'], false)).toBe(true);
    expect(of(['no-new-privileges=false'], true)).toBe(false);
  });

  test('seccomp: built in, none, the daemon’s, the container’s own', () => {
    const profile = '{"defaultAction":"SCMP_ACT_LOG"}';
    const actionOf = (hostConfig: Partial<HostConfig>, seccompProfile = 'builtin') =>
      specOf(hostConfig, { options: someOptions({ seccompProfile }) }).linux.seccomp?.defaultAction;
    expect(actionOf({})).toBe('SCMP_ACT_ERRNO');
    expect(actionOf({ securityOpt: ['seccomp=unconfined'] })).toBeUndefined();
    expect(actionOf({}, 'unconfined')).toBeUndefined();
    expect(actionOf({}, profile)).toBe('SCMP_ACT_LOG');
    expect(actionOf({ securityOpt: ['seccomp=builtin'] }, profile)).toBe('SCMP_ACT_ERRNO');
    expect(actionOf({ securityOpt: [`seccomp=${profile}`] })).toBe('SCMP_ACT_LOG');
    expect(actionOf({ privileged: true })).toBeUndefined();
    expect(actionOf({ privileged: true }, profile)).toBeUndefined();
    expect(actionOf({ privileged: true, securityOpt: [`seccomp=${profile}`] })).toBe('SCMP_ACT_LOG');
  });

  test('AppArmor only where the kernel has it', () => {
    const securityOpt = ['apparmor=mine'];
    expect(specOf({ securityOpt }).process).not.toHaveProperty('apparmorProfile');
    expect(specOf({ securityOpt }, { host: someHost({ appArmor: true }) }).process.apparmorProfile).toBe('mine');
  });

  test('paths that are masked or read-only', () => {
    expect(specOf({ maskedPaths: ['/proc/kcore'], readonlyPaths: ['/proc/sys'] }).linux).toMatchObject({
      maskedPaths: ['/proc/kcore'],
      readonlyPaths: ['/proc/sys'],
    });
    expect(systemPaths(false, [], someHost({ cpuCount: 1 })).maskedPaths).toContain('/sys/devices/system/cpu/cpu0/thermal_throttle');
    expect(systemPaths(false, [], someHost()).readonlyPaths).toContain('/proc/sysrq-trigger');
    expect(systemPaths(true, [], someHost())).toEqual({ maskedPaths: [], readonlyPaths: [] });
    expect(systemPaths(false, ['systempaths=unconfined'], someHost())).toEqual({ maskedPaths: [], readonlyPaths: [] });
  });

  test('a privileged container gets every device and may write to /sys', () => {
    const spec = specOf({ privileged: true });
    expect(spec.linux.devices?.map(device => device.path)).toEqual(['/dev/null', '/dev/sda']);
    expect(spec.linux.resources?.devices).toEqual([{ allow: true, access: 'rwm' }]);
    expect(mountAt(spec, '/sys')[0]?.options).not.toContain('ro');
    expect(mountAt(specOf({}), '/sys')[0]?.options).toContain('ro');
  });
});

describe('namespaces', () => {
  test('one of each, the network’s by its path', () => {
    const spec = specOf({});
    expect(namespaceTypes(spec)).toEqual(['cgroup', 'ipc', 'mount', 'network', 'pid', 'uts']);
    expect(spec.linux.namespaces).toContainEqual({ type: 'network', path: '/run/netns/x' });
    expect(specOf({}, { network: { kind: 'new' } }).linux.namespaces).toContainEqual({ type: 'network' });
  });

  test('the host’s where asked for', () => {
    const spec = specOf({ pidMode: 'host', ipcMode: 'host', utsMode: 'host', cgroupnsMode: 'host' }, { network: { kind: 'host' } });
    expect(namespaceTypes(spec)).toEqual(['mount']);
    expect(spec).not.toHaveProperty('hostname');
  });

  test('those of other containers', () => {
    const spec = specOf({ pidMode: 'container:x', ipcMode: 'container:x' }, { joined: { pid: '/proc/7/ns/pid', ipc: '/proc/7/ns/ipc' } });
    expect(spec.linux.namespaces).toContainEqual({ type: 'pid', path: '/proc/7/ns/pid' });
    expect(spec.linux.namespaces).toContainEqual({ type: 'ipc', path: '/proc/7/ns/ipc' });
  });

  test('host and domain name', () => {
    expect(specOfConfig({ hostname: 'me', domainname: 'example.test' })).toMatchObject({ hostname: 'me', domainname: 'example.test' });
  });

  test('kernel settings of the network only where it is the container’s own', () => {
    expect(specOf({ sysctls: { 'kernel.msgmax': '1' } }).linux.sysctl).toEqual({
      'net.ipv4.ping_group_range': '0 2147483647',
      'net.ipv4.ip_unprivileged_port_start': '0',
      'kernel.msgmax': '1',
    });
    expect(specOf({}, { network: { kind: 'host' } }).linux.sysctl).toEqual({});
    expect(specOf({ networkMode: 'container:x' }).linux.sysctl).toEqual({});
  });
});

describe('resources', () => {
  const kernelWithout = (...lacks: (keyof typeof everyLimit)[]) =>
    someHost({ limits: { ...everyLimit, ...Object.fromEntries(lacks.map(limit => [limit, false])) } });
  const resources = (hostConfig: Partial<HostConfig>, host = someHost()) => {
    const { devices: _, ...rest } = specOf(hostConfig, { host }).linux.resources ?? {};
    return rest;
  };

  test('nothing asked for is nothing said', () => {
    expect(resources({})).toEqual({});
    expect(resources({ pidsLimit: 0 })).toEqual({});
    expect(resources({ pidsLimit: -1 })).toEqual({});
  });

  test('memory', () => {
    const asked = {
      memoryBytes: 10_000_000,
      memorySwapBytes: 20_000_000,
      memoryReservationBytes: 7_000_000,
      memorySwappiness: 10,
      oomKillDisable: true,
    };
    expect(resources(asked)).toEqual({
      memory: { limit: 10_000_000, swap: 20_000_000, reservation: 7_000_000, swappiness: 10, disableOOMKiller: true },
    });
    expect(resources(asked, kernelWithout('swapLimit', 'memorySwappiness', 'oomKillDisable'))).toEqual({
      memory: { limit: 10_000_000, reservation: 7_000_000 },
    });
    expect(resources({ memoryBytes: 10_000_000, memorySwapBytes: -1, memorySwappiness: -1 })).toEqual({
      memory: { limit: 10_000_000, swap: -1 },
    });
  });

  test('processors', () => {
    expect(resources({ nanoCpus: 1_500_000_000 })).toEqual({ cpu: { period: 100_000, quota: 150_000 } });
    expect(resources({ cpuShares: 512, cpuPeriod: 50_000, cpuQuota: 25_000, cpusetCpus: '0-1', cpusetMems: '0' })).toEqual({
      cpu: { shares: 512, period: 50_000, quota: 25_000, cpus: '0-1', mems: '0' },
    });
    expect(resources({ cpuRealtimePeriod: 1_000_000, cpuRealtimeRuntime: 950_000 })).toEqual({
      cpu: { realtimePeriod: 1_000_000, realtimeRuntime: 950_000 },
    });
  });

  test('processes', () => expect(resources({ pidsLimit: 100 })).toEqual({ pids: { limit: 100 } }));

  test('block I/O, as far as the kernel can', () => {
    const asked = {
      blkioWeight: 300,
      blkioWeightDevice: [{ path: '/dev/sda', weight: 200 }],
      blkioDeviceReadBps: [{ path: '/dev/sda', rate: 1 }],
      blkioDeviceWriteBps: [{ path: '/dev/sda', rate: 2 }],
      blkioDeviceReadIops: [{ path: '/dev/sda', rate: 3 }],
      blkioDeviceWriteIops: [{ path: '/dev/sda', rate: 4 }],
    };
    const sda = { major: 8, minor: 0 };
    const throttles = {
      throttleReadBpsDevice: [{ ...sda, rate: 1 }],
      throttleWriteBpsDevice: [{ ...sda, rate: 2 }],
      throttleReadIOPSDevice: [{ ...sda, rate: 3 }],
      throttleWriteIOPSDevice: [{ ...sda, rate: 4 }],
    };
    expect(resources(asked)).toEqual({ blockIO: { weight: 300, weightDevice: [{ ...sda, weight: 200 }], ...throttles } });
    expect(resources(asked, kernelWithout('blkioWeight'))).toEqual({ blockIO: throttles });
    expect(resources(asked, kernelWithout('blkioWeight', 'blkioThrottle'))).toEqual({});
    expect(() => resources({ blkioDeviceReadBps: [{ path: '/dev/nope', rate: 1 }] })).toThrow(
      'no such device for a block I/O limit: /dev/nope',
    );
  });

  test('the cgroup is below the daemon’s, or the asked one', () => {
    const id = 'c'.repeat(64);
    expect(specOf({}).linux.cgroupsPath).toBe(`/berth/${id}`);
    expect(specOf({ cgroupParent: 'mine' }).linux.cgroupsPath).toBe(`/mine/${id}`);
    expect(specOf({ cgroupParent: '/a/b/' }).linux.cgroupsPath).toBe(`/a/b/${id}`);
  });

  test('devices: refused but for the harmless ones and those asked for', () => {
    const { resources: limits, devices } = specOf({
      devices: [{ pathOnHost: '/dev/snd', pathInContainer: '/dev/sound', cgroupPermissions: 'r' }],
      deviceCgroupRules: ['c 10:* rw'],
    }).linux;
    expect(devices?.map(device => device.path)).toEqual(['/dev/sound/seq', '/dev/sound/timer']);
    expect(limits?.devices?.[0]).toEqual({ allow: false, access: 'rwm' });
    expect(limits?.devices?.slice(-3)).toEqual([
      { allow: true, type: 'c', major: 116, minor: 1, access: 'r' },
      { allow: true, type: 'c', major: 116, minor: 33, access: 'r' },
      { allow: true, type: 'c', major: 10, access: 'rw' },
    ]);
  });
});

describe('mounts', () => {
  const withMounts = (mounts: Parameters<typeof aMount>[0][], more: Partial<SpecInput> = {}) =>
    buildSpec(input({ container: aContainer({ mounts: mounts.map(mount => aMount(mount)) }), ...more }));

  test('binds: read-only to the bottom where the kernel can, propagation as asked', () => {
    expect(mountAt(withMounts([{}]), '/inside')).toEqual([
      { destination: '/inside', type: 'bind', source: '/host', options: ['rbind', 'rw', 'rprivate'] },
    ]);
    expect(mountAt(withMounts([{ readWrite: false }]), '/inside')[0]?.options).toEqual(['rbind', 'rro', 'rprivate']);
    expect(mountAt(withMounts([{}], { frozen: new Set(['/inside']) }), '/inside')[0]?.options).toEqual(['rbind', 'rro', 'rprivate']);
    const file = { singleFiles: new Set(['/inside']) };
    expect(mountAt(withMounts([{ readWrite: false }], file), '/inside')[0]?.options).toEqual(['rbind', 'ro', 'rprivate']);
    const old = { host: someHost({ kernelVersion: '5.10.0' }) };
    expect(mountAt(withMounts([{ readWrite: false }], old), '/inside')[0]?.options).toEqual(['rbind', 'ro', 'rprivate']);
    const flat = { readWrite: false, nonRecursive: true, propagation: 'rslave' };
    expect(mountAt(withMounts([flat]), '/inside')[0]?.options).toEqual(['bind', 'ro', 'rslave']);
    expect(withMounts([flat]).linux.rootfsPropagation).toBe('slave');
    expect(withMounts([flat, { destination: '/b', propagation: 'rshared' }]).linux.rootfsPropagation).toBe('shared');
  });

  test('volumes are where they were mounted', () => {
    const mount = { type: 'volume' as const, name: 'data', source: '/volumes/data/_data', propagation: '' };
    expect(mountAt(withMounts([mount], { mountSources: new Map([['/inside', '/elsewhere']]) }), '/inside')[0]).toMatchObject({
      source: '/elsewhere',
      options: ['rbind', 'rw', 'rprivate'],
    });
  });

  test('images are read-only', () => {
    const mount = { type: 'image' as const, name: 'sha256:1', source: 'busybox', readWrite: false, propagation: '' };
    expect(mountAt(withMounts([mount], { mountSources: new Map([['/inside', '/layers/2/merged']]) }), '/inside')[0]).toMatchObject({
      source: '/layers/2/merged',
      options: ['rbind', 'ro', 'rprivate'],
    });
  });

  test('tmpfs in both ways of asking', () => {
    expect(mountAt(specOf({ tmpfs: { '/t': 'size=1m,exec' } }), '/t')[0]).toMatchObject({
      type: 'tmpfs',
      options: ['nosuid', 'nodev', 'size=1m', 'exec', 'rprivate'],
    });
    const request = aMountRequest({
      type: 'tmpfs',
      source: '',
      readOnly: true,
      tmpfsOptions: { sizeBytes: 1024, mode: 0o700, options: [] },
    });
    const container = aContainer({ hostConfig: aHostConfig({ mounts: [request] }), mounts: [aMount({ type: 'tmpfs', source: '' })] });
    expect(mountAt(buildSpec(input({ container })), '/inside')[0]).toMatchObject({
      type: 'tmpfs',
      options: ['noexec', 'nosuid', 'nodev', 'ro', 'size=1024', 'mode=700', 'rprivate'],
    });
  });

  test('what is asked for replaces what every container has', () => {
    const spec = withMounts([{ destination: '/dev/shm' }, { destination: '/etc/hosts' }], {
      files: new Map([['/etc/hosts', '/data/hosts']]),
    });
    expect(mountAt(spec, '/dev/shm')).toHaveLength(1);
    expect(mountAt(spec, '/etc/hosts')).toMatchObject([{ source: '/host' }]);
  });

  test('the files of the network; read-only like the root', () => {
    const files = new Map([['/etc/hosts', '/data/hosts']]);
    expect(mountAt(specOf({}, { files }), '/etc/hosts')[0]).toMatchObject({ source: '/data/hosts', options: ['rbind', 'rw', 'rprivate'] });
    const spec = specOf({ readonlyRootfs: true }, { files });
    expect(mountAt(spec, '/etc/hosts')[0]?.options).toContain('ro');
    expect(spec.root).toEqual({ path: '/layers/1/merged', readonly: true });
  });

  test('parents come before what is inside them', () => {
    const order = withMounts([{ destination: '/a/b/c' }, { destination: '/a' }, { destination: '/a/b' }]).mounts.map(
      mount => mount.destination,
    );
    expect(order.filter(path => path.startsWith('/a'))).toEqual(['/a', '/a/b', '/a/b/c']);
  });

  test('shared memory: of its own, of another, of the host, none', () => {
    expect(mountAt(specOf({ shmSizeBytes: 1024 }), '/dev/shm')[0]).toMatchObject({ type: 'tmpfs' });
    expect(mountAt(specOf({ shmSizeBytes: 1024 }), '/dev/shm')[0]?.options).toContain('size=1024');
    expect(mountAt(specOf({ ipcMode: 'shareable' }, { shmPath: '/data/shm' }), '/dev/shm')[0]).toMatchObject({
      type: 'bind',
      source: '/data/shm',
    });
    expect(mountAt(specOf({ ipcMode: 'host' }), '/dev/shm')[0]).toMatchObject({ type: 'bind', source: '/dev/shm' });
    expect(mountAt(specOf({ ipcMode: 'none' }), '/dev/shm')).toEqual([]);
  });
});

test('annotations', () => {
  expect(specOf({ annotations: { a: 'b' } }).annotations).toEqual({ a: 'b' });
  expect(specOf({})).not.toHaveProperty('annotations');
});

describe('buildSpec() with a user namespace', () => {
  const idMap = { uids: [{ containerId: 0, hostId: 200_000, size: 1000 }], gids: [{ containerId: 0, hostId: 300_000, size: 2000 }] };
  const owned = { kind: 'path', path: '/run/netns/x', userNamespace: '/run/userns/x' } as const;

  test('joins the one that owns its network, with both maps', () => {
    const { linux } = buildSpec(input({ userNamespace: { idMap }, network: owned }));
    expect(linux.namespaces).toContainEqual({ type: 'user', path: '/run/userns/x' });
    expect(linux.uidMappings).toEqual([{ containerID: 0, hostID: 200_000, size: 1000 }]);
    expect(linux.gidMappings).toEqual([{ containerID: 0, hostID: 300_000, size: 2000 }]);
    expect(linux.sysctl?.['net.ipv4.ping_group_range']).toBe('0 1999');
  });

  test('joins that of another container first; makes one when there is nothing to join', () => {
    const joined = buildSpec(input({ userNamespace: { idMap, path: '/proc/7/ns/user' }, network: owned }));
    expect(joined.linux.namespaces).toContainEqual({ type: 'user', path: '/proc/7/ns/user' });
    const alone = buildSpec(input({ userNamespace: { idMap }, network: { kind: 'new' } }));
    expect(alone.linux.namespaces).toContainEqual({ type: 'user' });
  });

  test('devices are those of the host, since none can be made', () => {
    const devices = [{ pathOnHost: '/dev/sda', pathInContainer: '/dev/disk', cgroupPermissions: 'r' }];
    const spec = specOf({ devices }, { userNamespace: { idMap } });
    expect(spec.linux.devices).toBeUndefined();
    expect(spec.mounts.find(({ destination }) => destination === '/dev/disk')?.source).toBe('/dev/sda');
  });

  test('message queues of the host are mounted from the host, if it has them', () => {
    const queue = (hasMessageQueues: boolean) =>
      specOf({ ipcMode: 'host' }, { userNamespace: { idMap }, host: someHost({ hasMessageQueues }) }).mounts.find(
        ({ destination }) => destination === '/dev/mqueue',
      );
    expect(queue(true)?.type).toBe('bind');
    expect(queue(false)).toBeUndefined();
  });
});
