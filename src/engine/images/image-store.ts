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
import type { ImageRecord, NameRecord } from './model.ts';

/** The images and their names. Reading is done in memory; every change is durable when the call returns. */
export class ImageStore {
  readonly #records: RecordStore;
  readonly #content: ContentStore;
  readonly #imageTable: RecordTable<ImageRecord>;
  readonly #nameTable: RecordTable<NameRecord>;
  readonly #images: Map<Digest, ImageRecord>;
  /** By canonical string, in the order they were given. */
  readonly #names: Map<string, Digest>;
  readonly #configs = new Map<Digest, ImageConfigFile>();

  constructor(records: RecordStore, content: ContentStore) {
    this.#records = records;
    this.#content = content;
    this.#imageTable = records.table<ImageRecord>('images');
    this.#nameTable = records.table<NameRecord>('image-names');
    this.#images = new Map(this.#imageTable.list().map(({ value }) => [value.id, value]));
    this.#names = new Map(this.#nameTable.list().map(({ key, value }) => [key, value.image]));
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
    const named = ref.digest === undefined ? withDefaultTag(ref) : withDigest(ref, ref.digest);
    const id = this.#names.get(canonicalString(named));
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
    return id === undefined ? undefined : this.#images.get(id);
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

  /** Tags and digests of an image, in the order they were given. */
  references(id: Digest): Reference[] {
    return this.allReferences().flatMap(entry => (entry.image === id ? [entry.ref] : []));
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

  /** Adds an image, or replaces what is recorded of it, and gives it names. */
  put(image: ImageRecord, names: readonly Reference[] = []): void {
    const keys = names.map(canonicalString);
    this.#records.transaction(() => {
      this.#imageTable.put(image.id, image);
      for (const key of keys) this.#nameTable.put(key, { image: image.id });
    });
    this.#images.set(image.id, image);
    for (const key of keys) this.#names.set(key, image.id);
  }

  removeName(ref: Reference): void {
    const key = canonicalString(ref);
    this.#nameTable.delete(key);
    this.#names.delete(key);
  }

  /** Forgets the image and every name it has. */
  remove(id: Digest): void {
    const names = this.references(id).map(canonicalString);
    this.#records.transaction(() => {
      for (const name of names) this.#nameTable.delete(name);
      this.#imageTable.delete(id);
    });
    for (const name of names) this.#names.delete(name);
    this.#images.delete(id);
    this.#configs.delete(id);
  }
}

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
  return { ...rest, rootfs, os: os || 'linux', architecture: architecture ?? '' };
}
