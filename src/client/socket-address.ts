export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly rejectUnauthorized: boolean;
}

export interface SocketAddress {
  /** For messages. */
  readonly host: string;
  readonly unix?: string;
  readonly hostname?: string;
  readonly port?: number;
  readonly basePath?: string;
  readonly tls?: TlsMaterial;
}
