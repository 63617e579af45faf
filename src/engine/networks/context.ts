import { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import type { EventPublisher } from '#core/events.ts';
import type { Firewall } from '#core/firewall.ts';
import type { HostPorts } from '#core/host-ports.ts';
import type { NameLookup, NameServer } from '#core/name-server.ts';
import type { NetworkDriver } from '#core/network-driver.ts';
import type { NetworkPlugins } from '#core/network-plugins.ts';
import type { NetworkWatch } from '#core/network-watch.ts';
import type { KeyFiles, OverlayPeers } from '#core/overlay-peers.ts';
import type { RecordStore } from '#core/records.ts';
import { LingeringInterfaces } from './lingering.ts';
import type { Network } from './model.ts';
import { NetworkTable } from './network-table.ts';
import type { HostFiles, NetworkOptions } from './options.ts';
import { OwedCalls } from './owed-calls.ts';
import { PortTable } from './port-table.ts';
import { SandboxTable } from './sandbox-table.ts';

export interface NetworkDependencies {
  readonly records: RecordStore;
  readonly driver: NetworkDriver;
  readonly firewall: Firewall;
  readonly hostPorts: HostPorts;
  readonly watch: NetworkWatch;
  readonly plugins: NetworkPlugins;
  /** Makes the resolver of user-defined networks, which asks back for the names. */
  readonly createNameServer: (lookup: NameLookup) => NameServer;
  /** Undefined: overlay networks have the hosts that their options name. */
  readonly overlayPeers?: OverlayPeers;
  readonly keyFiles: KeyFiles;
  readonly hostFiles: HostFiles;
  readonly events: EventPublisher;
  readonly log: Logger;
  readonly options: NetworkOptions;
}

/** What every use case works with. */
export interface Context extends Omit<NetworkDependencies, 'createNameServer'> {
  readonly networks: NetworkTable;
  readonly sandboxes: SandboxTable;
  readonly ports: PortTable;
  readonly lingering: LingeringInterfaces;
  readonly owed: OwedCalls;
  /** Held per container while its sandbox changes. */
  readonly locks: KeyedLock;
  readonly nameServer: NameServer;
}

export function createContext(dependencies: NetworkDependencies, lookupIn: (ctx: Context) => NameLookup): Context {
  const { createNameServer, ...rest } = dependencies;
  const ctx: Omit<Context, 'nameServer'> & { nameServer?: NameServer } = {
    ...rest,
    networks: new NetworkTable(rest.records.table('networks')),
    sandboxes: new SandboxTable(rest.records.table('sandboxes')),
    ports: new PortTable(),
    lingering: new LingeringInterfaces(rest.driver, rest.log),
    owed: new OwedCalls(rest.records.table('network-calls-owed'), rest.plugins, rest.log),
    locks: new KeyedLock(),
  };
  ctx.nameServer = createNameServer(lookupIn(ctx as Context));
  return ctx as Context;
}

/** Reports that something happened to a network. */
export function publish(ctx: Context, network: Network, action: string, attributes: Readonly<Record<string, string>> = {}): void {
  ctx.events.publish({
    type: 'network',
    action,
    actorId: network.id,
    attributes: { ...attributes, name: network.name, type: network.driver },
  });
}
