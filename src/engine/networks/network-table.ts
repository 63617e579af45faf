import { invalidArgument, notFound } from '#base/errors.ts';
import type { RecordTable } from '#core/records.ts';
import { AddressPool } from './address-pool.ts';
import type { Network } from './model.ts';

/** The networks of this daemon, in memory as in the records, with the addresses that are taken on each. */
export class NetworkTable {
  readonly #records: RecordTable<Network>;
  readonly #byId = new Map<string, Network>();
  readonly #idByName = new Map<string, string>();
  readonly #pools = new Map<string, readonly AddressPool[]>();

  constructor(records: RecordTable<Network>) {
    this.#records = records;
    for (const { value } of records.list()) this.#remember(value);
  }

  put(network: Network): void {
    this.#records.put(network.id, network);
    this.#remember(network);
  }

  delete(network: Network): void {
    this.#records.delete(network.id);
    this.hide(network);
  }

  /** Nobody finds it any more, but its record stays. */
  hide(network: Network): void {
    this.#byId.delete(network.id);
    if (this.#idByName.get(network.name) === network.id) this.#idByName.delete(network.name);
    this.#pools.delete(network.id);
  }

  show(network: Network): void {
    this.#remember(network);
  }

  list(): Network[] {
    return [...this.#byId.values()];
  }

  byId(id: string): Network | undefined {
    return this.#byId.get(id);
  }

  byName(name: string): Network | undefined {
    return this.#byId.get(this.#idByName.get(name) ?? '');
  }

  /** By whole id, name, or the beginning of an id. Rejects with NotFound, or InvalidArgument when several begin so. */
  find(ref: string): Network {
    const exact = this.#byId.get(ref) ?? this.byName(ref === 'default' ? 'bridge' : ref);
    if (exact !== undefined) return exact;
    const matches = ref === '' ? [] : this.list().filter(network => network.id.startsWith(ref));
    const [match] = matches;
    if (match === undefined) throw notFound(`network ${ref} not found`);
    if (matches.length > 1) throw invalidArgument(`network ${ref} is ambiguous (${String(matches.length)} matches found on ID prefix)`);
    return match;
  }

  pools(network: Network): readonly AddressPool[] {
    return this.#pools.get(network.id) ?? [];
  }

  #remember(network: Network): void {
    this.#byId.set(network.id, network);
    this.#idByName.set(network.name, network.id);
    if (!this.#pools.has(network.id)) {
      this.#pools.set(network.id, network.ipam.driver === 'default' ? network.ipam.pools.map(pool => new AddressPool(pool)) : []);
    }
  }
}
