/** Answers about names on the networks of one container; undefined: not a name of these networks. */
export interface NameLookup {
  /** Addresses of a name. An empty list: the name is known but has no address of this family. */
  addresses(containerId: string, name: string, family: 4 | 6): readonly string[] | undefined;
  /** The name of an address. */
  nameOf(containerId: string, address: string): string | undefined;
  /** Where else to ask; none on internal networks. */
  upstreams(containerId: string): Upstreams;
}

export interface Upstreams {
  readonly servers: readonly string[];
  /** Ask from inside the container (servers given by the user) or from the host. */
  readonly from: 'host' | 'container';
  /** Names without a dot are no one's else: the container's own search list makes longer ones of them. */
  readonly keepsSingleLabels: boolean;
}

/** The resolver that containers on user-defined networks reach at 127.0.0.11. */
export interface NameServer {
  /** Answers in this container's network namespace from now on. A second call replaces the first. */
  serve(containerId: string, namespacePath: string): Promise<void>;
  /** Not served is fine. */
  stop(containerId: string): void;
  close(): void;
}
