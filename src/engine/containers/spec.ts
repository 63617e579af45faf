import type { IdRange, UserNamespace } from '#core/id-map.ts';
import type { SandboxNamespace } from '#core/network.ts';
import type { IdMapping, LinuxSpec, MountSpec, NamespaceType, ProcessSpec, RuntimeSpec, SeccompSpec } from '#oci/runtime-spec.ts';
import { resolveCapabilities } from './capabilities.ts';
import { defaultMaskedPaths, defaultMounts, defaultReadonlyPaths, defaultSysctls } from './defaults.ts';
import { deviceMounts, deviceSpecs, resolveDevices } from './devices.ts';
import { containerEnvironment } from './environment.ts';
import type { Container, MountPoint, Ulimit } from './model.ts';
import type { ContainerOptions } from './options.ts';
import type { HostFacts } from './ports.ts';
import { resourcesSpec } from './resources.ts';
import { defaultSeccomp, parseSeccompProfile, resolveSeccomp } from './seccomp.ts';
import { parseSecurityOptions } from './security-options.ts';
import { tmpfsMountOptions, tmpfsOptions } from './tmpfs-options.ts';
import type { ResolvedUser } from './user.ts';

/** Everything a spec is made of that is known only when the container starts. */
export interface SpecInput {
  readonly container: Container;
  /** The mounted root. */
  readonly rootPath: string;
  /** Host paths of the mounts, by destination. */
  readonly mountSources: ReadonlyMap<string, string>;
  /** Destinations of read-only binds of something that is no directory. */
  readonly singleFiles: ReadonlySet<string>;
  /** Destinations of mounts that are read-only on the host, whatever was asked for. */
  readonly frozen: ReadonlySet<string>;
  /** Files that are bound over those of the image, by destination. */
  readonly files: ReadonlyMap<string, string>;
  readonly user: ResolvedUser;
  /** What links tell. */
  readonly linkedEnvironment: readonly string[];
  readonly network: SandboxNamespace;
  /** Undefined: the host's. */
  readonly userNamespace: UserNamespace | undefined;
  /** Namespaces of other containers to join. */
  readonly joined: { readonly ipc?: string; readonly pid?: string };
  /** A /dev/shm on the host to share; undefined: one of its own. */
  readonly shmPath: string | undefined;
  readonly options: ContainerOptions;
  readonly host: HostFacts;
}

const initDestination = '/sbin/docker-init';
const recursiveReadOnlySince = [5, 12] as const;

/** Turns a container and what was prepared for it into what an OCI runtime executes. Pure. */
export function buildSpec(input: SpecInput): RuntimeSpec {
  const { container, host } = input;
  const { config, hostConfig } = container;
  const devices = resolveDevices(hostConfig, host);
  const linux: LinuxSpec = {
    namespaces: namespaces(input),
    cgroupsPath: cgroupPath(container, input.options),
    resources: { ...resourcesSpec(hostConfig, host), devices: devices.rules },
    ...(devices.nodes.length === 0 || input.userNamespace !== undefined ? {} : { devices: deviceSpecs(devices.nodes) }),
    ...idMappings(input.userNamespace),
    sysctl: sysctls(input),
    ...(container.mounts.some(mount => /shared$/.test(mount.propagation))
      ? { rootfsPropagation: 'shared' }
      : container.mounts.some(mount => /slave$/.test(mount.propagation))
        ? { rootfsPropagation: 'slave' }
        : {}),
    maskedPaths: [...(hostConfig.maskedPaths ?? [])],
    readonlyPaths: [...(hostConfig.readonlyPaths ?? [])],
  };
  const seccomp = seccompOf(input);
  if (seccomp !== undefined) linux.seccomp = seccomp;
  return {
    ociVersion: '1.0.2',
    process: processOf(input),
    root: { path: input.rootPath, readonly: hostConfig.readonlyRootfs },
    ...(hostConfig.utsMode === 'host' ? {} : { hostname: config.hostname }),
    ...(config.domainname === '' || hostConfig.utsMode === 'host' ? {} : { domainname: config.domainname }),
    mounts: [...mounts(input), ...(input.userNamespace === undefined ? [] : deviceMounts(devices.nodes))],
    ...(Object.keys(hostConfig.annotations).length === 0 ? {} : { annotations: { ...hostConfig.annotations } }),
    linux,
  };
}

function processOf({ container, user, linkedEnvironment, options, host }: SpecInput): ProcessSpec {
  const { config, hostConfig } = container;
  const args = [container.path, ...container.args];
  return {
    terminal: config.tty,
    ...(hostConfig.consoleSize[0] > 0 ? { consoleSize: { height: hostConfig.consoleSize[0], width: hostConfig.consoleSize[1] } } : {}),
    user: { uid: user.uid, gid: user.gid, ...(user.additionalGids.length > 0 ? { additionalGids: [...user.additionalGids] } : {}) },
    args: usesInit(container, options) ? [initDestination, '--', ...args] : args,
    env: containerEnvironment(config, config.hostname, user.home, linkedEnvironment),
    cwd: config.workingDir === '' ? '/' : config.workingDir,
    ...processLimits(container, options, host),
    oomScoreAdj: hostConfig.oomScoreAdj,
  };
}

/** What bounds every process of a container, its first and its execs. */
export function processLimits(
  container: Container,
  options: ContainerOptions,
  host: HostFacts,
): Pick<ProcessSpec, 'capabilities' | 'rlimits' | 'noNewPrivileges' | 'apparmorProfile'> {
  const { hostConfig } = container;
  const capabilities = containerCapabilities(container, host);
  const security = parseSecurityOptions(hostConfig.securityOpt);
  return {
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities, inheritable: [], ambient: [] },
    rlimits: mergeUlimits(options.defaultUlimits, hostConfig.ulimits),
    noNewPrivileges: security.noNewPrivileges ?? options.noNewPrivileges,
    ...(host.appArmor && security.appArmor !== undefined ? { apparmorProfile: security.appArmor } : {}),
  };
}

function containerCapabilities({ hostConfig }: Container, host: HostFacts): string[] {
  return resolveCapabilities({ add: hostConfig.capAdd, drop: hostConfig.capDrop, privileged: hostConfig.privileged }, host.capabilities);
}

function mergeUlimits(defaults: readonly Ulimit[], own: readonly Ulimit[]): { type: string; soft: number; hard: number }[] {
  const byName = new Map([...defaults, ...own].map(limit => [limit.name, limit]));
  return [...byName.values()].map(limit => ({
    type: `RLIMIT_${limit.name.toUpperCase()}`,
    soft: unlimitedAsMaximum(limit.soft),
    hard: unlimitedAsMaximum(limit.hard),
  }));
}

/** Beyond what a JavaScript number holds exactly, so it is written as text. */
const unlimitedAsMaximum = (value: number): number => (value < 0 ? unlimited : value);
const unlimited = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON('18446744073709551615') as number;

export const usesInit = ({ hostConfig }: Container, options: ContainerOptions): boolean =>
  hostConfig.pidMode === '' && (hostConfig.init ?? options.init);

function cgroupPath({ id, hostConfig }: Container, options: ContainerOptions): string {
  const parent = hostConfig.cgroupParent === '' ? options.cgroupParent : hostConfig.cgroupParent;
  return `${parent.startsWith('/') ? parent : `/${parent}`}/${id}`.replace(/\/+/g, '/');
}

function idMappings(userNamespace: UserNamespace | undefined): Pick<LinuxSpec, 'uidMappings' | 'gidMappings'> {
  if (userNamespace === undefined) return {};
  const mappings = (ranges: readonly IdRange[]): IdMapping[] =>
    ranges.map(({ containerId, hostId, size }) => ({ containerID: containerId, hostID: hostId, size }));
  return { uidMappings: mappings(userNamespace.idMap.uids), gidMappings: mappings(userNamespace.idMap.gids) };
}

function namespaces({ container, network, userNamespace, joined }: SpecInput): LinuxSpec['namespaces'] {
  const { hostConfig } = container;
  const list: { type: NamespaceType; path?: string }[] = [{ type: 'mount' }];
  if (userNamespace !== undefined) {
    const path = userNamespace.path ?? (network.kind === 'path' ? network.userNamespace : undefined);
    list.push({ type: 'user', ...(path === undefined ? {} : { path }) });
  }
  if (network.kind === 'path') list.push({ type: 'network', path: network.path });
  if (network.kind === 'new') list.push({ type: 'network' });
  if (hostConfig.utsMode !== 'host') list.push({ type: 'uts' });
  if (hostConfig.pidMode !== 'host') list.push({ type: 'pid', ...(joined.pid === undefined ? {} : { path: joined.pid }) });
  if (hostConfig.ipcMode !== 'host') list.push({ type: 'ipc', ...(joined.ipc === undefined ? {} : { path: joined.ipc }) });
  if (hostConfig.cgroupnsMode !== 'host') list.push({ type: 'cgroup' });
  return list;
}

function sysctls({ container, network, userNamespace }: SpecInput): Record<string, string> {
  const { hostConfig } = container;
  const hasOwnNetwork = network.kind !== 'host' && !hostConfig.networkMode.startsWith('container:');
  return { ...(hasOwnNetwork ? defaultSysctls(userNamespace?.idMap.gids) : {}), ...hostConfig.sysctls };
}

function seccompOf({ container, host, options }: SpecInput): SeccompSpec | undefined {
  const { hostConfig } = container;
  const asked = parseSecurityOptions(hostConfig.securityOpt).seccomp;
  const profile = asked ?? options.seccompProfile;
  if (profile === 'unconfined' || (hostConfig.privileged && asked === undefined)) return undefined;
  const target = {
    capabilities: containerCapabilities(container, host),
    architecture: host.architecture,
    kernelVersion: host.kernelVersion,
  };
  return profile === 'builtin' ? defaultSeccomp(target) : resolveSeccomp(parseSeccompProfile(profile), target);
}

function mounts(input: SpecInput): MountSpec[] {
  const { container, options } = input;
  const { hostConfig } = container;
  const taken = new Set([...container.mounts.map(mount => mount.destination), ...Object.keys(hostConfig.tmpfs)]);
  const system = [...defaultMounts({ writable: hostConfig.privileged }), ...ipcMounts(input)].filter(
    mount => !taken.has(mount.destination),
  );
  const own = [
    ...Object.entries(hostConfig.tmpfs).map(([destination, text]) => ({
      destination,
      type: 'tmpfs',
      source: 'tmpfs',
      options: tmpfsOptions(text),
    })),
    ...container.mounts.map(mount => mountSpec(mount, input)),
    ...[...input.files]
      .filter(([destination]) => !taken.has(destination))
      .map(([destination, source]) => fileMount(destination, source, input)),
  ];
  if (usesInit(container, options) && options.initPath !== undefined) {
    own.push({ destination: initDestination, type: 'bind', source: options.initPath, options: ['bind', 'ro'] });
  }
  return [...system, ...own.toSorted((a, b) => depth(a.destination) - depth(b.destination))];
}

const depth = (path: string): number => path.split('/').length;

function fileMount(destination: string, source: string, { container }: SpecInput): MountSpec {
  return { destination, type: 'bind', source, options: ['rbind', container.hostConfig.readonlyRootfs ? 'ro' : 'rw', 'rprivate'] };
}

function mountSpec(mount: MountPoint, { container, mountSources, singleFiles, frozen, host }: SpecInput): MountSpec {
  if (mount.type === 'tmpfs') {
    const request = container.hostConfig.mounts.find(asked => asked.type === 'tmpfs' && asked.target === mount.destination);
    return { destination: mount.destination, type: 'tmpfs', source: 'tmpfs', options: tmpfsMountOptions(request) };
  }
  // Below a file there is nothing to be recursive about, and crun 1.8 refuses it there.
  const hasBelow = mount.type === 'bind' && !mount.nonRecursive && !singleFiles.has(mount.destination);
  const recursive = hasBelow && mount.recursiveReadOnly && hasRecursiveReadOnly(host.kernelVersion);
  return {
    destination: mount.destination,
    type: 'bind',
    source: mountSources.get(mount.destination) ?? mount.source,
    options: [
      mount.nonRecursive ? 'bind' : 'rbind',
      // crun makes writable whatever it is not told to leave read-only.
      mount.readWrite && !frozen.has(mount.destination) ? 'rw' : recursive ? 'rro' : 'ro',
      mount.propagation === '' ? 'rprivate' : mount.propagation,
    ],
  };
}

function hasRecursiveReadOnly(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map(part => Number.parseInt(part, 10));
  return major > recursiveReadOnlySince[0] || (major === recursiveReadOnlySince[0] && minor >= recursiveReadOnlySince[1]);
}

function ipcMounts({ container, shmPath, userNamespace, host }: SpecInput): MountSpec[] {
  const { hostConfig } = container;
  const queue: MountSpec = { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] };
  if (hostConfig.ipcMode === 'host') {
    // A mount of the queues shows those of the IPC namespace one is in: the host's, also where the host has not mounted them itself.
    // Only the user namespace that owns the queues can mount them.
    const hostQueue = host.hasMessageQueues
      ? [{ ...queue, type: 'bind', source: '/dev/mqueue', options: ['rbind', 'rw', 'rprivate'] }]
      : [];
    const shm = { destination: '/dev/shm', type: 'bind', source: '/dev/shm', options: ['rbind', 'rw', 'rprivate'] };
    return [...(userNamespace === undefined ? [queue] : hostQueue), shm];
  }
  if (hostConfig.ipcMode === 'none') return [queue];
  if (shmPath !== undefined)
    return [queue, { destination: '/dev/shm', type: 'bind', source: shmPath, options: ['rbind', 'rw', 'rprivate'] }];
  return [
    queue,
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${String(hostConfig.shmSizeBytes)}`],
    },
  ];
}

/** The masked and read-only paths a container gets when it does not say. */
export function systemPaths(
  privileged: boolean,
  securityOpt: readonly string[],
  host: HostFacts,
): { readonly maskedPaths: readonly string[] | undefined; readonly readonlyPaths: readonly string[] | undefined } {
  if (privileged || parseSecurityOptions(securityOpt).systemPathsUnconfined) return { maskedPaths: [], readonlyPaths: [] };
  return { maskedPaths: defaultMaskedPaths(host.cpuCount), readonlyPaths: defaultReadonlyPaths };
}
