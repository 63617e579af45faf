import { letOthersGoFirst } from '#base/turns.ts';
import { algorithmOf, type Digest, sha256, tryParseDigest } from '#oci/digest.ts';
import { mediaTypes } from '#oci/manifest.ts';
import { type Blobs, sharedStorageMs, touchEveryMs } from './blobs.ts';
import type { Guard } from './guard.ts';
import {
  blobPath,
  referrerFolder,
  referrerLink,
  referrersFolder,
  revisionFolder,
  revisionLink,
  revisionsFolder,
  tagFolder,
  tagLink,
  tagsFolder,
} from './layout.ts';
import { Lru } from './lru.ts';
import { type Descriptor, type ManifestContent, readManifest } from './manifest-content.ts';
import { type ManifestReference, type Repository, type Tag, tryParseTag } from './names.ts';
import { refusal } from './refusal.ts';
import type { Quotas } from './quotas.ts';
import type { Storage } from './storage/storage.ts';

export interface StoredManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
}

export interface ManifestUpload {
  readonly bytes: Uint8Array;
  /** What the client calls it; undefined when it does not. */
  readonly contentType: string | undefined;
  /** Further tags, with a reference that is a digest. */
  readonly tags: readonly Tag[];
}

export interface ManifestsOptions {
  readonly storage: Storage;
  readonly guard: Guard;
  readonly blobs: Blobs;
  readonly quotas: Quotas;
  /** Whether every manifest that an index lists has to be there. */
  readonly indexesNeedAll: boolean;
}

const maxCachedBytes = 64 * 1024 * 1024;
const maxCachedNames = 100_000;
/** Beyond this a manifest is read and not kept. */
const maxCachedManifestBytes = 1024 * 1024;

/** Manifests and tags of repositories. */
export class Manifests {
  readonly #storage: Storage;
  readonly #guard: Guard;
  readonly #blobs: Blobs;
  readonly #quotas: Quotas;
  readonly #indexesNeedAll: boolean;
  /** By digest: never changes. */
  readonly #contents = new Lru<StoredManifest>(maxCachedBytes);
  /** `repository@digest` that are there. */
  readonly #revisions: Lru<true>;
  /** `repository@digest` that were touched a short while ago. */
  readonly #touched = new Lru<true>(maxCachedNames, touchEveryMs);
  /** `repository:tag` → digest */
  readonly #tags: Lru<Digest>;

  constructor({ storage, guard, blobs, quotas, indexesNeedAll }: ManifestsOptions) {
    this.#storage = storage;
    this.#guard = guard;
    this.#blobs = blobs;
    this.#quotas = quotas;
    this.#indexesNeedAll = indexesNeedAll;
    const maxAgeMs = storage.isExclusive ? undefined : sharedStorageMs;
    this.#revisions = new Lru(maxCachedNames, maxAgeMs);
    // Another instance may move a tag at any time, and a tag has to be what it is now.
    this.#tags = new Lru(storage.isExclusive ? maxCachedNames : 0);
  }

  /** A manifest whose every part is at hand. */
  findKnown(name: Repository, reference: ManifestReference): StoredManifest | undefined {
    const digest = 'tag' in reference ? this.#tags.get(`${name}:${reference.tag}`) : reference.digest;
    if (digest === undefined || this.#revisions.get(`${name}@${digest}`) === undefined) return undefined;
    return this.#contents.get(digest);
  }

  async find(name: Repository, reference: ManifestReference): Promise<StoredManifest | undefined> {
    const digest = 'tag' in reference ? await this.resolve(name, reference.tag) : reference.digest;
    if (digest === undefined || !(await this.has(name, digest))) return undefined;
    return await this.#read(digest);
  }

  /** Refuses with MANIFEST_UNKNOWN. */
  async get(name: Repository, reference: ManifestReference): Promise<StoredManifest> {
    const found = this.findKnown(name, reference) ?? (await this.find(name, reference));
    if (found === undefined) throw unknownManifest(name, reference);
    return found;
  }

  async has(name: Repository, digest: Digest): Promise<boolean> {
    if (this.#revisions.get(`${name}@${digest}`) !== undefined) return true;
    if ((await this.#storage.stat(revisionLink(name, digest))) === undefined) return false;
    this.#revisions.set(`${name}@${digest}`, true);
    return true;
  }

  async resolve(name: Repository, tag: Tag): Promise<Digest | undefined> {
    const key = `${name}:${tag}`;
    const known = this.#tags.get(key);
    if (known !== undefined) return known;
    const link = await this.#storage.get(tagLink(name, tag));
    const digest = link === undefined ? undefined : tryParseDigest(new TextDecoder().decode(link).trim());
    if (digest !== undefined) this.#tags.set(key, digest);
    return digest;
  }

  async #read(digest: Digest): Promise<StoredManifest | undefined> {
    const cached = this.#contents.get(digest);
    if (cached !== undefined) return cached;
    const bytes = await this.#storage.get(blobPath(digest));
    if (bytes === undefined) return undefined;
    const stored = { digest, mediaType: readManifest(bytes, undefined).mediaType, bytes };
    if (bytes.length <= maxCachedManifestBytes) this.#contents.set(digest, stored, bytes.length);
    return stored;
  }

  /**
   * Stores a manifest, with everything it refers to there already. `subject` in the answer is what it says it belongs to. Refuses with MANIFEST_INVALID,
   * MANIFEST_BLOB_UNKNOWN (naming what is missing), SIZE_INVALID, DIGEST_INVALID. What a copy of another registry's manifest refers to may come later.
   */
  async put(
    name: Repository,
    reference: ManifestReference,
    upload: ManifestUpload,
    options: { readonly isCopy?: boolean } = {},
  ): Promise<StoredManifest & { readonly content: ManifestContent }> {
    const { bytes } = upload;
    const digest = 'tag' in reference ? sha256(bytes) : verified(bytes, reference.digest);
    const content = readManifest(bytes, upload.contentType);
    const tags = 'tag' in reference ? [reference.tag] : upload.tags;
    await this.#guard.shared(name, async () => {
      if (options.isCopy !== true) await this.#checkReferences(name, content);
      await this.#guard.withDigest(digest, async () => {
        const isNew = (await this.#blobs.sizeOf(digest)) === undefined;
        this.#quotas.claim(name, digest, bytes.length, isNew);
        await Promise.all([
          isNew ? this.#storage.put(blobPath(digest), bytes) : undefined,
          content.subject === undefined ? undefined : this.#link(referrerLink(name, content.subject.digest, digest), digest),
        ]);
        // The link makes it visible: last, so that what is visible is complete.
        await this.#link(revisionLink(name, digest), digest);
        this.#guard.noteTied(digest);
      });
      await Promise.all(tags.map(tag => this.#link(tagLink(name, tag), digest)));
      this.#revisions.set(`${name}@${digest}`, true);
      for (const tag of tags) this.#tags.set(`${name}:${tag}`, digest);
    });
    const stored = { digest, mediaType: content.mediaType, bytes };
    if (bytes.length <= maxCachedManifestBytes) this.#contents.set(digest, stored, bytes.length);
    return { ...stored, content };
  }

  async #link(path: string, digest: Digest): Promise<void> {
    await this.#storage.put(path, new TextEncoder().encode(digest));
  }

  async #checkReferences(name: Repository, content: ManifestContent): Promise<void> {
    const missing: Descriptor[] = [];
    const check = async (descriptor: Descriptor, sizeOf: () => Promise<number | undefined>): Promise<void> => {
      const size = await sizeOf();
      if (size === undefined) missing.push(descriptor);
      else if (size !== descriptor.size)
        throw refusal(
          'SIZE_INVALID',
          `the manifest says that ${descriptor.digest} has ${String(descriptor.size)} bytes, it has ${String(size)}`,
          {
            detail: { digest: descriptor.digest, size },
          },
        );
    };
    await eachAtOnce(content.blobs, blob => check(blob, () => this.#blobs.find(name, blob.digest)));
    if (this.#indexesNeedAll) {
      await eachAtOnce(content.manifests, child =>
        check(child, async () =>
          (await this.has(name, child.digest)) ? await this.#blobs.sizeOf(child.digest) : await this.#blobs.find(name, child.digest),
        ),
      );
    }
    if (missing.length === 0) return;
    const named = missing.slice(0, maxNamedMissing).map(({ digest }) => ({ digest }));
    const more = missing.length > named.length ? `, and ${String(missing.length - named.length)} more` : '';
    throw refusal(
      'MANIFEST_BLOB_UNKNOWN',
      `the manifest refers to what the repository does not have: ${named.map(({ digest }) => digest).join(', ')}${more}`,
      { detail: named },
    );
  }

  /** Moves a tag to a manifest that is there. */
  async retag(name: Repository, tag: Tag, digest: Digest): Promise<void> {
    await this.#guard.shared(name, async () => {
      await this.#link(tagLink(name, tag), digest);
      this.#tags.set(`${name}:${tag}`, digest);
    });
  }

  /** Somebody has used it: what has a time to live begins anew. */
  async touch(name: Repository, digest: Digest): Promise<void> {
    const key = `${name}@${digest}`;
    if (this.#touched.get(key) !== undefined) return;
    this.#touched.set(key, true);
    await this.#storage.touch(revisionLink(name, digest));
  }

  /** The tags, sorted. Refuses with NAME_UNKNOWN when there is no such repository. */
  async tags(name: Repository): Promise<Tag[]> {
    const entries = await this.#storage.list(tagsFolder(name));
    const tags = entries.flatMap(entry => (entry.isFolder ? (tryParseTag(entry.name) ?? []) : []));
    if (tags.length === 0 && !(await this.exists(name))) throw refusal('NAME_UNKNOWN', undefined, { detail: { name } });
    return tags.sort();
  }

  /** Whether anything was ever pushed to it and is still there. */
  async exists(name: Repository): Promise<boolean> {
    return (await this.#storage.list(revisionsFolder(name))).length > 0;
  }

  /** The digests of all manifests of a repository, in no order. */
  async digests(name: Repository): Promise<Digest[]> {
    const digests: Digest[] = [];
    for (const algorithm of await this.#storage.list(revisionsFolder(name))) {
      for (const { name: hex } of await this.#storage.list(`${revisionsFolder(name)}/${algorithm.name}`)) {
        const digest = tryParseDigest(`${algorithm.name}:${hex}`);
        if (digest !== undefined) digests.push(digest);
      }
    }
    return digests;
  }

  /** Refuses with MANIFEST_UNKNOWN. */
  async removeTag(name: Repository, tag: Tag): Promise<void> {
    await this.#guard.shared(name, async () => {
      if ((await this.resolve(name, tag)) === undefined) throw unknownManifest(name, { tag });
      await this.#untag(name, tag);
    });
  }

  /** Removes a manifest and every tag that names it; the tags. Refuses with MANIFEST_UNKNOWN. */
  async remove(name: Repository, digest: Digest): Promise<Tag[]> {
    return await this.#guard.shared(name, async () => {
      if (!(await this.has(name, digest))) throw unknownManifest(name, { digest });
      return await this.removeHeld(name, digest);
    });
  }

  /** For who holds the repository. */
  async removeHeld(name: Repository, digest: Digest): Promise<Tag[]> {
    const subject = await this.#subjectOf(digest);
    const tags: Tag[] = [];
    for (const entry of await this.#storage.list(tagsFolder(name))) {
      const tag = tryParseTag(entry.name);
      if (tag === undefined || (await this.resolve(name, tag)) !== digest) continue;
      await this.#untag(name, tag);
      tags.push(tag);
    }
    this.#revisions.delete(`${name}@${digest}`);
    await this.#storage.remove(revisionFolder(name, digest));
    this.#revisions.delete(`${name}@${digest}`);
    if (subject !== undefined) await this.#storage.remove(referrerFolder(name, subject, digest));
    this.#quotas.release(name, digest);
    return tags;
  }

  async #untag(name: Repository, tag: Tag): Promise<void> {
    this.#tags.delete(`${name}:${tag}`);
    await this.#storage.remove(tagFolder(name, tag));
    this.#tags.delete(`${name}:${tag}`);
  }

  async #subjectOf(digest: Digest): Promise<Digest | undefined> {
    return (await this.content(digest))?.subject?.digest;
  }

  /** What a stored manifest refers to; undefined when its bytes are gone or are no manifest. */
  async content(digest: Digest): Promise<ManifestContent | undefined> {
    const stored = await this.#read(digest).catch(() => undefined);
    return stored === undefined ? undefined : readManifest(stored.bytes, stored.mediaType);
  }

  /**
   * What has this digest as its subject, in the order of digests: from the registry's own notes, and from the index that clients kept under a tag
   * made of the digest while the registry they pushed to had no notes (distribution spec, Referrers Tag Schema).
   */
  async referrers(name: Repository, subject: Digest): Promise<Descriptor[]> {
    const found = new Map<Digest, Descriptor>();
    for (const algorithm of await this.#storage.list(referrersFolder(name, subject))) {
      for (const { name: hex } of await this.#storage.list(`${referrersFolder(name, subject)}/${algorithm.name}`)) {
        const digest = tryParseDigest(`${algorithm.name}:${hex}`);
        const described = digest === undefined ? undefined : await this.#describe(name, digest);
        if (described !== undefined) found.set(described.digest, described);
      }
    }
    for (const entry of await this.#fallbackReferrers(name, subject)) if (!found.has(entry.digest)) found.set(entry.digest, entry);
    return [...found.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
  }

  async #describe(name: Repository, digest: Digest): Promise<Descriptor | undefined> {
    if (!(await this.has(name, digest))) return undefined;
    const [stored, content] = [await this.#read(digest), await this.content(digest)];
    if (stored === undefined || content === undefined) return undefined;
    return {
      mediaType: content.mediaType,
      digest,
      size: stored.bytes.length,
      ...(content.artifactType !== undefined && { artifactType: content.artifactType }),
      ...(content.annotations !== undefined && { annotations: content.annotations }),
    };
  }

  async #fallbackReferrers(name: Repository, subject: Digest): Promise<readonly Descriptor[]> {
    const tag = tryParseTag(`${algorithmOf(subject).slice(0, 32)}-${subject.slice(subject.indexOf(':') + 1).slice(0, 64)}`);
    const digest = tag === undefined ? undefined : await this.resolve(name, tag);
    const content = digest === undefined ? undefined : await this.content(digest);
    if (content?.mediaType !== mediaTypes.ociIndex) return [];
    const present: Descriptor[] = [];
    for (const entry of content.manifests) {
      const described = await this.#describe(name, entry.digest);
      if (described !== undefined)
        present.push({ ...described, ...(entry.artifactType !== undefined && { artifactType: entry.artifactType }) });
    }
    return present;
  }

  /** For the collector: a manifest that the storage lost by other means must not be served from memory. */
  forget(digest: Digest): void {
    this.#contents.delete(digest);
  }
}

const maxNamedMissing = 20;
const maxAtOnce = 32;

/** Runs an action for each item, some at the same time, and lets others go first now and then. */
async function eachAtOnce<T>(items: readonly T[], action: (item: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < items.length; at += maxAtOnce) {
    await Promise.all(items.slice(at, at + maxAtOnce).map(action));
    await letOthersGoFirst();
  }
}

function verified(bytes: Uint8Array, digest: Digest): Digest {
  const algorithm = algorithmOf(digest);
  const actual = `${algorithm}:${new Bun.CryptoHasher(algorithm).update(bytes).digest('hex')}`;
  if (actual !== digest)
    throw refusal('DIGEST_INVALID', `provided digest did not match uploaded content: the manifest is ${actual}`, { detail: { digest } });
  return digest;
}

export const unknownManifest = (name: Repository, reference: ManifestReference): Error =>
  refusal('MANIFEST_UNKNOWN', undefined, { detail: { name, ...reference } });
