import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '#base/errors.ts';
import { newId } from '#base/id.ts';
import { createLogger, silentLogger } from '#base/log.ts';
import type { EngineEvent } from '#core/events.ts';
import type { Sandbox, SandboxRequest } from '#core/network.ts';
import type { RecordStore } from '#core/records.ts';
import type { NetworkOptions } from '#engine/networks/options.ts';
import { createNetworkService } from '#engine/networks/service.ts';
import { readHosts, readResolvConf } from '#host/machine/network-files.ts';
import { createNameServer } from '#host/dns/name-server.ts';
import { createFlowForgetter } from '#host/netlink/conntrack.ts';
import { createNetworkDriver } from '#host/netlink/network-driver.ts';
import { createNetworkWatch } from '#host/netlink/network-watch.ts';
import { createFirewall } from '#host/nftables/firewall.ts';
import { createKeyFiles } from '#host/overlay-keys/key-files.ts';
import { createNetworkPlugins } from '#host/network-plugins/network-plugins.ts';
import { createHostPorts } from '#host/ports/host-ports.ts';
import { openSqliteRecords } from '#host/state/sqlite-records.ts';
import { runInNamespace } from '#host/sys/netns.ts';
import { openNftables } from '#host/sys/nftables.ts';

const suffix = process.pid.toString(16).padStart(6, '0').slice(-6);
const lanLink = `vl${suffix}`;

/** The network service with the real kernel under it, on names and addresses of its own. */
export class NetworkStack {
  readonly dir: string;
  readonly events: Omit<EngineEvent, 'timeNano'>[] = [];
  /** What the service says, line by line. */
  readonly logged: string[] = [];
  readonly table: string;
  readonly bridge: string;
  readonly lanBridge = `bl${suffix}`;
  readonly #records: RecordStore;
  readonly #watching = new DisposableStack();
  readonly driver: ReturnType<typeof createNetworkDriver>;
  /** What another machine on the host's network would be: a namespace behind a bridge that the daemon knows nothing of. */
  readonly #outside: ReturnType<typeof createNetworkDriver>;
  readonly service: ReturnType<typeof createNetworkService>;
  #lan: string | undefined;

  constructor(
    options: Partial<NetworkOptions> = {},
    dir = mkdtempSync(join(tmpdir(), 'berth-net-')),
    firewall: { readonly hostDecides?: boolean } = {},
  ) {
    this.dir = dir;
    this.bridge = options.bridgeName ?? `bt${suffix}`;
    this.table = `berth_${this.bridge.replaceAll('-', '_')}`;
    this.#records = openSqliteRecords(join(dir, 'berth.db'));
    const driver = createNetworkDriver({ namespaceDir: join(dir, 'netns'), userNamespaceDir: join(dir, 'userns') });
    this.driver = driver;
    this.#outside = createNetworkDriver({ namespaceDir: join(dir, 'outside'), userNamespaceDir: join(dir, 'outside-userns') });
    const [watch, keyFiles] = [createNetworkWatch(silentLogger), createKeyFiles()];
    this.service = createNetworkService({
      records: this.#records,
      driver,
      firewall: createFirewall({
        table: this.table,
        nftables: openNftables(),
        forgetFlows: createFlowForgetter({ hostAddresses: driver.hostAddresses, log: silentLogger }),
        hostDecides: firewall.hostDecides ?? false,
        log: silentLogger,
      }),
      hostPorts: createHostPorts({ execRoot: this.dir, log: silentLogger }),
      watch: {
        watch: changed => this.#watching.use(watch.watch(changed)),
        watchEncryption: changed => this.#watching.use(watch.watchEncryption(changed)),
      },
      plugins: createNetworkPlugins(
        { sockets: [join(dir, 'plugins')], descriptions: [] },
        { hostAddress: driver.egressAddress, log: silentLogger, times: { workMs: 3000, undoMs: 1500 } },
      ),
      keyFiles: { read: keyFiles.read, watch: changed => this.#watching.use(keyFiles.watch(changed)) },
      createNameServer: lookup => createNameServer({ lookup, log: silentLogger }),
      hostFiles: { hosts: readHosts, resolvConf: readResolvConf },
      events: { publish: event => void this.events.push(event) },
      log: createLogger({ level: 'info', format: 'text', write: line => void this.logged.push(line) }),
      options: {
        bridgeName: this.bridge as string | undefined,
        bridgeIsGiven: false,
        bip: undefined,
        fixedCidr: undefined,
        bip6: undefined,
        fixedCidrV6: undefined,
        ipv6: false,
        defaultGateways: { 4: undefined, 6: undefined },
        defaultNetworkOptions: {},
        allowDirectRouting: false,
        hostGateways: [],
        mtu: 1500,
        icc: true,
        masquerade: true,
        forwarding: true,
        hostBinding: '',
        // What a killed run left behind, rules for its subnets among it, must not get into the way of this one.
        addressPools: [{ base: `10.${String(150 + (process.pid % 60))}.0.0/16`, size: 24 }],
        engineId: 'test',
        dns: [],
        dnsOptions: [],
        dnsSearch: [],
        ...options,
      },
    });
  }

  request(name: string, over: Partial<SandboxRequest> = {}): SandboxRequest {
    return {
      containerId: newId(),
      containerName: name,
      hostname: name,
      domainname: '',
      mode: { mode: 'networks' },
      endpoints: { bridge: {} },
      portBindings: {},
      exposedPorts: [],
      publishAllPorts: false,
      dns: [],
      dnsOptions: [],
      dnsSearch: [],
      extraHosts: [],
      ...over,
    };
  }

  async start(name: string, over: Partial<SandboxRequest> = {}): Promise<Member> {
    const request = this.request(name, over);
    const sandbox = await this.service.setup(request, AbortSignal.timeout(10_000));
    if (sandbox.namespace.kind !== 'path') throw new Error(`${name} has no namespace of its own`);
    return new Member(request, sandbox, sandbox.namespace.path);
  }

  createNetwork(name: string, over: Partial<Parameters<typeof this.service.create>[0]> = {}) {
    const ipam = { driver: '', options: {}, pools: [] };
    const rest = {
      ...{ driver: '', enableIpv4: true, enableIpv6: false, internal: false, attachable: false },
      ...{ configOnly: false, configFrom: '', options: {}, labels: {} },
    };
    return this.service.create({ name, ipam, ...rest, ...over });
  }

  /** A neighbour of the host, whose address for it is 10.214.0.1. */
  async lanHost(): Promise<string> {
    return (this.#lan ??= await this.#makeLan());
  }

  async #makeLan(): Promise<string> {
    this.#outside.putBridge({
      name: this.lanBridge,
      mac: '02:00:00:00:0f:01',
      mtu: 1500,
      addresses: ['10.214.0.1/24'],
      routesNeighbours: false,
      keepsAddresses: false,
    });
    // An interface that the daemon did not make has the kernel's default.
    writeFileSync(`/proc/sys/net/ipv4/conf/${this.lanBridge}/route_localnet`, '0');
    const link = {
      kind: 'bridged' as const,
      settings: {},
      hostName: lanLink,
      bridge: this.lanBridge,
      name: 'eth0',
      mac: '02:00:00:00:0f:02',
      mtu: 1500,
    };
    const neighbour = { ...link, addresses: ['10.214.0.2/24'], hairpin: false, isolated: false };
    return (await this.#outside.createSandbox('lan', [neighbour], [{ family: 4, link: 'eth0', gateway: '10.214.0.1' }])).path;
  }

  /** The daemon that comes after one that was killed: the same data, nothing else. */
  restarted(options: Partial<NetworkOptions> = {}): NetworkStack {
    this.#watching.dispose();
    return new NetworkStack(options, this.dir);
  }

  async close(): Promise<void> {
    await this.service.close();
    this.#outside.removeSandbox('lan');
    // An open socket of this process keeps the neighbour's namespace, and with it the interface, whose name the next neighbour has as well.
    if (this.#outside.linkNames().includes(lanLink)) await this.#outside.removeLink(lanLink);
    await this.#outside.removeBridge(this.lanBridge);
    this.#outside[Symbol.dispose]();
    this.driver[Symbol.dispose]();
    this.#records.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** What would be a container: a sandbox with servers of this test in it. */
export class Member {
  readonly request: SandboxRequest;
  readonly sandbox: Sandbox;
  readonly path: string;
  readonly #servers: { stop(closeActive?: boolean): void }[] = [];

  constructor(request: SandboxRequest, sandbox: Sandbox, path: string) {
    this.request = request;
    this.sandbox = sandbox;
    this.path = path;
  }

  get address(): string {
    return Object.values(this.sandbox.endpoints)[0]?.ipAddress ?? '';
  }

  /** Answers every TCP connection with `name peer-address`. */
  serve(port: number, hostname = '0.0.0.0'): void {
    const { containerName } = this.request;
    const answer = (socket: Bun.Socket): void => void socket.end(`${containerName} ${socket.remoteAddress.replace(/^::ffff:/, '')}`);
    this.#servers.push(runInNamespace(this.path, () => Bun.listen({ hostname, port, socket: { open: answer, data: () => undefined } })));
  }

  /** Sends every datagram back with its name before it. */
  async echo(port: number): Promise<void> {
    const { containerName } = this.request;
    const opening = runInNamespace(this.path, () =>
      Bun.udpSocket({
        hostname: '0.0.0.0',
        port,
        socket: { data: (socket, data, peerPort, peer) => void socket.send(`${containerName} ${data.toString()}`, peerPort, peer) },
      }),
    );
    const socket = await opening;
    this.#servers.push({ stop: () => socket.close() });
  }

  /** Every datagram that arrives at these ports. */
  async collect(...ports: readonly number[]): Promise<string[]> {
    const got: string[] = [];
    for (const port of ports) {
      const socket = { data: (_socket: unknown, data: Buffer) => void got.push(data.toString()) };
      const opening = runInNamespace(this.path, () => Bun.udpSocket({ hostname: '0.0.0.0', port, socket }));
      const opened = await opening;
      this.#servers.push({ stop: () => opened.close() });
    }
    return got;
  }

  alsoStops(stop: () => void): void {
    this.#servers.push({ stop });
  }

  /** IPv6. */
  get address6(): string {
    return Object.values(this.sandbox.endpoints)[0]?.globalIpv6Address ?? '';
  }

  stop(): void {
    for (const server of this.#servers) server.stop(true);
  }
}

/**
 * What a TCP server answers; `refused` or `timeout` when there is none. `path`: from this namespace. Waits long enough for a lost packet to be sent again,
 * which TCP does after a second; who expects no answer says how long to wait for it.
 */
export async function fetchTcp(path: string | undefined, hostname: string, port: number, timeoutMs = 3000): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = '';
  const connect = () =>
    Bun.connect({
      hostname,
      port,
      socket: {
        data: (_socket, data) => void (text += data.toString()),
        close: () => resolve(text === '' ? 'closed' : text),
        connectError: () => resolve('refused'),
      },
    });
  const timer = setTimeout(() => resolve('timeout'), timeoutMs);
  const opening = path === undefined ? connect() : runInNamespace(path, connect);
  void opening.then(
    socket => void promise.then(() => socket.end()),
    () => resolve('refused'),
  );
  const answer = await promise;
  clearTimeout(timer);
  return answer;
}

/** Why it was refused; `done` when it was not. */
export const refusal = (asked: Promise<unknown>): Promise<string> => asked.then(() => 'done', messageOf);
