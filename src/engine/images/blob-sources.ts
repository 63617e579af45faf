import type { RecordStore, RecordTable } from '#core/records.ts';
import type { Digest } from '#oci/digest.ts';

/** A layer as registries have it. */
export interface KnownBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly mediaType: string;
  /** Repositories that have it, in full (`docker.io/library/x`), latest first. */
  readonly repositories: readonly string[];
}

const maxRepositories = 20;

/**
 * Remembers in which repositories layers were seen, and as which blob: a push finds there what it need not send, because the registry has it or
 * can take it over from a neighbour.
 */
export class BlobSources {
  readonly #table: RecordTable<KnownBlob>;

  constructor(records: RecordStore) {
    this.#table = records.table<KnownBlob>('image-blob-sources');
  }

  find(diffId: Digest): KnownBlob | undefined {
    return this.#table.get(diffId);
  }

  note(diffId: Digest, blob: Omit<KnownBlob, 'repositories'>, repository: string): void {
    const known = this.#table.get(diffId);
    const others = known?.digest === blob.digest ? known.repositories.filter(other => other !== repository) : [];
    if (known?.digest === blob.digest && known.repositories[0] === repository) return;
    this.#table.put(diffId, { ...blob, repositories: [repository, ...others].slice(0, maxRepositories) });
  }

  /** Forgets layers that no image has any more. */
  keepOnly(diffIds: ReadonlySet<Digest>): void {
    for (const { key } of this.#table.list()) if (!diffIds.has(key as Digest)) this.#table.delete(key);
  }
}
