import type { Descriptor } from '#oci/manifest.ts';

/** A blob that can be read as often as it has to. */
export interface BundleBlob {
  readonly descriptor: Descriptor;
  open(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface BundleManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** What images are made of on their way out: blobs, then manifests that name only what came before; the last one is the whole. */
export interface Bundle {
  readonly blobs: readonly BundleBlob[];
  readonly manifests: readonly BundleManifest[];
}
