import type { RegistryAuth } from '#core/registry.ts';
import type { Digest } from '#oci/digest.ts';

export interface VerifyOptions {
  /** Whether what is damaged is fetched or made again. */
  readonly heal: boolean;
  /** For healing from where a password is wanted. */
  authOf(domain: string): RegistryAuth | undefined;
}

/** `index`: of an image for several platforms; `attestation`: a part of what is attested of one. */
export type BlobKind = 'config' | 'manifest' | 'layer blob' | 'index' | 'attestation';

/** Something in the store that is not what it was. */
export interface StoreDamage {
  readonly kind: BlobKind | 'layer';
  /** Of a blob its digest, of a layer its chain id. */
  readonly id: Digest;
  /** What is wrong, one thing each. */
  readonly found: readonly string[];
  /** Names of images that need it; ids of those without a name. */
  readonly images: readonly string[];
  readonly healed: boolean;
  /** How it was healed, or why it was not. */
  readonly note: string;
  /** Containers that go on with what is damaged until they are started again. */
  readonly containers: readonly string[];
}

export interface VerifyReport {
  readonly blobs: number;
  readonly layers: number;
  /** Of the blobs, and of the files of the layers. */
  readonly bytes: number;
  readonly damage: readonly StoreDamage[];
}
