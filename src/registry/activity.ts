import type { Digest } from '#oci/digest.ts';
import type { Repository, Tag } from './names.ts';

/** Something that a client has done, for those who want to know: hooks, the audit log, metrics. */
export interface Activity {
  readonly action: 'pull' | 'push' | 'mount' | 'delete';
  readonly kind: 'manifest' | 'blob' | 'tag';
  readonly repository: Repository;
  readonly digest?: Digest | undefined;
  readonly tag?: Tag | undefined;
  readonly mediaType?: string | undefined;
  readonly sizeBytes?: number | undefined;
  readonly fromRepository?: Repository | undefined;
  /** Descriptors of what a pushed manifest refers to. */
  readonly references?: readonly { readonly mediaType: string; readonly digest: Digest; readonly size: number }[] | undefined;
}
