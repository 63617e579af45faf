import type { EndpointSettings } from '#api/types/network.ts';
import type { EndpointConfig, EndpointState } from '#core/network.ts';

/** What a user asks of an endpoint; what only the engine knows is ignored. */
export function fromWireEndpoint(wire: EndpointSettings): EndpointConfig {
  const ipam = wire.IPAMConfig;
  return {
    ...text('ipv4Address', ipam?.IPv4Address),
    ...text('ipv6Address', ipam?.IPv6Address),
    ...texts('linkLocalIps', ipam?.LinkLocalIPs),
    ...text('macAddress', wire.MacAddress),
    ...texts('aliases', wire.Aliases),
    ...texts('links', wire.Links),
    ...(wire.DriverOpts === null || wire.DriverOpts === undefined ? {} : { driverOpts: wire.DriverOpts }),
    ...(wire.GwPriority === undefined ? {} : { gwPriority: wire.GwPriority }),
  };
}

const text = <K extends string>(key: K, value: string | undefined): { readonly [P in K]?: string } =>
  (value === undefined || value === '' ? {} : { [key]: value }) as { readonly [P in K]?: string };

const texts = <K extends string>(key: K, value: readonly string[] | null | undefined): { readonly [P in K]?: readonly string[] } =>
  (value === null || value === undefined || value.length === 0 ? {} : { [key]: value }) as { readonly [P in K]?: readonly string[] };

/** An endpoint as inspect shows it: what was asked for, and what it has while the container runs. */
export function toWireEndpoint(
  config: EndpointConfig | undefined,
  state: EndpointState | undefined,
  lastNetworkId?: string,
): EndpointSettings {
  const { ipv4Address, ipv6Address, linkLocalIps } = config ?? {};
  const asksAddress = ipv4Address !== undefined || ipv6Address !== undefined || linkLocalIps !== undefined;
  return {
    IPAMConfig: asksAddress
      ? { IPv4Address: ipv4Address, IPv6Address: ipv6Address, ...(linkLocalIps === undefined ? {} : { LinkLocalIPs: [...linkLocalIps] }) }
      : null,
    Links: config?.links === undefined ? null : [...config.links],
    Aliases: config?.aliases === undefined ? null : [...config.aliases],
    MacAddress: state?.macAddress ?? config?.macAddress ?? '',
    DriverOpts: config?.driverOpts ?? null,
    GwPriority: config?.gwPriority ?? 0,
    NetworkID: state?.networkId ?? lastNetworkId ?? '',
    EndpointID: state?.endpointId ?? '',
    Gateway: state?.gateway ?? '',
    IPAddress: state?.ipAddress ?? '',
    IPPrefixLen: state?.ipPrefixLength ?? 0,
    IPv6Gateway: state?.ipv6Gateway ?? '',
    GlobalIPv6Address: state?.globalIpv6Address ?? '',
    GlobalIPv6PrefixLen: state?.globalIpv6PrefixLength ?? 0,
    DNSNames: state === undefined || state.dnsNames.length === 0 ? null : [...state.dnsNames],
  };
}

/** Every network a container has asked for or is on, by name. */
export function toWireEndpoints(
  configs: Readonly<Record<string, EndpointConfig>>,
  states: Readonly<Record<string, EndpointState>>,
  lastNetworkIds: Readonly<Record<string, string>> = {},
): Record<string, EndpointSettings> {
  const names = new Set([...Object.keys(configs), ...Object.keys(states)]);
  return Object.fromEntries([...names].map(name => [name, toWireEndpoint(configs[name], states[name], lastNetworkIds[name])]));
}
