import type { Digest } from '#oci/digest.ts';
import type { Descriptor } from '#oci/manifest.ts';
import type { Reference } from '#oci/reference.ts';

/** What a registry keeps under a tag or digest. */
export interface RemoteContent {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly digest: Digest;
}

/** A repository of a registry, asked without a daemon. Every method rejects with NotFound for what is not there. */
export interface RemoteRepository {
  manifest(tagOrDigest: string, signal: AbortSignal): Promise<RemoteContent>;
  blob(blob: Pick<Descriptor, 'digest' | 'size'>, signal: AbortSignal): AsyncIterable<Uint8Array>;
  hasBlob(digest: Digest, signal: AbortSignal): Promise<boolean>;
  /** Takes over a blob from another repository of the same registry; false when the registry would not. */
  mountBlob(digest: Digest, from: string, signal: AbortSignal): Promise<boolean>;
  putBlob(upload: { open(): AsyncIterable<Uint8Array>; digest(): Digest }, signal: AbortSignal): Promise<void>;
  putManifest(tagOrDigest: string, mediaType: string, bytes: Uint8Array, signal: AbortSignal): Promise<void>;
}

export interface RemoteAuth {
  readonly username?: string;
  readonly password?: string;
  readonly serverAddress?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
}

export interface RemoteAccess {
  readonly actions: 'pull' | 'push';
  readonly auth: RemoteAuth;
}

/** Opens registries; `insecure` names hosts that need no valid certificate. */
export type OpenRegistries = (options: { readonly insecure: readonly string[] }) => {
  repository(name: Reference, access: RemoteAccess): RemoteRepository;
  /** Checks credentials. The identity token is empty when the registry has none to give. */
  login(auth: RemoteAuth, signal: AbortSignal): Promise<{ readonly identityToken: string }>;
};
