import type { ContainerEdits } from '#oci/cdi.ts';

/** The devices of this machine that files of the Container Device Interface describe. Read anew at each call: vendors write them at any time. */
export interface DeviceCatalogue {
  /** Where the files are; of two descriptions of a device that of a later folder counts. */
  readonly dirs: readonly string[];
  /** Qualified names (`vendor.com/class=name`), sorted. */
  names(): string[];
  /** What containers with these devices need, in the order of the names. Those that are not described are missing. */
  resolve(names: readonly string[]): { readonly edits: readonly ContainerEdits[]; readonly missing: readonly string[] };
}
