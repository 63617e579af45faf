import type { UserNamespace } from '#core/id-map.ts';
import type { EndpointConfig, NetworkMode, SandboxRequest } from '#core/network.ts';
import type { Container, HostConfig } from './model.ts';

/** The name of the network that `default` means. */
export const defaultNetwork = 'bridge';

/** `default` is written out, so that inspect and a later default cannot disagree. */
export const normalizeNetworkMode = (mode: string): string => (mode === '' || mode === 'default' ? defaultNetwork : mode);

export function parseNetworkMode(mode: string): NetworkMode {
  if (mode === 'none' || mode === 'host') return { mode };
  if (mode.startsWith('container:')) return { mode: 'container', container: mode.slice('container:'.length) };
  return { mode: 'networks' };
}

/** A container in the host's network has its ports anyway. Returns warnings. */
export const discardedPorts = ({ networkMode, portBindings, publishAllPorts }: HostConfig): string[] =>
  networkMode === 'host' && (publishAllPorts || Object.keys(portBindings).length > 0)
    ? ['Published ports are discarded when using host network mode']
    : [];

/** The networks a new container joins: the one its mode names, and those it has endpoint settings for. */
export function requestedEndpoints(
  hostConfig: HostConfig,
  endpoints: Readonly<Record<string, EndpointConfig>>,
): Readonly<Record<string, EndpointConfig>> {
  const { mode } = parseNetworkMode(hostConfig.networkMode);
  if (mode === 'container') return {};
  const named = Object.fromEntries(Object.entries(endpoints).map(([name, endpoint]) => [normalizeNetworkMode(name), endpoint]));
  if (mode !== 'networks') return { [mode]: named[mode] ?? {} };
  return { ...(hostConfig.networkMode in named ? {} : { [hostConfig.networkMode]: {} }), ...named };
}

/** `linked`: hosts that links add. */
/** What a container's links on the default bridge come to. */
export interface LinkedContainers {
  /** As extra hosts are given. */
  readonly hosts: readonly string[];
  readonly ids: readonly string[];
}

export const noLinks: LinkedContainers = { hosts: [], ids: [] };

export function sandboxRequest(
  { id, name, config, hostConfig, endpoints }: Container,
  linked: LinkedContainers,
  userNamespace?: UserNamespace,
): SandboxRequest {
  return {
    containerId: id,
    containerName: name,
    hostname: config.hostname,
    domainname: config.domainname,
    mode: config.networkDisabled ? { mode: 'none' } : parseNetworkMode(hostConfig.networkMode),
    endpoints,
    portBindings: hostConfig.portBindings,
    exposedPorts: config.exposedPorts,
    publishAllPorts: hostConfig.publishAllPorts,
    dns: hostConfig.dns,
    dnsOptions: hostConfig.dnsOptions,
    dnsSearch: hostConfig.dnsSearch,
    extraHosts: linked.hosts.length === 0 ? hostConfig.extraHosts : [...hostConfig.extraHosts, ...linked.hosts],
    ...(linked.ids.length === 0 ? {} : { linkedContainers: linked.ids }),
    ...(userNamespace === undefined ? {} : { userNamespace }),
  };
}
