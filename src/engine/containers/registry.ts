import { conflict, invalidArgument, notFound } from '#base/errors.ts';
import type { RecordStore, RecordTable } from '#core/records.ts';
import { Entry } from './entry.ts';
import type { Container } from './model.ts';

/** All containers: in memory for reading, in the records for the next daemon. */
export class ContainerRegistry {
  readonly #table: RecordTable<Container>;
  readonly #entries = new Map<string, Entry>();
  readonly #idsByName = new Map<string, string>();

  constructor(records: RecordStore) {
    this.#table = records.table<Container>('container');
    for (const { value } of this.#table.list()) {
      this.#entries.set(value.id, new Entry(value));
      this.#idsByName.set(value.name, value.id);
    }
  }

  /** Full id, then name, then unique prefix of an id. Rejects with NotFound; with InvalidArgument for an ambiguous prefix. */
  find(ref: string): Entry {
    const name = ref.replace(/^\//, '');
    const exact = this.#entries.get(ref) ?? this.#entries.get(this.#idsByName.get(name) ?? '');
    if (exact !== undefined) return exact;
    const found = /^[0-9a-f]+$/.test(ref) ? [...this.#entries.values()].filter(entry => entry.id.startsWith(ref)) : [];
    if (found.length > 1) throw invalidArgument(`multiple IDs found with provided prefix: ${ref}`);
    const [entry] = found;
    if (entry === undefined) throw notFound(`No such container: ${ref}`);
    return entry;
  }

  get(id: string): Entry | undefined {
    return this.#entries.get(id);
  }

  /** Oldest first. */
  all(): Entry[] {
    return [...this.#entries.values()];
  }

  isNameTaken(name: string): boolean {
    return this.#idsByName.has(name);
  }

  /** Keeps a name for a container that is being made. Rejects with Conflict. Dispose what it returns unless the container was added. */
  reserveName(name: string, id: string): Disposable {
    const owner = this.#idsByName.get(name);
    if (owner !== undefined && owner !== id) {
      throw conflict(
        `Conflict. The container name "/${name}" is already in use by container "${owner}". You have to remove (or rename) that container to be able to reuse that name.`,
      );
    }
    this.#idsByName.set(name, id);
    return {
      [Symbol.dispose]: () => {
        if (this.#entries.get(id)?.container.name !== name) this.#idsByName.delete(name);
      },
    };
  }

  add(container: Container): Entry {
    const entry = new Entry(container);
    this.#table.put(container.id, container);
    this.#entries.set(container.id, entry);
    return entry;
  }

  /** Writes what changed in the container to its record. */
  save(entry: Entry): void {
    if (this.#entries.has(entry.id)) this.#table.put(entry.id, entry.container);
  }

  rename(entry: Entry, name: string): void {
    using _reservation = this.reserveName(name, entry.id);
    const before = entry.container.name;
    entry.container.name = name;
    this.save(entry);
    this.#idsByName.delete(before);
  }

  /** Forgets it, its record and its name. */
  delete(entry: Entry): void {
    this.#table.delete(entry.id);
    this.#entries.delete(entry.id);
    if (this.#idsByName.get(entry.container.name) === entry.id) this.#idsByName.delete(entry.container.name);
  }
}
