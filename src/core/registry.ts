import { EngineError, type ErrorKind, type ErrorOptions } from '#base/errors.ts';
import type { Digest } from '#oci/digest.ts';
import type { Descriptor } from '#oci/manifest.ts';
import type { Reference } from '#oci/reference.ts';

/** What a client sent along to be allowed in. Never logged, never part of an error. */
export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  readonly serverAddress?: string;
  /** A refresh token from an earlier login. */
  readonly identityToken?: string;
  /** A token to send as it is. */
  readonly registryToken?: string;
  /** Whoever has the credentials; there are no others beside it then. */
  readonly keeper?: CredentialKeeper;
}

/** Has credentials, and asks for tokens with them itself where a registry takes tokens. */
export interface CredentialKeeper {
  /** Tokens are remembered under it. */
  readonly id: string;
  /** A token of an authorization server; undefined: the keeper does not ask for any, and gives the credentials. Rejects with Unauthenticated. */
  token(request: TokenRequest, signal: AbortSignal): Promise<{ readonly token: string; readonly lifetimeMs: number } | undefined>;
  /** Undefined when it has none. */
  credentials(signal: AbortSignal): Promise<RegistryAuth | undefined>;
}

export interface TokenRequest {
  readonly realm: string;
  readonly service: string;
  /** `repository:library/busybox:pull`. */
  readonly scopes: readonly string[];
}

/** What a registry refused, in its own words: `code` is one of the distribution API (`MANIFEST_UNKNOWN`, `DENIED`, …). */
export class RegistryError extends EngineError {
  readonly code: string;
  /** How long it wants to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(kind: ErrorKind, code: string, message: string, options: ErrorOptions & { readonly retryAfterMs?: number | undefined } = {}) {
    super(kind, message, options);
    this.name = 'RegistryError';
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }
}

export interface RegistryClient {
  /** Speaks of one repository with these credentials. Does not connect yet. Pulls may be answered by a mirror. */
  repository(name: Reference, access: RepositoryAccess): RegistryRepository;
  /** Checks credentials. Rejects with Unauthenticated. The identity token is empty when the registry has none to give. */
  login(auth: RegistryAuth, signal: AbortSignal): Promise<{ readonly identityToken: string }>;
  /** Finds repositories by name, best first. Rejects with NotFound where a registry cannot be searched. */
  search(search: RegistrySearch, signal: AbortSignal): Promise<FoundRepository[]>;
}

export interface RegistrySearch {
  /** As image names have it: `docker.io`, `registry.example.com:5000`. */
  readonly domain: string;
  readonly term: string;
  /** At most so many. */
  readonly limit: number;
  readonly auth: RegistryAuth | undefined;
  /** Sent along (`X-Meta-…`). */
  readonly headers: Readonly<Record<string, string>>;
}

export interface FoundRepository {
  readonly name: string;
  readonly description: string;
  readonly stars: number;
  readonly isOfficial: boolean;
  readonly isAutomated: boolean;
}

export interface RepositoryAccess {
  readonly actions: 'pull' | 'push';
  readonly auth?: RegistryAuth | undefined;
  /** Sent with every request (`X-Meta-…`). */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface RemoteManifest {
  /** Exactly as the registry keeps them. */
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly digest: Digest;
}

/**
 * Every method rejects with Unavailable when the registry cannot be reached, Unauthenticated or PermissionDenied when it wants other
 * credentials, NotFound for what it does not have, DataLoss when its answer is not what it claims to be.
 */
export interface RegistryRepository {
  /** What a tag or digest stands for, without fetching it; undefined when the registry does not say. */
  manifestDigest(tagOrDigest: string, signal: AbortSignal): Promise<Digest | undefined>;
  /** Fetches a manifest or an index. Asked for by digest, or answered with one, its bytes have been compared with it. */
  manifest(tagOrDigest: string, signal: AbortSignal): Promise<RemoteManifest>;
  /**
   * The bytes of a blob from `from` on, not verified. A broken connection is resumed where it broke, a few times, with growing pauses. Ends after
   * exactly `blob.size` bytes or rejects.
   */
  blob(blob: Pick<Descriptor, 'digest' | 'size'>, signal: AbortSignal, from?: number): AsyncIterable<Uint8Array>;
  /** How long a blob is. Rejects with NotFound. */
  blobSize(digest: Digest, signal: AbortSignal): Promise<number>;
  hasBlob(digest: Digest, signal: AbortSignal): Promise<boolean>;
  /** Takes over a blob from another repository of the same registry; false when the registry would not. */
  mountBlob(digest: Digest, from: string, signal: AbortSignal): Promise<boolean>;
  /** Uploads a blob; repeated from its start when the connection breaks. */
  putBlob(upload: BlobUpload, signal: AbortSignal): Promise<void>;
  putManifest(tagOrDigest: string, mediaType: string, bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  /** All tags. */
  tags(signal: AbortSignal): Promise<string[]>;
}

export interface BlobUpload {
  /** The bytes from the beginning; called again for a second attempt. */
  open(): AsyncIterable<Uint8Array>;
  /** Asked for after the last byte was read: it may depend on them. */
  digest(): Digest;
}
