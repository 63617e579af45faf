import { messageOf } from '#base/errors.ts';
import { cleanUp } from '#base/dispose.ts';
import type { EndpointConfig, NetworkMode, Sandbox, SandboxRequest } from '#core/network.ts';
import { connect, disconnect, renamed } from './connect.ts';
import { createContext, type NetworkDependencies } from './context.ts';
import { createNetwork } from './create.ts';
import type { CreateNetwork } from './create-request.ts';
import { listMatching, type NetworkFilters, prunable } from './filters.ts';
import type { Network } from './model.ts';
import { followMtu } from './follow-mtu.ts';
import { lookupIn } from './names.ts';
import { followKeys, followPeers } from './overlay-peers.ts';
import { ensurePredefined } from './predefined.ts';
import { relink } from './links.ts';
import { type Recovered, recover } from './recover.ts';
import { takeFromKernel } from './network-links.ts';
import { removeNetwork } from './remove.ts';
import { setup, wantedNetworks } from './setup.ts';
import { teardown } from './teardown.ts';
import { watchKernel } from './watch.ts';

/** A container as `network inspect` lists it. */
export interface NetworkUser {
  readonly containerId: string;
  readonly containerName: string;
  readonly endpointId: string;
  readonly macAddress: string;
  /** With prefix length; empty when there is none. */
  readonly ipv4Address: string;
  readonly ipv6Address: string;
}

/** Networks and the sandboxes of containers on them. Implements what the containers need (their `ContainerNetworks`) and what the API shows. */
export interface NetworkService {
  /** By id, name or beginning of an id. Rejects with NotFound. */
  inspect(ref: string): Network;
  users(network: Network): NetworkUser[];
  list(filters: NetworkFilters): Network[];
  create(request: CreateNetwork): Promise<Network>;
  remove(ref: string): Promise<void>;
  /** Removes what nobody uses; returns the names. `untilMs`: only what is older. */
  prune(filters: NetworkFilters, untilMs: number | undefined): Promise<string[]>;

  check(mode: NetworkMode, endpoints: Readonly<Record<string, EndpointConfig>>): { id: string; name: string; driver: string }[];
  setup(request: SandboxRequest, signal: AbortSignal): Promise<Sandbox>;
  teardown(containerId: string): Promise<void>;
  connect(request: SandboxRequest, network: string, signal: AbortSignal): Promise<Sandbox>;
  disconnect(containerId: string, network: string): Promise<Sandbox | undefined>;
  renamed(containerId: string, name: string): void;
  relink(containerId: string, linkedContainers: readonly string[]): void;
  /** To be called once, before anything else but `inspect` and `list`. */
  recover(running: ReadonlyMap<string, readonly string[]>): Promise<Recovered>;

  /** Takes bridges and rules away when no container uses any network; otherwise leaves everything working. */
  close(): Promise<void>;
}

export function createNetworkService(dependencies: NetworkDependencies): NetworkService {
  const ctx = createContext(dependencies, lookupIn);
  ensurePredefined(ctx);
  const watching = new DisposableStack();
  return {
    inspect: ref => ctx.networks.find(ref),
    users: network =>
      ctx.sandboxes.on(network.id).map(({ sandbox: { request }, attachment: { endpointId, link } }) => ({
        containerId: request.containerId,
        containerName: request.containerName,
        endpointId,
        macAddress: link?.mac ?? '',
        ipv4Address: link?.ipv4 === undefined ? '' : `${link.ipv4.address}/${String(link.ipv4.prefixLength)}`,
        ipv6Address: link?.ipv6 === undefined ? '' : `${link.ipv6.address}/${String(link.ipv6.prefixLength)}`,
      })),
    list: filters => listMatching(ctx, filters),
    create: request => createNetwork(ctx, request),
    remove: ref => removeNetwork(ctx, ref),
    async prune(filters, untilMs) {
      const removed: string[] = [];
      for (const network of prunable(ctx, filters, untilMs)) {
        try {
          await removeNetwork(ctx, network.id);
          removed.push(network.name);
        } catch (err) {
          ctx.log.warn('could not remove network', { network: network.name, error: messageOf(err) });
        }
      }
      ctx.events.publish({ type: 'network', action: 'prune', actorId: '', attributes: { reclaimed: '0' } });
      return removed;
    },
    check: (mode, endpoints) => wantedNetworks(ctx, mode, endpoints).map(({ network: { id, name, driver } }) => ({ id, name, driver })),
    setup: (request, signal) => ctx.locks.run(request.containerId, () => setup(ctx, request, signal)),
    teardown: containerId => ctx.locks.run(containerId, () => teardown(ctx, containerId)),
    connect: (request, network, signal) => ctx.locks.run(request.containerId, () => connect(ctx, request, network, signal)),
    disconnect: (containerId, network) => ctx.locks.run(containerId, () => disconnect(ctx, containerId, network)),
    renamed: (containerId, name) => renamed(ctx, containerId, name),
    relink: (containerId, linkedContainers) => relink(ctx, containerId, linkedContainers),
    async recover(running) {
      const recovered = await recover(ctx, running);
      followMtu(ctx);
      watching.use(watchKernel(ctx));
      watching.use(followPeers(ctx));
      watching.use(followKeys(ctx));
      return recovered;
    },
    async close() {
      watching.dispose();
      ctx.owed[Symbol.dispose]();
      ctx.nameServer.close();
      await cleanUp('interfaces of containers that ended', ctx.log, () => ctx.lingering.close());
      if (ctx.sandboxes.list().some(({ attachments }) => attachments.some(({ link }) => link !== undefined))) return;
      for (const network of ctx.networks.list()) {
        await cleanUp(`bridge of network ${network.name}`, ctx.log, () => takeFromKernel(ctx, network));
      }
      await cleanUp('packet rules', ctx.log, () => ctx.firewall.remove());
      await cleanUp('host ports', ctx.log, () => ctx.hostPorts.stop());
    },
  };
}
