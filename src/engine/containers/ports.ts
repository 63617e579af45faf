import type { EndpointConfig, EndpointState, NetworkMode, Sandbox, SandboxRequest } from '#core/network.ts';
import type { ChainId } from '#core/snapshots.ts';
import type { ImageExecConfig } from '#oci/image-config.ts';

/** What containers need from images. */
export interface ImageResolver {
  /**
   * The image that a reference, an id or a prefix of an id names. Rejects with NotFound `No such image: x:latest`, which tells a client to pull
   * first; with InvalidArgument when the image is for another platform than asked.
   */
  resolve(nameOrId: string, platform: string | undefined): Promise<ResolvedImage>;
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
  /** After a daemon restart: keeps the sandboxes of these running containers, removes every other trace. Returns what it removed, in words. */
  recover(running: ReadonlySet<string>): Promise<string[]>;
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
  unmount(name: string, containerId: string): Promise<void>;
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
