import { Agenda } from '#base/agenda.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import { Rubbish } from '#base/rubbish.ts';
import { Semaphore } from '#base/semaphore.ts';
import type { Decompress } from '#core/compression.ts';
import type { DeviceCatalogue } from '#core/device-catalogue.ts';
import type { EventPublisher, EventType } from '#core/events.ts';
import type { ContainerFiles } from '#core/files.ts';
import type { LogStore } from '#core/logs.ts';
import type { RecordStore } from '#core/records.ts';
import type { ContainerRuntime, ExitStatus } from '#core/runtime.ts';
import type { Snapshotter } from '#core/snapshots.ts';
import type { UsageMeter } from '#core/usage.ts';
import type { Entry } from './entry.ts';
import type { Exec } from './exec.ts';
import type { Container } from './model.ts';
import type { ContainerOptions } from './options.ts';
import type {
  ContainerNetworks,
  ContainerVolumes,
  HostFacts,
  ImageResolver,
  Pins,
  ProcessTable,
  RootFiles,
  SharedMemory,
} from './ports.ts';
import { ContainerRegistry } from './registry.ts';
import { StartAhead } from './start-ahead.ts';

export interface ContainerDependencies {
  readonly records: RecordStore;
  readonly runtime: ContainerRuntime;
  readonly snapshots: Snapshotter;
  readonly images: ImageResolver;
  readonly networks: ContainerNetworks;
  readonly volumes: ContainerVolumes;
  readonly logs: LogStore;
  readonly files: RootFiles;
  readonly pins: Pins;
  /** For work on files that clients ask for. */
  readonly fileWork: ContainerFiles;
  readonly decompress: Decompress;
  readonly host: HostFacts;
  /** Undefined: turned off. */
  readonly devices: DeviceCatalogue | undefined;
  readonly sharedMemory: SharedMemory;
  readonly processes: ProcessTable;
  readonly meter: UsageMeter;
  readonly events: EventPublisher;
  readonly log: Logger;
  readonly options: ContainerOptions;
}

const probeStartsAtOnce = 8;

/** What every use case works with. */
export interface Context extends ContainerDependencies {
  readonly containers: ContainerRegistry;
  /** Execs that run or ended lately, by id. */
  readonly execs: Map<string, Exec>;
  /** What is to happen later: by container id its next health check, while it has one, runs and is not paused; and what `execs` have planned. */
  readonly agenda: Agenda<string>;
  /** How many health checks may be on their way to running. */
  readonly probeStarts: Semaphore;
  /** One prune at a time. */
  readonly pruning: Semaphore;
  /** Held while a container changes: create to run, run to exit, and away. Waiting for a process to end happens without it. To be taken with `hold`. */
  readonly locks: KeyedLock;
  /** What has been made for a start that nobody has asked for yet. */
  readonly ahead: StartAhead;
  /** Directories of containers that are gone. */
  readonly rubbish: Rubbish;
  /** Aborts when the daemon lets go of its containers. */
  readonly closing: AbortController;
  /** Deals with the end of a run. Here, because an end may lead to the next start. */
  readonly handleExit: (entry: Entry, run: number, exit: ExitStatus) => Promise<void>;
}

export function createContext(
  dependencies: ContainerDependencies,
  onExit: (ctx: Context, entry: Entry, run: number, exit: ExitStatus) => Promise<void>,
): Context {
  const ctx: Context = {
    ...dependencies,
    containers: new ContainerRegistry(dependencies.records),
    execs: new Map(),
    agenda: new Agenda(),
    probeStarts: new Semaphore(probeStartsAtOnce),
    pruning: new Semaphore(1),
    locks: new KeyedLock(),
    ahead: new StartAhead(),
    rubbish: new Rubbish(dependencies.log),
    closing: new AbortController(),
    handleExit: (entry, run, exit) => onExit(ctx, entry, run, exit),
  };
  return ctx;
}

/** Reports that something happened to a container, with the attributes every container event has. */
export function publish(ctx: Context, container: Container, action: string, attributes: Readonly<Record<string, string>> = {}): void {
  publishAs(ctx, 'container', container.id, action, {
    ...container.config.labels,
    ...attributes,
    image: container.config.image,
    name: container.name,
  });
}

export function publishAs(
  ctx: Context,
  type: EventType,
  actorId: string,
  action: string,
  attributes: Readonly<Record<string, string>>,
): void {
  ctx.events.publish({ type, action, actorId, attributes });
}

/** Runs an action while nothing else changes the container; its record is looked up again, since it may have gone meanwhile. */
export async function withContainer<T>(ctx: Context, ref: string, action: (entry: Entry) => Promise<T>): Promise<T> {
  const { id } = ctx.containers.find(ref);
  using _held = await hold(ctx, id);
  return await action(ctx.containers.find(id));
}

/** The lock of a container, for which nothing is being made ahead of its start then. */
export async function hold(ctx: Context, id: string): Promise<Disposable> {
  const held = await ctx.locks.acquire(id);
  await ctx.ahead.abandon(id);
  return held;
}

export const containerDir = (ctx: Context, id: string): string => `${ctx.options.dataDir}/${id}`;
