import type { RecordStore, RecordTable } from '#core/records.ts';
import type { Digest } from '#oci/digest.ts';
import type { ImageRecord } from './model.ts';

interface UseRecord {
  /** Milliseconds since 1970: when a container or a build was last made from the image, or it was moved or named. */
  readonly usedAt: number;
  /** When it was last pulled, loaded, pushed or saved: what its blobs are for. */
  readonly movedAt: number;
}

const precisionMs = 60_000;

/** When images were last of use, for collecting what was not for longest. A use within a minute of the last one is not written down. */
export class ImageUses {
  readonly #table: RecordTable<UseRecord>;
  readonly #uses: Map<string, UseRecord>;

  constructor(records: RecordStore) {
    this.#table = records.table('image-uses');
    this.#uses = new Map(this.#table.list().map(({ key, value }) => [key, value]));
  }

  note(id: Digest, kind: 'used' | 'moved'): void {
    const now = Date.now();
    const known = this.#uses.get(id);
    const next = { usedAt: now, movedAt: kind === 'moved' ? now : (known?.movedAt ?? 0) };
    if (known !== undefined && now - known.usedAt < precisionMs && next.movedAt - known.movedAt < precisionMs) return;
    this.#uses.set(id, next);
    this.#table.put(id, next);
  }

  usedAt(image: ImageRecord): number {
    return this.#uses.get(image.id)?.usedAt ?? Date.parse(image.addedAt);
  }

  movedAt(image: ImageRecord): number {
    return Math.max(this.#uses.get(image.id)?.movedAt ?? 0, Date.parse(image.addedAt));
  }

  /** Forgets all other images. */
  keepOnly(ids: ReadonlySet<string>): void {
    for (const id of [...this.#uses.keys()]) if (!ids.has(id)) this.forget(id);
  }

  forget(id: string): void {
    this.#uses.delete(id);
    this.#table.delete(id);
  }
}
