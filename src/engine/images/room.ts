import type { Digest } from '#oci/digest.ts';
import type { ImageLayer } from './model.ts';
import type { Lease } from './retention.ts';

/** Whether more may be stored than is. Everything that adds layers asks. */
export interface Room {
  /**
   * Keeps room for blobs that are about to come, until it is disposed; those that are here need none. Rejects with ResourceExhausted when there is none even
   * without all that may go.
   */
  keep(blobs: readonly { readonly digest: Digest; readonly size: number }[]): Promise<Disposable>;
  /**
   * The last of these layers has just been put in its place, the others before it for the same purpose. Rejects with ResourceExhausted when that is too much
   * even without all that may go, among it the compressed blobs of these layers, which the lease lets go of then.
   */
  placed(lease: Lease, layers: readonly ImageLayer[]): Promise<void>;
}

const nothing: Disposable = { [Symbol.dispose]: () => undefined };

/** The disk is the limit. */
export const boundlessRoom: Room = { keep: () => Promise.resolve(nothing), placed: () => Promise.resolve() };
