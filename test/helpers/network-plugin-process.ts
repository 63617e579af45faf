import { existsSync, appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A plugin for networks and addresses as others write them: `bun network-plugin-process.ts SOCKET FOLDER`. A network is a bridge of the namespace it runs in,
 * an endpoint a pair of interfaces. What it has is in FOLDER/state.json, what it was asked in FOLDER/calls.jsonl. What a test puts into FOLDER/behave.json
 * changes it, see `Behaviour`.
 */
const [socket = '', folder = ''] = process.argv.slice(2);

interface Behaviour {
  /** Methods that are refused, never answered, end the plugin before or after they are done. */
  readonly refuse?: string;
  readonly hang?: string;
  readonly die?: string;
  readonly dieAfter?: string;
  readonly scope?: string;
  /** Fields of the answer to Join. */
  readonly join?: Readonly<Record<string, unknown>>;
  /** Interface that CreateEndpoint answers with. */
  readonly interface?: Readonly<Record<string, string>>;
  /** It can be asked whether networks need a gateway. */
  readonly needsGateway?: boolean;
  readonly needsMac?: boolean;
  readonly needsReplay?: boolean;
}

interface State {
  networks: string[];
  /** Endpoints by id, with those of them that a container has joined. */
  endpoints: Record<string, 'made' | 'joined'>;
  /** How often each pool was asked for, and the addresses taken of it. */
  pools: Record<string, { uses: number; taken: string[] }>;
  allocated: string[];
  published: string[];
}

interface Body {
  readonly NetworkID?: string;
  readonly EndpointID?: string;
  readonly IPv4Data?: readonly { readonly Gateway?: string }[];
  readonly Pool?: string;
  readonly PoolID?: string;
  readonly Address?: string;
  readonly V6?: boolean;
}

const read = <T>(name: string, otherwise: T): T => {
  const file = join(folder, name);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as T) : otherwise;
};
const behaviour = (): Behaviour => read('behave.json', {});
const state: State = read('state.json', { networks: [], endpoints: {}, pools: {}, allocated: [], published: [] });
const save = (): void => writeFileSync(join(folder, 'state.json'), JSON.stringify(state));
save();

const bridgeOf = (id = ''): string => `np${id.slice(0, 10)}`;
const linkOf = (id = ''): string => `nv${id.slice(0, 10)}`;
const insideOf = (id = ''): string => `ni${id.slice(0, 10)}`;

function ip(...args: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(['ip', ...args]);
  if (exitCode !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr.toString().trim()}`);
}
const drop = <T>(list: T[], item: T, what: string): void => {
  const at = list.indexOf(item);
  if (at === -1) throw new Error(`there is no ${what} ${String(item)}`);
  list.splice(at, 1);
};
const host = (subnet: string, number: number): string => subnet.replace(/\d+\/(\d+)$/, `${String(number)}/$1`);

const network: Readonly<Record<string, (body: Body) => object>> = {
  GetCapabilities: () => ({ Scope: behaviour().scope ?? 'local', GwAllocChecker: behaviour().needsGateway !== undefined }),
  GwAllocCheck: () => ({ SkipIPv4: behaviour().needsGateway === false }),
  AllocateNetwork({ NetworkID = '' }) {
    state.allocated.push(NetworkID);
    return { Options: { allocated: 'yes' } };
  },
  FreeNetwork({ NetworkID = '' }) {
    drop(state.allocated, NetworkID, 'allocated network');
    return {};
  },
  CreateNetwork({ NetworkID, IPv4Data = [] }) {
    ip('link', 'add', bridgeOf(NetworkID), 'type', 'bridge');
    ip('link', 'set', bridgeOf(NetworkID), 'up');
    const gateway = IPv4Data[0]?.Gateway;
    if (gateway !== undefined) ip('address', 'add', gateway, 'dev', bridgeOf(NetworkID));
    state.networks.push(NetworkID ?? '');
    return {};
  },
  DeleteNetwork({ NetworkID = '' }) {
    drop(state.networks, NetworkID, 'network');
    ip('link', 'delete', bridgeOf(NetworkID));
    return {};
  },
  CreateEndpoint({ NetworkID, EndpointID = '' }) {
    ip('link', 'add', linkOf(EndpointID), 'type', 'veth', 'peer', 'name', insideOf(EndpointID));
    ip('link', 'set', linkOf(EndpointID), 'master', bridgeOf(NetworkID), 'up');
    state.endpoints[EndpointID] = 'made';
    return behaviour().interface === undefined ? { Interface: null } : { Interface: behaviour().interface };
  },
  EndpointOperInfo: ({ EndpointID = '' }) =>
    state.published.includes(EndpointID)
      ? { Value: { 'com.docker.network.portmap': [{ Proto: 6, Port: 80, HostIP: '0.0.0.0', HostPort: 28_480 }] } }
      : { Value: {} },
  DeleteEndpoint({ EndpointID = '' }) {
    if (state.endpoints[EndpointID] === undefined) throw new Error(`there is no endpoint ${EndpointID}`);
    // Only what has come back can be seen to go; the other end goes with it.
    ip('link', 'delete', linkOf(EndpointID));
    state.endpoints = Object.fromEntries(Object.entries(state.endpoints).filter(([id]) => id !== EndpointID));
    return {};
  },
  Join({ EndpointID = '' }) {
    state.endpoints[EndpointID] = 'joined';
    return { InterfaceName: { SrcName: insideOf(EndpointID), DstPrefix: 'plug' }, ...behaviour().join };
  },
  Leave({ EndpointID = '' }) {
    if (state.endpoints[EndpointID] !== 'joined') throw new Error(`${EndpointID} is nowhere`);
    state.endpoints[EndpointID] = 'made';
    return {};
  },
  ProgramExternalConnectivity({ EndpointID = '' }) {
    state.published.push(EndpointID);
    return {};
  },
  RevokeExternalConnectivity({ EndpointID = '' }) {
    drop(state.published, EndpointID, 'published endpoint');
    return {};
  },
  DiscoverNew: () => ({}),
  DiscoverDelete: () => ({}),
};

const ipam: Readonly<Record<string, (body: Body) => object>> = {
  GetDefaultAddressSpaces: () => ({ LocalDefaultAddressSpace: 'here', GlobalDefaultAddressSpace: 'everywhere' }),
  GetCapabilities: () => ({
    RequiresMACAddress: behaviour().needsMac === true,
    RequiresRequestReplay: behaviour().needsReplay === true,
  }),
  RequestPool({ Pool = '', V6 = false }) {
    const subnet = Pool !== '' ? Pool : V6 ? 'fd13:251::/112' : '10.251.0.0/24';
    const pool = (state.pools[subnet] ??= { uses: 0, taken: [] });
    pool.uses += 1;
    return { PoolID: subnet, Pool: subnet, Data: {} };
  },
  ReleasePool({ PoolID = '' }) {
    const pool = state.pools[PoolID];
    if (pool === undefined) throw new Error(`there is no pool ${PoolID}`);
    pool.uses -= 1;
    if (pool.uses <= 0) state.pools = Object.fromEntries(Object.entries(state.pools).filter(([id]) => id !== PoolID));
    return {};
  },
  RequestAddress({ PoolID = '', Address = '' }) {
    const pool = state.pools[PoolID];
    if (pool === undefined) throw new Error(`there is no pool ${PoolID}`);
    if (Address !== '' && pool.taken.includes(Address)) throw new Error(`${Address} is taken`);
    const isV6 = PoolID.includes(':');
    const numbers = Array.from({ length: 250 }, (_, index) => index + 1);
    const candidates = numbers.map(number => (isV6 ? PoolID.replace(/::\/(\d+)$/, `::${number.toString(16)}/$1`) : host(PoolID, number)));
    const found =
      Address === '' ? candidates.find(one => !pool.taken.includes(one.replace(/\/.*/, ''))) : `${Address}/${PoolID.split('/')[1] ?? ''}`;
    if (found === undefined) throw new Error('all addresses are taken');
    pool.taken.push(found.replace(/\/.*/, ''));
    return { Address: found, Data: {} };
  },
  ReleaseAddress({ PoolID = '', Address = '' }) {
    drop(state.pools[PoolID]?.taken ?? [], Address, 'address');
    return {};
  },
};

Bun.serve({
  unix: socket,
  async fetch(request) {
    // Docker names the socket as the host.
    const method = new URL(request.url, 'http://plugin').pathname.slice(1);
    if (method === 'Plugin.Activate') return Response.json({ Implements: ['NetworkDriver', 'IpamDriver'] });
    const text = await request.text();
    const body = (text === '' ? {} : JSON.parse(text)) as Body;
    appendFileSync(join(folder, 'calls.jsonl'), `${JSON.stringify({ method, body })}\n`);
    const [kind, name = ''] = method.split('.');
    const { refuse, hang, die, dieAfter } = behaviour();
    if (die === method) process.exit(1);
    if (hang === method) await Bun.sleep(600_000);
    const action = (kind === 'IpamDriver' ? ipam : network)[name];
    if (action === undefined) return new Response('404 page not found', { status: 404 });
    try {
      if (refuse === method) throw new Error(`not today`);
      const answer = action(body);
      save();
      if (dieAfter === method) process.exit(1);
      return Response.json(answer);
    } catch (err) {
      return Response.json({ Err: err instanceof Error ? err.message : String(err) });
    }
  },
});
