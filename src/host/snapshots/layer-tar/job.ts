import type { ErrorKind } from '#base/errors.ts';
import type { LayerDamage } from '#core/snapshots.ts';

/** What the process that reads a layer's files does. The recipe is its descriptor 3. */
export type LayerJob = { readonly directory: string; readonly parentPid: number } & (
  | { readonly kind: 'assemble' }
  /** Without a recipe the tar comes from stdin. */
  | { readonly kind: 'check'; readonly hasRecipe: boolean; readonly isPacked: boolean; readonly isWhole: boolean }
);

export type CheckResult =
  | { readonly ok: true; readonly diffId: string; readonly damage: readonly LayerDamage[] }
  | { readonly ok: false; readonly kind: ErrorKind; readonly message: string };
