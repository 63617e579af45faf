/** Answer of POST /berth/system/verify: what was looked at, and what was not as it should be. */
export interface VerifiedStore {
  Blobs: number;
  Layers: number;
  /** Of both. */
  Bytes: number;
  Damage: StoreDamage[];
}

export interface StoreDamage {
  Kind: 'config' | 'manifest' | 'layer blob' | 'index' | 'attestation' | 'layer';
  /** Digest of a blob, chain id of a layer. */
  Id: string;
  Found: string[];
  /** Images that need it. */
  Images: string[];
  Healed: boolean;
  /** How it was healed, or why it was not. */
  Note: string;
  /** Running containers that go on with what is damaged until they are started again. */
  Containers: string[];
}
