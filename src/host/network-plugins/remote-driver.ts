import { parseCidr, parseIp, formatIp } from '#base/ip.ts';
import type { PortBinding, PortMap, Protocol } from '#core/network.ts';
import type {
  EndpointAddresses,
  JoinedEndpoint,
  RemoteEndpoint,
  RemoteNetwork,
  RemoteNetworkDriver,
  RemotePool,
  RemoteUndo,
  WantedPorts,
} from '#core/network-plugins.ts';
import { PluginFailure } from '#core/network-plugins.ts';
import type { PluginCalls } from './plugin-call.ts';

/** Keys of options as Docker's daemons send them. */
const generic = 'com.docker.network.generic';
const portMapKey = 'com.docker.network.portmap';
const exposedPortsKey = 'com.docker.network.endpoint.exposedports';
const macKey = 'com.docker.network.endpoint.macaddress';
/** IP protocol numbers. */
const protocolNumbers: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17, sctp: 132 };
const nodeDiscovery = 1;
const connectedRoute = 1;

interface WireInterface {
  readonly Address?: string;
  readonly AddressIPv6?: string;
  readonly MacAddress?: string;
}

interface WireJoin {
  readonly InterfaceName?: { readonly SrcName?: string; readonly DstPrefix?: string; readonly DstName?: string } | null;
  readonly Gateway?: string;
  readonly GatewayIPv6?: string;
  readonly StaticRoutes?: readonly { readonly Destination?: string; readonly RouteType?: number; readonly NextHop?: string }[] | null;
  readonly DisableGatewayService?: boolean;
}

export interface NetworkCapabilities {
  readonly scope: 'local' | 'global';
  /** How far its networks reach. */
  readonly connects: 'local' | 'global';
  readonly checksGateways: boolean;
}

/** A driver that can be told by which address other hosts know this one. */
export interface DiscoveringDriver extends RemoteNetworkDriver {
  readonly connects: 'local' | 'global';
  discover(event: 'new' | 'delete', address: string): Promise<void>;
}

/** Asks a plugin what it is. Rejects with PluginFailure for a scope that there is not. */
export async function networkCapabilities(calls: PluginCalls): Promise<NetworkCapabilities> {
  const answer = await calls.call<{
    readonly Scope?: string;
    readonly ConnectivityScope?: string;
    readonly GwAllocChecker?: boolean;
  }>('GetCapabilities', {}, { timeoutMs: calls.greetingMs });
  const scopeOf = (text: string): 'local' | 'global' => {
    const scope = text.toLowerCase();
    if (scope === 'local' || scope === 'global') return scope;
    throw calls.nonsense('GetCapabilities', `the scope "${text}": want local or global`);
  };
  const scope = scopeOf(answer.Scope ?? '');
  return { scope, connects: scopeOf(answer.ConnectivityScope || scope), checksGateways: answer.GwAllocChecker === true };
}

/** Networks of a plugin, by Docker's protocol for remote network drivers. */
export function createRemoteDriver(calls: PluginCalls, { scope, connects, checksGateways }: NetworkCapabilities): DiscoveringDriver {
  return {
    name: calls.name,
    scope,
    async allocateNetwork(network) {
      const body = { NetworkID: network.id, Options: network.options, ...poolData(network) };
      try {
        const answer = await calls.callIfKnown<{ readonly Options?: Readonly<Record<string, string>> | null }>('AllocateNetwork', body);
        return answer === undefined ? undefined : (answer.Options ?? {});
      } catch (err) {
        // Only managers of clusters call it elsewhere: many plugins have it to say no.
        if (err instanceof PluginFailure && err.kind === 'FailedPrecondition') return undefined;
        throw err;
      }
    },
    async withoutGateway(network) {
      if (!checksGateways) return { 4: false, 6: false };
      const answer = await calls.call<{ readonly SkipIPv4?: boolean; readonly SkipIPv6?: boolean }>('GwAllocCheck', {
        Options: networkOptions(network),
      });
      return { 4: answer.SkipIPv4 === true, 6: answer.SkipIPv6 === true };
    },
    async createNetwork(network) {
      await calls.call('CreateNetwork', { NetworkID: network.id, Options: networkOptions(network), ...poolData(network) });
    },
    async createEndpoint(endpoint, given, { ports, driverOpts }) {
      const answer = await calls.call<{ readonly Interface?: WireInterface | null }>('CreateEndpoint', {
        ...wireEndpoint(endpoint),
        Interface: { Address: given.ipv4, AddressIPv6: given.ipv6, MacAddress: given.mac },
        Options: {
          ...driverOpts,
          ...(given.mac === '' ? {} : { [macKey]: given.mac }),
          ...(ports === undefined ? {} : portOptions(ports)),
        },
      });
      return chosenAddresses(calls, given, answer.Interface ?? {});
    },
    async join(endpoint, sandboxPath, ports) {
      const body = { ...wireEndpoint(endpoint), SandboxKey: sandboxPath, Options: portOptions(ports) };
      return joined(calls, await calls.call<WireJoin>('Join', body));
    },
    async openPorts(endpoint, ports) {
      await calls.callIfKnown('ProgramExternalConnectivity', { ...wireEndpoint(endpoint), Options: portOptions(ports) });
    },
    async portsOf(endpoint) {
      try {
        const { Value } = await calls.call<{ readonly Value?: Readonly<Record<string, unknown>> | null }>(
          'EndpointOperInfo',
          wireEndpoint(endpoint),
        );
        return portMapOf(Value?.[portMapKey]);
      } catch (err) {
        // Whoever has nothing to tell may refuse.
        if (err instanceof PluginFailure && err.kind === 'FailedPrecondition') return {};
        throw err;
      }
    },
    connects,
    async discover(event, address) {
      await calls.callIfKnown(event === 'new' ? 'DiscoverNew' : 'DiscoverDelete', {
        DiscoveryType: nodeDiscovery,
        DiscoveryData: { Address: address, BindAddress: address, Self: true },
      });
    },
    async undo(undo: RemoteUndo) {
      const { call, ...what } = undo;
      const body =
        'networkId' in what ? { NetworkID: what.networkId, ...('endpointId' in what ? { EndpointID: what.endpointId } : {}) } : {};
      await calls.callIfKnown(call, body, { timeoutMs: calls.times.undoMs, isPatient: false });
    },
  };
}

const wireEndpoint = ({ networkId, endpointId }: RemoteEndpoint) => ({ NetworkID: networkId, EndpointID: endpointId });

const networkOptions = ({ options, enableIpv4, enableIpv6, internal }: Omit<RemoteNetwork, 'pools'>) => ({
  [generic]: options,
  'com.docker.network.enable_ipv4': enableIpv4,
  'com.docker.network.enable_ipv6': enableIpv6,
  ...(internal ? { 'com.docker.network.internal': true } : {}),
});

const poolData = ({ pools }: RemoteNetwork) => ({ IPv4Data: pools[4].map(wirePool), IPv6Data: pools[6].map(wirePool) });

const wirePool = ({ addressSpace, pool, gateway, auxiliary }: RemotePool) => ({
  AddressSpace: addressSpace,
  Pool: pool,
  ...(gateway === '' ? {} : { Gateway: gateway }),
  ...(Object.keys(auxiliary).length === 0 ? {} : { AuxAddresses: auxiliary }),
});

const portOptions = ({ exposed, bindings }: WantedPorts) => ({
  [exposedPortsKey]: exposed.map(({ protocol, port }) => ({ Proto: protocolNumbers[protocol], Port: port })),
  [portMapKey]: bindings.map(({ protocol, port, hostIp, hostPorts: [first, last] }) => ({
    Proto: protocolNumbers[protocol],
    IP: '',
    Port: port,
    HostIP: hostIp,
    HostPort: first,
    HostPortEnd: last,
  })),
});

/** What the daemon has given is not the plugin's to change. */
function chosenAddresses(calls: PluginCalls, given: EndpointAddresses, { Address = '', AddressIPv6 = '', MacAddress = '' }: WireInterface) {
  const answered: EndpointAddresses = { ipv4: Address, ipv6: AddressIPv6, mac: MacAddress.toLowerCase() };
  for (const [what, family] of [
    ['ipv4', 4],
    ['ipv6', 6],
  ] as const) {
    if (answered[what] !== '' && parseCidr(answered[what])?.prefix.family !== family)
      throw calls.nonsense('CreateEndpoint', `the address "${answered[what]}": want one of IPv${String(family)} with a prefix length`);
  }
  if (answered.mac !== '' && !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(answered.mac))
    throw calls.nonsense('CreateEndpoint', `the MAC address "${MacAddress}"`);
  for (const what of ['ipv4', 'ipv6', 'mac'] as const) {
    if (given[what] !== '' && answered[what] !== '' && answered[what] !== given[what].toLowerCase())
      throw calls.nonsense('CreateEndpoint', `${answered[what]} in place of ${given[what]}, which it was given`);
  }
  return { ipv4: given.ipv4 || answered.ipv4, ipv6: given.ipv6 || answered.ipv6, mac: given.mac || answered.mac };
}

function joined(calls: PluginCalls, answer: WireJoin): JoinedEndpoint {
  const gateway = (what: string, text: string | undefined, family: 4 | 6): string => {
    if (text === undefined || text === '') return '';
    const address = parseIp(text);
    if (address?.family !== family) throw calls.nonsense('Join', `the ${what} "${text}": want an IPv${String(family)} address`);
    return formatIp(address);
  };
  const { SrcName: sourceName = '', DstPrefix: prefix = '' } = answer.InterfaceName ?? {};
  return {
    sourceName,
    prefix: prefix === '' ? 'eth' : prefix,
    gateways: { 4: gateway('Gateway', answer.Gateway, 4), 6: gateway('GatewayIPv6', answer.GatewayIPv6, 6) },
    routes: (answer.StaticRoutes ?? []).map(({ Destination = '', RouteType, NextHop = '' }) => {
      const family = parseCidr(Destination)?.prefix.family;
      if (family === undefined) throw calls.nonsense('Join', `a route to "${Destination}": want an address and a prefix length`);
      if (RouteType !== connectedRoute && parseIp(NextHop)?.family !== family)
        throw calls.nonsense('Join', `a route to ${Destination} by "${NextHop}": want an IPv${String(family)} address`);
      return { destination: Destination, nextHop: RouteType === connectedRoute ? undefined : NextHop };
    }),
    isComplete: answer.DisableGatewayService === true,
  };
}

/** A list as in the requests; anything else tells nothing. */
function portMapOf(value: unknown): PortMap {
  const map: Record<string, PortBinding[]> = {};
  for (const entry of Array.isArray(value) ? (value as readonly unknown[]) : []) {
    const { Proto, Port, HostIP, HostPort } = (entry ?? {}) as Readonly<Record<string, unknown>>;
    const protocol = (Object.keys(protocolNumbers) as Protocol[]).find(one => protocolNumbers[one] === Proto);
    if (protocol === undefined || typeof Port !== 'number') continue;
    const binding = { hostIp: typeof HostIP === 'string' ? HostIP : '', hostPort: typeof HostPort === 'number' ? String(HostPort) : '' };
    (map[`${String(Port)}/${protocol}`] ??= []).push(binding);
  }
  return map;
}
