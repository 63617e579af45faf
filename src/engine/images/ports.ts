import type { ChainId } from '#core/snapshots.ts';
import type { Digest } from '#oci/digest.ts';
import type { ImageExecConfig } from '#oci/image-config.ts';

/** What images need to know of containers. */
export interface ImageUsers {
  /** The containers made from an image, running or not. */
  usedBy(imageId: string): readonly ImageUser[];
}

export interface ImageUser {
  readonly containerId: string;
  readonly running: boolean;
}

/** Applies Dockerfile instructions, which configure and do nothing else, one after the other. Throws InvalidArgument, saying what it cannot read. */
export type ApplyChanges = (config: ImageExecConfig, changes: readonly string[]) => ImageExecConfig;

/** Who else needs layers than images do: a cache of builds. */
export interface ContentUser {
  layers(): Iterable<NeededLayer>;
  /** Gives up what stands on a layer that is damaged for good. Returns what that was, in words. */
  forget(chainId: ChainId): readonly string[];
}

/** A cache beside the images that shares the disk budget with them. */
export interface Reclaimable {
  /** Bytes of what it keeps beside layers. */
  ownBytes(): Promise<number>;
  /** What it could do without at the moment. */
  candidates(): Promise<readonly { readonly lastUsedMs: number; readonly what: string; remove(): Promise<void> }[]>;
}

export interface NeededLayer {
  readonly chainId: ChainId;
  readonly diffId: Digest;
  /** The blob it came in. */
  readonly digest: Digest;
}
