import { statSync } from 'node:fs';
import { PluginClient } from './client.ts';
import { findPlugin, type PluginAddress, type PluginPlaces } from './discovery.ts';

/** What is known of plugins of one kind. A plugin is greeted once, and again when it did not answer, has moved, or has made its socket anew. */
export class GreetedPlugins<T> {
  readonly #places: PluginPlaces;
  readonly #greet: (client: PluginClient, isPatient: boolean) => Promise<T | undefined>;
  readonly #known = new Map<string, { readonly address: PluginAddress; readonly stamp: string; readonly made: Promise<T | undefined> }>();
  readonly #names = new Set<string>();

  /** `greet` makes what callers want of a plugin; undefined: it is for something else. */
  constructor(places: PluginPlaces, greet: (client: PluginClient, isPatient: boolean) => Promise<T | undefined>) {
    this.#places = places;
    this.#greet = greet;
  }

  /** Undefined when there is no such plugin, or it is for something else. Rejects when it does not answer. */
  async find(name: string, isPatient: boolean): Promise<T | undefined> {
    const address = findPlugin(this.#places, name);
    if (address === undefined) return undefined;
    const before = this.#known.get(name);
    const stamp = stampOf(address);
    if (before?.stamp === stamp && Bun.deepEquals(before.address, address)) return await before.made;
    const entry = { address, stamp, made: this.#greet(new PluginClient(address), isPatient) };
    this.#known.set(name, entry);
    try {
      const made = await entry.made;
      if (made === undefined) this.#names.delete(name);
      else this.#names.add(name);
      return made;
    } catch (err) {
      if (this.#known.get(name) === entry) this.#known.delete(name);
      throw err;
    }
  }

  /** Those that were greeted and are still there, sorted. */
  names(): string[] {
    return [...this.#names].filter(name => findPlugin(this.#places, name) !== undefined).toSorted();
  }
}

/** Changes when the file does. */
function stampOf({ source }: PluginAddress): string {
  const found = statSync(source, { throwIfNoEntry: false });
  return found === undefined ? '' : `${String(found.ino)} ${String(found.mtimeMs)}`;
}
