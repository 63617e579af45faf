import type { Owner } from '#core/id-map.ts';
import type { HostDevice } from '#core/machine.ts';
import type { EndpointConfig, EndpointState, NetworkMode, Sandbox, SandboxRequest } from '#core/network.ts';
import type { ChainId } from '#core/snapshots.ts';
import type { ImageExecConfig } from '#oci/image-config.ts';

/** What containers need from images. */
export interface ImageResolver {
  /**
   * The image that a reference, an id or a prefix of an id names. Rejects with NotFound `No such image: x:latest`, which tells a client to pull
   * first, also when the image is there for another platform than asked.
   */
  resolve(nameOrId: string, platform: string | undefined): Promise<ResolvedImage>;
  /** The id of the image that a name or an id means now; undefined when there is none. Reads memory only: lists call it for every container. */
  idOf(nameOrId: string): string | undefined;
  /** Bytes of all layers of an image; undefined when there is none. Reads memory only. */
  sizeOf(imageId: string): number | undefined;
  /** Says that a writable layer on this image is gone: what a removed image had left only for it goes as well. */
  released(imageId: string): Promise<void>;
  /**
   * Makes an image of a layer tar on top of another image. Everything is checked before the tar is asked for. Rejects with NotFound when that image is
   * gone, InvalidArgument for a name or an instruction that is none.
   */
  commit(request: CommitImage, layer: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<CommittedImage>;
}

export interface CommitImage {
  readonly parentId: string;
  /** What the changes apply to. */
  readonly config: ImageExecConfig;
  /** What counts where the changed configuration says nothing. */
  readonly defaults: ImageExecConfig;
  /** Instructions of a Dockerfile. */
  readonly changes: readonly string[];
  readonly author: string;
  readonly comment: string;
  readonly createdBy: string;
  /** The name to give it; empty: none. */
  readonly repo: string;
  readonly tag: string;
}

export interface CommittedImage {
  readonly id: string;
  /** As people write it; empty when it has none. */
  readonly name: string;
}

export interface ResolvedImage {
  readonly id: string;
  readonly config: ImageExecConfig;
  readonly os: string;
  readonly architecture: string;
  /** The topmost layer; undefined for an image without layers. */
  readonly chainId: ChainId | undefined;
}

/** What containers need from networks. A container that is gone is fine everywhere but in `connect`. */
export interface ContainerNetworks {
  /** Parses and checks a network mode and its endpoints; rejects with NotFound `network x not found`, InvalidArgument. Changes nothing. */
  check(mode: NetworkMode, endpoints: Readonly<Record<string, EndpointConfig>>): NamedNetwork[];
  /**
   * Allocates addresses, makes the namespace and its interfaces, publishes ports. Undoes everything when a step fails. A sandbox that the same
   * container already has is torn down first.
   */
  setup(request: SandboxRequest, signal: AbortSignal): Promise<Sandbox>;
  /** Removes interfaces, rules, namespace and addresses. */
  teardown(containerId: string): Promise<void>;
  /** Joins a running container to one more network; returns the texts to write to its hosts and resolv.conf files. */
  connect(request: SandboxRequest, network: string, signal: AbortSignal): Promise<Sandbox>;
  disconnect(containerId: string, network: string): Promise<Sandbox | undefined>;
  /** The names by which a container's own networks know it changed. */
  renamed(containerId: string, name: string): void;
  /** Which containers a running one is linked to, by their ids, has changed. */
  relink(containerId: string, linkedContainers: readonly string[]): void;
  /**
   * After a daemon restart: keeps the sandboxes of these running containers on the networks that their records name, removes every other trace.
   */
  recover(running: ReadonlyMap<string, readonly string[]>): Promise<RecoveredNetworks>;
}

export interface RecoveredNetworks {
  /** What was removed, in words. */
  readonly repaired: readonly string[];
  /** Sandboxes of running containers that had an unfinished change. */
  readonly changed: ReadonlyMap<string, Sandbox>;
}

export interface NamedNetwork {
  readonly id: string;
  readonly name: string;
  readonly driver: string;
}

export type { EndpointState };

/** What containers need from volumes. */
export interface ContainerVolumes {
  /** Finds or makes a volume. `name` undefined: an anonymous one. Rejects with Conflict when it exists with another driver. */
  acquire(request: AcquireVolume): Promise<AcquiredVolume>;
  /** Forgets that this container uses it. */
  release(name: string, containerId: string): void;
  /** Removes a volume nobody uses; used or gone is fine. */
  removeIfUnused(name: string): Promise<void>;
  /** Makes the volume's path usable (mounts a device or tmpfs for drivers that need it) and returns it. */
  mount(name: string, containerId: string): Promise<string>;
  /** False when it was not mounted for this container. */
  unmount(name: string, containerId: string): Promise<boolean>;
  /** After a daemon start: forgets uses by containers that are gone, unmounts what none of the running ones uses. Returns what it did, in words. */
  recover(containers: readonly { readonly id: string; readonly running: boolean }[]): Promise<string[]>;
}

export interface AcquireVolume {
  readonly name: string | undefined;
  readonly driver: string;
  readonly driverOptions: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly containerId: string;
}

export interface AcquiredVolume {
  readonly name: string;
  readonly driver: string;
  /** Where the files are. */
  readonly path: string;
  /** True when this call made it. */
  readonly created: boolean;
  readonly anonymous: boolean;
}

/** What containers need from the files of a mounted root, which its own processes may change at any moment: no link leads out of it. */
export interface RootFiles {
  /** The text of a file, at most `maxBytes` of it; undefined when it is not there or not a regular file. */
  readText(root: string, path: string, maxBytes: number): string | undefined;
  /** Makes a directory and its parents (mode 755) where missing. Rejects with InvalidArgument when a file is in the way. */
  ensureDirectory(root: string, path: string, owner: Owner): void;
  /** Makes a path a symbolic link, in the place of a file that is there; a directory stays. Its parents are made like those of `ensureDirectory`. */
  putLink(root: string, path: string, target: string, owner: Owner): void;
  /** The host path that a path inside the root means, links resolved inside it. Rejects with NotFound. */
  resolve(root: string, path: string): string;
  /** What a path inside the root is, links resolved inside it. */
  kindOf(root: string, path: string): 'directory' | 'other' | 'missing';
  /**
   * Fills an empty directory of the host with what a directory inside the root holds: contents, owners, modes, times and extended attributes, those of the
   * directory itself included. A directory that holds anything already, or a source that is no directory, is left as it is.
   */
  copyInto(root: string, path: string, hostDirectory: string, signal: AbortSignal): Promise<void>;
}

/** Files of roots that others may change while they are being mounted. */
export interface Pins {
  /**
   * A second place for what a path inside the root means now, links resolved inside it: whoever can write in the root can no longer change what is meant.
   * Rejects with NotFound. Disposing takes the place away; what was mounted from it stays. `alone`: without what is mounted below it.
   */
  pin(root: string, path: string, options?: { readonly alone?: boolean }): Disposable & { readonly path: string };
}

/** A /dev/shm on the host that several containers can have. */
export interface SharedMemory {
  /** Mounts a tmpfs that everybody may write to, of this size, at a directory that it makes; whatever was mounted there goes. */
  mount(path: string, sizeBytes: number): void;
  /** Not mounted is fine. Containers that have it keep it. */
  unmount(path: string): void;
}

/** Processes of the host, as `ps` shows them. */
export interface ProcessTable {
  /** Those of these pids that still run, in the columns for these `ps` arguments. Rejects with InvalidArgument for arguments it cannot serve. */
  list(pids: readonly number[], psArgs: string): Promise<{ readonly titles: string[]; readonly processes: string[][] }>;
}

/** Which limits the kernel can enforce. */
export interface SupportedLimits {
  readonly memoryLimit: boolean;
  readonly memoryReservation: boolean;
  readonly memorySwappiness: boolean;
  readonly swapLimit: boolean;
  readonly oomKillDisable: boolean;
  readonly cpuShares: boolean;
  readonly cpuCfsQuota: boolean;
  readonly cpuRealtime: boolean;
  readonly cpuSet: boolean;
  readonly pidsLimit: boolean;
  readonly blkioWeight: boolean;
  readonly blkioThrottle: boolean;
}

/** What containers need to know about the machine. Read once; only `devices` looks anew. */
export interface HostFacts {
  readonly cpuCount: number;
  /** CPUs and memory nodes that can be used, as kernel lists such as `0-3,7`. */
  readonly onlineCpus: string;
  readonly memoryNodes: string;
  readonly memoryBytes: number;
  readonly kernelVersion: string;
  /** As Go names it: amd64, arm64, … */
  readonly architecture: string;
  readonly cgroupVersion: 1 | 2;
  readonly appArmor: boolean;
  readonly limits: SupportedLimits;
  /** Whether POSIX message queues are mounted at /dev/mqueue. */
  readonly hasMessageQueues: boolean;
  /** Every capability this kernel knows, `CAP_…`. */
  readonly capabilities: readonly string[];
  /** Whether the mount that a path is on is read-only; false when there is no such path. */
  isReadOnly(path: string): boolean;
  /** The mount that a path is on; undefined when there is none. */
  mountAt(path: string): { readonly target: string; readonly isShared: boolean; readonly isSlave: boolean } | undefined;
  /** Device nodes under a path: the node itself, or all below a directory. Rejects with ENOENT. */
  devices(path: string): HostDevice[];
}
