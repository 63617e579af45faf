import { notFound } from '#base/errors.ts';
import type { RecordStore, RecordTable } from '#core/records.ts';
import type { Volume } from './model.ts';

/** All volumes: in memory for reading, in the records for the next daemon. */
export class VolumeTable {
  readonly #records: RecordTable<Volume>;
  readonly #volumes = new Map<string, Volume>();

  constructor(records: RecordStore) {
    this.#records = records.table<Volume>('volume');
    for (const { value } of this.#records.list()) this.#volumes.set(value.name, value);
  }

  get(name: string): Volume | undefined {
    return this.#volumes.get(name);
  }

  /** Rejects with NotFound. */
  find(name: string): Volume {
    const volume = this.#volumes.get(name);
    if (volume === undefined || volume.removing) throw notFound(`get ${name}: no such volume`);
    return volume;
  }

  /** Oldest first. */
  all(): Volume[] {
    return [...this.#volumes.values()];
  }

  put(volume: Volume): void {
    this.#records.put(volume.name, volume);
    this.#volumes.set(volume.name, volume);
  }

  delete(name: string): void {
    this.#records.delete(name);
    this.#volumes.delete(name);
  }
}
