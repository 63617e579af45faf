import type { ContainerConfig, ContainerCreateRequest, HealthConfig, HostConfig, Resources, RestartPolicy } from '#api/types/container.ts';
import { FlagError } from '../errors.ts';
import { cut, type FlagValues, parseInteger } from '../flags/flag.ts';
import { checkMac, isNamespaceMode } from './checks.ts';
import { isCdiDevice, parseDevice } from './devices.ts';
import type { containerFlags } from './flags.ts';
import { readKeyValueFile, toRecord } from './key-values.ts';
import { parseVolumes } from './mounts.ts';
import { resolveNetworks } from './networks.ts';
import { addExposed, parsePublished } from './ports.ts';
import { parseSecurityOptions } from './security.ts';

export type ContainerFlagValues = FlagValues<typeof containerFlags>;

export interface RequestInput {
  readonly flags: ContainerFlagValues;
  readonly changed: ReadonlySet<string>;
  readonly image: string;
  readonly command: readonly string[];
  /** What the settings add for proxies, before what the command line says. */
  readonly proxyEnv: readonly string[];
}

/** The body of `POST /containers/create` for what the command line says. Throws an Error that says what contradicts what. */
export function createRequest(input: RequestInput): ContainerCreateRequest {
  const { flags, changed } = input;
  checkModes(flags);
  const { exposed, bindings } = parsePublished(flags.publish);
  addExposed(exposed, flags.expose);
  const volumes = parseVolumes(flags.volume);
  const networks = resolveNetworks(flags.network, {
    aliases: flags['network-alias'],
    links: flags.link,
    ipv4: flags.ip,
    ipv6: flags.ip6,
    linkLocal: flags['link-local-ip'],
    mac: flags['mac-address'] === '' ? '' : checkMac(flags['mac-address']),
  });
  const config = configOf(input, exposed, volumes.anonymous);
  const hostConfig: HostConfig = {
    ...hostConfigOf(flags, changed),
    ...resourcesOf(flags, changed),
    Binds: volumes.binds.length === 0 ? null : volumes.binds,
    PortBindings: bindings,
    NetworkMode: networks.mode,
  };
  return { ...config, HostConfig: hostConfig, NetworkingConfig: { EndpointsConfig: networks.endpoints } };
}

function checkModes(flags: ContainerFlagValues): void {
  if (flags['memory-swappiness'] !== -1 && (flags['memory-swappiness'] < 0 || flags['memory-swappiness'] > 100)) {
    throw new Error(`invalid value: ${flags['memory-swappiness']}. Valid memory swappiness range is 0-100`);
  }
  if (!isNamespaceMode(flags.pid, ['', 'host', 'container:'])) throw new Error('--pid: invalid PID mode');
  if (!isNamespaceMode(flags.uts, ['', 'host'])) throw new Error('--uts: invalid UTS mode');
  if (!isNamespaceMode(flags.userns, ['', 'host'])) throw new Error('--userns: invalid USER mode');
  if (!isNamespaceMode(flags.cgroupns, ['', 'host', 'private'])) throw new Error('--cgroupns: invalid CGROUP mode');
  if (!['always', 'missing', 'never'].includes(flags.pull)) {
    throw new FlagError(`invalid pull option: '${flags.pull}': must be one of "always", "missing" or "never"`);
  }
}

function configOf(input: RequestInput, exposed: Record<string, object>, anonymousVolumes: Record<string, object>): ContainerConfig {
  const { flags, changed } = input;
  const attachStdin = flags.interactive || flags.attach.includes('stdin');
  const attachAll = flags.attach.length === 0;
  const labels = toRecord([...flags['label-file'].flatMap(path => readKeyValueFile(path)), ...flags.label]);
  const env = [...input.proxyEnv, ...flags['env-file'].flatMap(path => readKeyValueFile(path, name => process.env[name])), ...flags.env];
  const health = healthOf(flags);
  return {
    Hostname: flags.hostname,
    Domainname: flags.domainname,
    User: flags.user,
    AttachStdin: attachStdin,
    AttachStdout: attachAll || flags.attach.includes('stdout'),
    AttachStderr: attachAll || flags.attach.includes('stderr'),
    ...(Object.keys(exposed).length === 0 ? {} : { ExposedPorts: exposed }),
    Tty: flags.tty,
    OpenStdin: flags.interactive,
    StdinOnce: flags.interactive && attachStdin,
    Env: env.length === 0 ? null : env,
    Cmd: input.command.length === 0 ? null : [...input.command],
    Image: input.image,
    ...(health === undefined ? {} : { Healthcheck: health }),
    Volumes: anonymousVolumes,
    WorkingDir: flags.workdir,
    Entrypoint: flags.entrypoint !== '' ? [flags.entrypoint] : changed.has('entrypoint') ? [''] : null,
    ...(flags['mac-address'] === '' ? {} : { MacAddress: flags['mac-address'] }),
    OnBuild: null,
    Labels: labels,
    ...(flags['stop-signal'] === '' ? {} : { StopSignal: flags['stop-signal'] }),
    ...(changed.has('stop-timeout') ? { StopTimeout: flags['stop-timeout'] } : {}),
  };
}

function hostConfigOf(flags: ContainerFlagValues, changed: ReadonlySet<string>): HostConfig {
  const restart = parseRestartPolicy(flags.restart);
  if (flags.rm && restart.Name !== 'no' && restart.Name !== '')
    throw new Error('conflicting options: cannot specify both --restart and --rm');
  if (flags['log-driver'] === 'none' && flags['log-opt'].length > 0) throw new Error('invalid logging opts for driver none');
  const security = parseSecurityOptions(flags['security-opt']);
  const storage = flags['storage-opt'].map(option => {
    const [key, value] = cut(option);
    if (value === undefined) throw new Error('invalid storage option');
    return [key, value] as const;
  });
  return {
    ContainerIDFile: flags.cidfile,
    LogConfig: { Type: flags['log-driver'], Config: toRecord(flags['log-opt']) },
    RestartPolicy: restart,
    AutoRemove: flags.rm,
    VolumeDriver: flags['volume-driver'],
    VolumesFrom: flags['volumes-from'].length === 0 ? null : [...flags['volumes-from']],
    ...(flags.mount.length === 0 ? {} : { Mounts: [...flags.mount] }),
    ConsoleSize: [0, 0],
    ...(Object.keys(flags.annotation).length === 0 ? {} : { Annotations: flags.annotation }),
    CapAdd: flags['cap-add'].length === 0 ? null : [...flags['cap-add']],
    CapDrop: flags['cap-drop'].length === 0 ? null : [...flags['cap-drop']],
    CgroupnsMode: flags.cgroupns,
    Dns: [...flags.dns],
    DnsOptions: [...flags['dns-option']],
    DnsSearch: [...flags['dns-search']],
    ExtraHosts: flags['add-host'].length === 0 ? null : [...flags['add-host']],
    GroupAdd: flags['group-add'].length === 0 ? null : [...flags['group-add']],
    IpcMode: flags.ipc,
    Cgroup: '',
    Links: flags.link.length === 0 ? null : [...flags.link],
    OomScoreAdj: flags['oom-score-adj'],
    PidMode: flags.pid,
    Privileged: flags.privileged,
    PublishAllPorts: flags['publish-all'],
    ReadonlyRootfs: flags['read-only'],
    SecurityOpt: security.options.length === 0 ? null : security.options,
    ...(storage.length === 0 ? {} : { StorageOpt: Object.fromEntries(storage) }),
    ...(flags.tmpfs.length === 0
      ? {}
      : { Tmpfs: Object.fromEntries(flags.tmpfs.map(tmpfs => [cut(tmpfs, ':')[0], cut(tmpfs, ':')[1] ?? ''])) }),
    UTSMode: flags.uts,
    UsernsMode: flags.userns,
    ShmSize: flags['shm-size'],
    ...(flags.sysctl.length === 0 ? {} : { Sysctls: toRecord(flags.sysctl) }),
    ...(flags.runtime === '' ? {} : { Runtime: flags.runtime }),
    Isolation: flags.isolation,
    MaskedPaths: security.systemPathsUnconfined ? [] : null,
    ReadonlyPaths: security.systemPathsUnconfined ? [] : null,
    ...(changed.has('init') ? { Init: flags.init } : {}),
  };
}

function resourcesOf(flags: ContainerFlagValues, changed: ReadonlySet<string>): Resources {
  const cdi = flags.device.filter(isCdiDevice);
  const requests = [
    ...flags.gpus,
    ...(cdi.length === 0 ? [] : [{ Driver: 'cdi', Count: 0, DeviceIDs: cdi, Capabilities: null, Options: null }]),
  ];
  return {
    CpuShares: flags['cpu-shares'],
    Memory: flags.memory,
    NanoCpus: flags.cpus,
    CgroupParent: flags['cgroup-parent'],
    BlkioWeight: flags['blkio-weight'],
    BlkioWeightDevice: [...flags['blkio-weight-device']],
    BlkioDeviceReadBps: [...flags['device-read-bps']],
    BlkioDeviceWriteBps: [...flags['device-write-bps']],
    BlkioDeviceReadIOps: [...flags['device-read-iops']],
    BlkioDeviceWriteIOps: [...flags['device-write-iops']],
    CpuPeriod: flags['cpu-period'],
    CpuQuota: flags['cpu-quota'],
    CpuRealtimePeriod: flags['cpu-rt-period'],
    CpuRealtimeRuntime: flags['cpu-rt-runtime'],
    CpusetCpus: flags['cpuset-cpus'],
    CpusetMems: flags['cpuset-mems'],
    Devices: flags.device.filter(device => !isCdiDevice(device)).map(parseDevice),
    DeviceCgroupRules: flags['device-cgroup-rule'].length === 0 ? null : [...flags['device-cgroup-rule']],
    DeviceRequests: requests.length === 0 ? null : requests,
    MemoryReservation: flags['memory-reservation'],
    MemorySwap: flags['memory-swap'],
    MemorySwappiness: flags['memory-swappiness'],
    OomKillDisable: flags['oom-kill-disable'],
    PidsLimit: changed.has('pids-limit') ? flags['pids-limit'] : 0,
    Ulimits: flags.ulimit.length === 0 ? [] : [...flags.ulimit],
    CpuCount: flags['cpu-count'],
    CpuPercent: flags['cpu-percent'],
    IOMaximumIOps: flags['io-maxiops'],
    IOMaximumBandwidth: flags['io-maxbandwidth'],
  };
}

/** `no`, `always`, `unless-stopped` or `on-failure[:times]`. */
export function parseRestartPolicy(text: string): RestartPolicy {
  if (text === '') return { Name: '', MaximumRetryCount: 0 };
  const [name, count] = cut(text, ':');
  if (name === '') throw new Error('invalid restart policy format: no policy provided before colon');
  if (count === undefined) return { Name: name, MaximumRetryCount: 0 };
  try {
    return { Name: name, MaximumRetryCount: parseInteger(count, 'Atoi', -(2n ** 63n), 2n ** 63n - 1n) };
  } catch (err) {
    throw new Error('invalid restart policy format: maximum retry count must be an integer', { cause: err });
  }
}

function healthOf(flags: ContainerFlagValues): HealthConfig | undefined {
  const { 'health-interval': interval, 'health-timeout': timeout, 'health-retries': retries } = flags;
  const { 'health-start-period': startPeriod, 'health-start-interval': startInterval } = flags;
  const said = flags['health-cmd'] !== '' || [interval, timeout, retries, startPeriod, startInterval].some(value => value !== 0);
  if (flags['no-healthcheck']) {
    if (said) throw new Error('--no-healthcheck conflicts with --health-* options');
    return { Test: ['NONE'] };
  }
  if (!said) return undefined;
  const check = (flag: string, value: number): void => {
    if (value < 0) throw new Error(`${flag} cannot be negative`);
  };
  check('--health-interval', interval);
  check('--health-timeout', timeout);
  check('--health-retries', retries);
  check('--health-start-period', startPeriod);
  check('--health-start-interval', startInterval);
  return {
    ...(flags['health-cmd'] === '' ? {} : { Test: ['CMD-SHELL', flags['health-cmd']] }),
    ...(interval === 0 ? {} : { Interval: interval }),
    ...(timeout === 0 ? {} : { Timeout: timeout }),
    ...(startPeriod === 0 ? {} : { StartPeriod: startPeriod }),
    ...(startInterval === 0 ? {} : { StartInterval: startInterval }),
    ...(retries === 0 ? {} : { Retries: retries }),
  };
}
