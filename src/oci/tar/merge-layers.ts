import type { TarEntry } from './entry.ts';
import { readTar } from './reader.ts';
import type { NewTarFile } from './writer.ts';

/** The tar of a layer, which can be read as often as it has to. */
export type OpenTar = () => AsyncIterable<Uint8Array>;

const whiteout = '.wh.';
const opaque = '.wh..wh..opq';

/**
 * The members of one layer that does to what is below it what these layers do, bottom first, one after the other. Removals stay: they may be of something
 * further below. Each layer is read twice.
 */
export async function* mergeLayers(layers: readonly OpenTar[]): AsyncGenerator<NewTarFile, void, undefined> {
  const above = new Above();
  for (const open of layers.toReversed()) {
    const plan = new LayerPlan(above);
    for await (const { entry } of readTar(open())) plan.add(entry);
    plan.finish();
    for await (const { entry, content } of readTar(open())) {
      const written = plan.take(entry);
      if (written === undefined) continue;
      yield written.type === 'file' ? { entry: written, content } : { entry: written };
    }
    for (const name of plan.markers) yield { entry: { name }, content: new Uint8Array(0) };
  }
}

/** What the layers above one make of its paths. */
class Above {
  /** Paths that they have. */
  readonly taken = new Map<string, 'directory' | 'other' | 'gone'>();
  /** Paths below which nothing of lower layers is left. */
  readonly closed = new Set<string>();

  /** Nothing that a lower layer has at this path is seen. */
  covers(path: string): boolean {
    return this.taken.has(path) || this.hides(path);
  }

  /** Something above the path hides it. */
  hides(path: string): boolean {
    for (let at = path.length; at > 0; ) {
      at = path.lastIndexOf('/', at - 1);
      if (this.closed.has(at < 0 ? '' : path.slice(0, at))) return true;
    }
    return false;
  }
}

/** What becomes of the members of one layer. */
class LayerPlan {
  readonly #above: Above;
  readonly #taken = new Map<string, 'directory' | 'other' | 'gone'>();
  readonly #closed = new Set<string>();
  /** Files that are not seen but have other names that are: the first of these gets the content. */
  readonly #hidden = new Set<string>();
  readonly #heirs = new Map<string, string>();
  /** Members to add: directories that hide what was below them before. */
  readonly markers: string[] = [];

  constructor(above: Above) {
    this.#above = above;
  }

  add(entry: TarEntry): void {
    const { path, removal } = placeOf(entry.name);
    if (removal !== undefined) this.#remove(path, removal);
    else if (this.#above.covers(path)) {
      if (entry.type === 'file') this.#hidden.add(path);
    } else {
      this.#taken.set(path, entry.type === 'directory' ? 'directory' : 'other');
      if (entry.type !== 'directory') this.#closed.add(path);
      const target = placeOf(entry.linkName).path;
      if (entry.type === 'link' && this.#hidden.has(target) && !this.#heirs.has(target)) this.#heirs.set(target, path);
    }
  }

  #remove(path: string, removal: 'path' | 'below'): void {
    const known = this.#above.taken.get(path);
    if (this.#above.hides(path) || this.#above.closed.has(path)) return;
    // What was made anew there afterwards must not show what was removed before.
    if (removal === 'path' && known === 'directory') this.markers.push(`${path}/${opaque}`);
    if (removal === 'path' && known === undefined) this.#taken.set(path, 'gone');
    this.#closed.add(path);
  }

  /** All members have been added: what this layer does counts for those below. */
  finish(): void {
    for (const [path, kind] of this.#taken) if (kind !== 'gone' || !this.#above.taken.has(path)) this.#above.taken.set(path, kind);
    for (const path of this.#closed) this.#above.closed.add(path);
  }

  /** The member to write for one of this layer; undefined: none. Called in the order of the layer. */
  take(entry: TarEntry): TarEntry | undefined {
    const { path, removal } = placeOf(entry.name);
    if (removal !== undefined) return this.#isOwnRemoval(path, removal) ? entry : undefined;
    const heir = this.#heirs.get(path);
    if (heir !== undefined && entry.type === 'file') return { ...entry, name: heir };
    if (!this.#taken.has(path) || this.#taken.get(path) === 'gone') return undefined;
    if (entry.type !== 'link') return entry;
    const successor = this.#heirs.get(placeOf(entry.linkName).path);
    if (successor === undefined) return entry;
    return successor === path ? undefined : { ...entry, linkName: successor };
  }

  #isOwnRemoval(path: string, removal: 'path' | 'below'): boolean {
    return removal === 'path' ? this.#taken.get(path) === 'gone' : this.#closed.has(path);
  }
}

/** The path that a member is about; for a whiteout, the path that it removes, or below which it removes everything. */
function placeOf(name: string): { readonly path: string; readonly removal?: 'path' | 'below' } {
  const path = name
    .split('/')
    .filter(part => part !== '' && part !== '.')
    .join('/');
  const slash = path.lastIndexOf('/');
  const [directory, base] = [path.slice(0, Math.max(0, slash)), path.slice(slash + 1)];
  if (base === opaque) return { path: directory, removal: 'below' };
  if (!base.startsWith(whiteout)) return { path };
  return { path: directory === '' ? base.slice(whiteout.length) : `${directory}/${base.slice(whiteout.length)}`, removal: 'path' };
}
