import type { ChainId } from '#core/snapshots.ts';
import type { Digest } from '#oci/digest.ts';

/** What images need to know of containers. */
export interface ImageUsers {
  /** The containers made from an image, running or not. */
  usedBy(imageId: string): readonly ImageUser[];
}

export interface ImageUser {
  readonly containerId: string;
  readonly running: boolean;
}

/** Who else needs layers than images do: a cache of builds. */
export interface ContentUser {
  layers(): Iterable<NeededLayer>;
}

export interface NeededLayer {
  readonly chainId: ChainId;
  readonly diffId: Digest;
  /** The blob it came in. */
  readonly digest: Digest;
}
