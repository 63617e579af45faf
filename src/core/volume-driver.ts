/** What a volume driver is given to make a volume of. */
export interface VolumeSpec {
  readonly name: string;
  readonly options: Readonly<Record<string, string>>;
}

/** What a driver says of a volume. */
export interface VolumeState {
  /** Where its files are; empty where the driver tells it only while it is mounted. */
  readonly path: string;
  /** Whatever the driver wants people to know. */
  readonly status?: Readonly<Record<string, unknown>>;
  readonly createdAt?: string;
}

/** Keeps volumes of one kind. Records of who uses which are the caller's. */
export interface VolumeDriver {
  readonly name: string;
  /** `global`: the same volumes on every machine. */
  readonly scope: 'local' | 'global';
  /** Rejects with InvalidArgument when a volume could never be made of this. Changes nothing. */
  check(spec: VolumeSpec): void;
  /** Rejects with NotFound when a driver that keeps its own list does not have it. */
  describe(spec: VolumeSpec): Promise<VolumeState>;
  /** Makes it; already made is fine. */
  create(spec: VolumeSpec): Promise<void>;
  /** Makes its files usable for `user` and returns where they are. Rejects with FailedPrecondition when its device cannot be mounted. */
  mount(spec: VolumeSpec, user: string): Promise<string>;
  /** Not mounted is fine. */
  unmount(spec: VolumeSpec, user: string): Promise<void>;
  /** Removes it with all its files; it must not be mounted. Gone already is fine. */
  remove(spec: VolumeSpec): Promise<void>;
  /** Bytes that it takes on the disk, as du counts them; undefined when they are not this machine's. */
  usage(spec: VolumeSpec): Promise<number | undefined>;
  /** Undefined: there are only the volumes that were made here, mounted once for everybody. */
  readonly catalogue?: VolumeCatalogue;
}

/** A driver with a list of its own: volumes come and go without this daemon, and each user's mount and unmount is told. */
export interface VolumeCatalogue {
  find(name: string, options: { readonly timeoutMs: number }): Promise<VolumeState | undefined>;
  list(options: { readonly timeoutMs: number }): Promise<readonly (VolumeState & { readonly name: string })[]>;
}

/** The drivers that there are: they come and go as well. */
export interface VolumeDrivers {
  /** Rejects with NotFound `error looking up volume plugin x: plugin "x" not found`, and with Unavailable when it is there and does not answer. */
  find(name: string): Promise<VolumeDriver>;
  /** Those with a list of their own, without those that do not answer: `onFailure` hears of them. */
  catalogues(onFailure: (name: string, err: unknown) => void): Promise<(VolumeDriver & { readonly catalogue: VolumeCatalogue })[]>;
}
