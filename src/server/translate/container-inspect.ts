import type {
  ContainerInspect,
  ContainerState as WireState,
  ContainerSummary as WireSummary,
  Health as WireHealth,
  PortSummary,
} from '#api/types/container.ts';
import type { EndpointSettings, NetworkSettings } from '#api/types/network.ts';
import type { PortMap } from '#core/network.ts';
import { expandPortMap, expandPorts } from '#core/port-ranges.ts';
import type { Container, Health } from '#engine/containers/model.ts';
import type { ContainerDetails, ContainerSummary } from '#engine/containers/service.ts';
import { errorOf, exitCodeOf, finishedAtOf, isActive, isPaused, startedAtOf, statusOf } from '#engine/containers/state.ts';
import { toWireConfig, toWireHostConfig, toWireMountPoint, toWirePorts } from './container-config.ts';
import { toWireEndpoints } from './endpoint.ts';

export function toWireInspect(details: ContainerDetails): ContainerInspect {
  const { container, snapshot } = details;
  return {
    Id: container.id,
    Created: container.created,
    Path: container.path,
    Args: [...container.args],
    State: toWireState(container),
    Image: container.imageId,
    ResolvConfPath: details.resolvConfPath,
    HostnamePath: details.hostnamePath,
    HostsPath: details.hostsPath,
    LogPath: details.logPath,
    Name: `/${container.name}`,
    RestartCount: container.restartCount,
    Driver: details.driver,
    Platform: osOf(container.platform),
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: details.appArmorProfile,
    ExecIDs: details.execIds.length === 0 ? null : [...details.execIds],
    HostConfig: toWireHostConfig(container.hostConfig),
    GraphDriver: {
      Name: details.driver,
      Data: toWireLayers(container.id, snapshot),
    },
    ...sizes(details),
    Mounts: container.mounts.map(toWireMountPoint),
    Config: toWireConfig(container.config),
    NetworkSettings: toWireNetworkSettings(details),
  };
}

/** Drivers that keep whole trees have nothing to tell. */
function toWireLayers(
  id: string,
  { lowerDirs, upperDir, workDir, mergedDir, copiedAtNs }: ContainerDetails['snapshot'],
): Record<string, string> | null {
  if (copiedAtNs !== undefined) return null;
  return { ID: id, LowerDir: lowerDirs.join(':'), MergedDir: mergedDir, UpperDir: upperDir, WorkDir: workDir };
}

/** `linux` of `linux/amd64`. */
const osOf = (platform: string): string => (platform === '' ? 'linux' : (platform.split('/', 1)[0] ?? 'linux'));

function toWireState({ state, health }: Container): WireState {
  return {
    Status: statusOf(state),
    Running: isActive(state),
    Paused: isPaused(state),
    Restarting: state.status === 'restarting',
    OOMKilled: 'oomKilled' in state && state.oomKilled === true,
    Dead: state.status === 'dead',
    Pid: state.status === 'running' ? state.pid : 0,
    ExitCode: exitCodeOf(state),
    Error: errorOf(state),
    StartedAt: startedAtOf(state),
    FinishedAt: finishedAtOf(state),
    ...(health === undefined ? {} : { Health: toWireHealth(health) }),
  };
}

const toWireHealth = ({ status, failingStreak, log }: Health): WireHealth => ({
  Status: status,
  FailingStreak: failingStreak,
  Log: log.map(({ start, end, exitCode, output }) => ({ Start: start, End: end, ExitCode: exitCode, Output: output })),
});

function toWireNetworkSettings({ container, sandboxKey }: ContainerDetails): NetworkSettings {
  const networks = toWireEndpoints(container.endpoints, container.endpointStates, container.lastNetworkIds);
  const main = networks['bridge'];
  return {
    Bridge: '',
    SandboxID: sandboxKey === '' ? '' : container.id,
    SandboxKey: sandboxKey,
    Ports: toWirePorts(container.ports),
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: main?.EndpointID ?? '',
    Gateway: main?.Gateway ?? '',
    GlobalIPv6Address: main?.GlobalIPv6Address ?? '',
    GlobalIPv6PrefixLen: main?.GlobalIPv6PrefixLen ?? 0,
    IPAddress: main?.IPAddress ?? '',
    IPPrefixLen: main?.IPPrefixLen ?? 0,
    IPv6Gateway: main?.IPv6Gateway ?? '',
    MacAddress: main?.MacAddress ?? '',
    Networks: networks,
  };
}

export function toWireSummary(summary: ContainerSummary): WireSummary {
  const { container } = summary;
  return {
    Id: container.id,
    Names: [`/${container.name}`],
    Image: summary.image,
    ImageID: container.imageId,
    Command: summary.command,
    Created: Math.floor(Date.parse(container.created) / 1000),
    Ports: toPortSummaries(container),
    // A list leaves out what is 0.
    ...sizes(summary.sizeRwBytes === 0 ? { ...summary, sizeRwBytes: undefined } : summary),
    Labels: { ...container.config.labels },
    State: statusOf(container.state),
    Status: summary.statusText,
    HostConfig: { NetworkMode: container.hostConfig.networkMode, ...annotationsOf(container) },
    NetworkSettings: { Networks: networksOf(container) },
    Mounts: container.mounts.map(toWireMountPoint),
  };
}

const annotationsOf = ({ hostConfig }: Container): { Annotations?: Record<string, string> } =>
  Object.keys(hostConfig.annotations).length === 0 ? {} : { Annotations: { ...hostConfig.annotations } };

const networksOf = (container: Container): Record<string, EndpointSettings> =>
  toWireEndpoints(container.endpoints, container.endpointStates, container.lastNetworkIds);

/** Published ports with their host side, exposed ones without. Only a running container has any. */
function toPortSummaries(container: Container): PortSummary[] {
  if (container.state.status !== 'running') return [];
  return Object.entries(withExposed(container.ports, container.config.exposedPorts)).flatMap(([port, bindings]): PortSummary[] => {
    const [number = '', protocol = 'tcp'] = port.split('/');
    const common = { PrivatePort: Number(number), Type: protocol };
    if (bindings.length === 0) return [common];
    return bindings.map(({ hostIp, hostPort }) => ({ IP: hostIp, ...common, PublicPort: Number(hostPort) }));
  });
}

const withExposed = (ports: PortMap, exposed: readonly string[]): PortMap => ({
  ...Object.fromEntries(expandPorts(exposed).map(port => [port, []])),
  ...expandPortMap(ports),
});

function sizes(of: { readonly sizeRwBytes?: number | undefined; readonly sizeRootFsBytes?: number }): {
  SizeRw?: number;
  SizeRootFs?: number;
} {
  return {
    ...(of.sizeRwBytes === undefined ? {} : { SizeRw: of.sizeRwBytes }),
    ...(of.sizeRootFsBytes === undefined ? {} : { SizeRootFs: of.sizeRootFsBytes }),
  };
}
