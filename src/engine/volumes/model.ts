/** The durable record of a volume. Who uses it is part of it, so that no restart can forget. */
export interface Volume {
  readonly name: string;
  readonly driver: string;
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: string;
  /** Made without a name. */
  readonly anonymous: boolean;
  /** Ids of the containers that have it mounted or would when started. */
  readonly users: readonly string[];
  /** Containers for which a driver with a list of its own was told to mount it. */
  readonly mounts?: readonly string[];
  /** Its removal has begun; the next daemon finishes it. */
  readonly removing: boolean;
}

/** What marks an anonymous volume for clients. */
export const anonymousLabel = 'com.docker.volume.anonymous';
