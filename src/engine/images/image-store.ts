import { dataLoss, invalidArgument, notFound } from '#base/errors.ts';
import type { ContentStore } from '#core/content.ts';
import type { RecordStore, RecordTable } from '#core/records.ts';
import { type Digest, tryParseDigest } from '#oci/digest.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import {
  canonicalString,
  familiarString,
  parseReference,
  type Reference,
  tryParseReference,
  withDefaultTag,
  withDigest,
} from '#oci/reference.ts';
import type { ImageRecord, IndexRecord, NameRecord } from './model.ts';

/** The images and their names. Reading is done in memory; every change is durable when the call returns. */
export class ImageStore {
  readonly #records: RecordStore;
  readonly #content: ContentStore;
  readonly #imageTable: RecordTable<ImageRecord>;
  readonly #nameTable: RecordTable<NameRecord>;
  readonly #images: Map<Digest, ImageRecord>;
  /** By canonical string, in the order they were given. */
  readonly #names: Map<string, Digest>;
  readonly #indexTable: RecordTable<IndexRecord>;
  readonly #indexes: Map<Digest, IndexRecord>;
  /** By canonical string: the index that a name has. */
  readonly #indexOfName: Map<string, Digest>;
  readonly #configs = new Map<Digest, ImageConfigFile>();
  #droppedIndexes: IndexRecord[] = [];

  constructor(records: RecordStore, content: ContentStore) {
    this.#records = records;
    this.#content = content;
    this.#imageTable = records.table<ImageRecord>('images');
    this.#nameTable = records.table<NameRecord>('image-names');
    this.#images = new Map(this.#imageTable.list().map(({ value }) => [value.id, value]));
    const names = this.#nameTable.list();
    this.#names = new Map(names.map(({ key, value }) => [key, value.image]));
    this.#indexTable = records.table<IndexRecord>('image-indexes');
    this.#indexes = new Map(this.#indexTable.list().map(({ value }) => [value.digest, value]));
    this.#indexOfName = new Map(names.flatMap(({ key, value }) => (value.index === undefined ? [] : [[key, value.index]])));
    this.#dropIndexes();
  }

  all(): ImageRecord[] {
    return [...this.#images.values()];
  }

  get(id: Digest): ImageRecord | undefined {
    return this.#images.get(id);
  }

  /** The image that a name, an id or a prefix of an id stands for. Rejects with NotFound `No such image: x:latest`, InvalidArgument for neither. */
  find(nameOrId: string): ImageRecord {
    const found = this.lookUp(nameOrId);
    if (found !== undefined) return found;
    const shown = this.#asId(nameOrId) ?? familiarString(withDefaultTag(parseReference(nameOrId)));
    throw notFound(`No such image: ${shown}`);
  }

  /** Like `find`, but undefined when there is none. */
  lookUp(nameOrId: string): ImageRecord | undefined {
    return this.#findById(nameOrId) ?? this.#findByName(nameOrId) ?? this.#findByPrefix(nameOrId);
  }

  /** The image a reference names; undefined when nothing has that name. A digest counts more than a tag beside it. */
  byReference(ref: Reference): ImageRecord | undefined {
    const id = this.#names.get(keyOf(ref));
    return id === undefined ? undefined : this.#images.get(id);
  }

  /** True when the text names an image by its id or a prefix of it, not by a name. */
  isId(image: ImageRecord, nameOrId: string): boolean {
    return this.#findById(nameOrId) === image || (this.#findByName(nameOrId) === undefined && this.#findByPrefix(nameOrId) === image);
  }

  #asId(text: string): Digest | undefined {
    return tryParseDigest(text) ?? (/^[0-9a-f]{64}$/.test(text) ? tryParseDigest(`sha256:${text}`) : undefined);
  }

  #findById(text: string): ImageRecord | undefined {
    const id = this.#asId(text);
    return id === undefined ? undefined : (this.#images.get(id) ?? this.#findByIndex(id));
  }

  /** What builds and Docker's newer store call an image that came by an index: the image that a name of the index stands for. */
  #findByIndex(digest: Digest): ImageRecord | undefined {
    if (!this.#indexes.has(digest)) return undefined;
    for (const [name, index] of this.#indexOfName) {
      const image = index === digest ? this.#names.get(name) : undefined;
      if (image !== undefined) return this.#images.get(image);
    }
    return undefined;
  }

  #findByName(text: string): ImageRecord | undefined {
    const ref = this.#asId(text) === undefined ? tryParseReference(text) : undefined;
    return ref === undefined ? undefined : this.byReference(ref);
  }

  #findByPrefix(text: string): ImageRecord | undefined {
    const hex = text.replace(/^sha256:/, '');
    if (!/^[0-9a-f]{1,64}$/.test(hex)) return undefined;
    const matches = this.all().filter(image => image.id.startsWith(`sha256:${hex}`));
    if (matches.length > 1) throw invalidArgument(`the image id prefix "${text}" is ambiguous: ${matches.length} images begin with it`);
    return matches[0];
  }

  /** Tags and digests of an image, by their full names. */
  references(id: Digest): Reference[] {
    const names = [...this.#names].flatMap(([name, image]) => (image === id ? [name] : []));
    return names.toSorted().map(parseReference);
  }

  allReferences(): { readonly ref: Reference; readonly image: Digest }[] {
    return [...this.#names].map(([name, image]) => ({ ref: parseReference(name), image }));
  }

  /** The parsed config. Rejects with DataLoss when its blob is gone or damaged. */
  async config(id: Digest): Promise<ImageConfigFile> {
    const known = this.#configs.get(id);
    if (known !== undefined) return known;
    const config = parseConfig(await this.#content.read(id), id);
    if (this.#images.has(id)) this.#configs.set(id, config);
    return config;
  }

  /** All that some name has. */
  indexes(): IterableIterator<IndexRecord> {
    return this.#indexes.values();
  }

  /** The index that a name has, or for an id one that a name of the image has. */
  indexFor(nameOrId: string): IndexRecord | undefined {
    const ref = this.#asId(nameOrId) === undefined ? tryParseReference(nameOrId) : undefined;
    if (ref !== undefined && this.byReference(ref) !== undefined) return this.indexOf(ref);
    const image = this.lookUp(nameOrId);
    if (image === undefined) return undefined;
    for (const name of this.references(image.id)) {
      const index = this.indexOf(name);
      if (index !== undefined) return index;
    }
    return undefined;
  }

  indexOf(ref: Reference): IndexRecord | undefined {
    const digest = this.#indexOfName.get(keyOf(ref));
    return digest === undefined ? undefined : this.#indexes.get(digest);
  }

  /** The images of an index that are here, in the index's order. */
  members(index: IndexRecord): ImageRecord[] {
    const images = this.all();
    return index.entries.flatMap(({ digest }) => images.find(image => image.manifest === digest) ?? []);
  }

  /** An index that lists the image, be it not the one that its names stand for. */
  indexWith({ manifest }: ImageRecord): IndexRecord | undefined {
    for (const index of this.#indexes.values()) if (index.entries.some(entry => entry.digest === manifest)) return index;
    return undefined;
  }

  /** Whether some name has the image as one of several platforms, be it not the one that the name stands for. */
  isMember(image: ImageRecord): boolean {
    return this.indexWith(image) !== undefined;
  }

  /** The names that have an index, in the order they were given. */
  referencesOfIndex({ digest }: IndexRecord): Reference[] {
    return this.allReferences().flatMap(({ ref }) => (this.#indexOfName.get(canonicalString(ref)) === digest ? [ref] : []));
  }

  /** Indexes that no name has any more since this was asked last: nobody else will look after what they held. */
  takeDroppedIndexes(): IndexRecord[] {
    const dropped = this.#droppedIndexes;
    this.#droppedIndexes = [];
    return dropped;
  }

  #dropIndexes(): void {
    const named = new Set(this.#indexOfName.values());
    for (const [digest, index] of this.#indexes) {
      if (named.has(digest)) continue;
      this.#indexTable.delete(digest);
      this.#indexes.delete(digest);
      this.#droppedIndexes.push(index);
    }
  }

  /** Adds an image, or replaces what is recorded of it, and gives it names, which have the index as well. */
  put(image: ImageRecord, names: readonly Reference[] = [], index?: IndexRecord): void {
    const keys = names.map(canonicalString);
    const known = index && this.#indexes.get(index.digest);
    const whole = index && { ...index, blobs: [...new Set([...(known?.blobs ?? []), ...index.blobs])] };
    this.#records.transaction(() => {
      this.#imageTable.put(image.id, image);
      if (whole !== undefined && keys.length > 0) this.#indexTable.put(whole.digest, whole);
      for (const key of keys) this.#nameTable.put(key, { image: image.id, ...(whole !== undefined && { index: whole.digest }) });
    });
    this.#images.set(image.id, image);
    if (whole !== undefined && keys.length > 0) this.#indexes.set(whole.digest, whole);
    for (const key of keys) {
      this.#names.set(key, image.id);
      if (whole === undefined) this.#indexOfName.delete(key);
      else this.#indexOfName.set(key, whole.digest);
    }
    this.#dropIndexes();
  }

  removeName(ref: Reference): void {
    const key = canonicalString(ref);
    this.#nameTable.delete(key);
    this.#names.delete(key);
    this.#indexOfName.delete(key);
    this.#dropIndexes();
  }

  /** Forgets the image and every name it has. */
  remove(id: Digest): void {
    const names = this.references(id).map(canonicalString);
    this.#records.transaction(() => {
      for (const name of names) this.#nameTable.delete(name);
      this.#imageTable.delete(id);
    });
    for (const name of names) {
      this.#names.delete(name);
      this.#indexOfName.delete(name);
    }
    this.#dropIndexes();
    this.#images.delete(id);
    this.#configs.delete(id);
  }
}

/** A digest counts more than a tag beside it. */
const keyOf = (ref: Reference): string => canonicalString(ref.digest === undefined ? withDefaultTag(ref) : withDigest(ref, ref.digest));

/** Reads an image config. Rejects with DataLoss when it is not one. */
export function parseConfig(bytes: Uint8Array, digest: Digest): ImageConfigFile {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw dataLoss(`invalid image config ${digest}: not JSON`, { cause });
  }
  if (typeof json !== 'object' || json === null) throw dataLoss(`invalid image config ${digest}: not an object`);
  const { rootfs, os, architecture, ...rest } = json as Partial<ImageConfigFile>;
  if (!Array.isArray(rootfs?.diff_ids) || !rootfs.diff_ids.every(id => typeof id === 'string' && tryParseDigest(id) !== undefined)) {
    throw dataLoss(`invalid image config ${digest}: it does not list its layers (rootfs.diff_ids)`);
  }
  for (const field of [os, architecture, rest.variant]) {
    if (field !== undefined && field !== null && typeof field !== 'string')
      throw dataLoss(`invalid image config ${digest}: its platform is not text: ${JSON.stringify(field).slice(0, 100)}`);
  }
  return { ...rest, rootfs, os: os || 'linux', architecture: architecture ?? '' };
}
