/** What a volume driver is given to make a volume of. */
export interface VolumeSpec {
  readonly name: string;
  readonly options: Readonly<Record<string, string>>;
}

/** Keeps volumes of one kind. Records and reference counts are the caller's. */
export interface VolumeDriver {
  readonly name: string;
  /** Rejects with InvalidArgument when a volume could never be made of this. Changes nothing. */
  check(spec: VolumeSpec): void;
  /** Where the volume's files are while it is mounted. */
  path(name: string): string;
  /** Makes it; already made is fine. */
  create(spec: VolumeSpec): Promise<void>;
  /** Makes the path usable. Mounted already is fine. Rejects with FailedPrecondition when its device cannot be mounted. */
  mount(spec: VolumeSpec): Promise<void>;
  /** Not mounted is fine. */
  unmount(spec: VolumeSpec): Promise<void>;
  /** Removes it with all its files; it must not be mounted. Gone already is fine. */
  remove(spec: VolumeSpec): Promise<void>;
  /** Bytes that it takes on the disk, as du counts them; undefined when they are not this machine's. */
  usage(spec: VolumeSpec): Promise<number | undefined>;
}
