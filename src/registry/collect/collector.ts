import type { Logger } from '#base/log.ts';
import { failpoint } from '#base/failpoint.ts';
import { letOthersGoFirst } from '#base/turns.ts';
import { type Digest, tryParseDigest } from '#oci/digest.ts';
import type { Blobs } from '../blobs.ts';
import { type Catalog, listRepositories } from '../catalog.ts';
import type { Guard } from '../guard.ts';
import { blobFolder, blobPath, blobsFolder, layerLink, layersFolder, revisionLink } from '../layout.ts';
import type { Manifests } from '../manifests.ts';
import type { Repository } from '../names.ts';
import type { Quotas } from '../quotas.ts';
import type { Storage } from '../storage/storage.ts';

export interface CollectorOptions {
  readonly storage: Storage;
  readonly guard: Guard;
  readonly blobs: Blobs;
  readonly manifests: Manifests;
  readonly quotas: Quotas;
  readonly catalog: Catalog;
  readonly log: Logger;
  /** How long a manifest of this repository is kept when nobody asks for it; undefined: always. */
  readonly ttlOf: (name: Repository) => number | undefined;
}

export interface CollectRequest {
  /** What a client was told of, or has sent, within this time is kept: it may be in the middle of a push. */
  readonly graceMs: number;
  /** Remove manifests that no tag reaches, neither directly nor through an index or a subject. */
  readonly untagged: boolean;
  /** Only tell. */
  readonly dryRun: boolean;
}

export interface CollectReport {
  readonly repositories: number;
  readonly manifests: number;
  readonly links: number;
  readonly blobs: number;
  readonly bytes: number;
}

/**
 * Removes what nothing refers to, while clients go on. One repository at a time is looked at with nobody adding to it; then come the bytes that no
 * repository has, each looked at while nobody can tie it to one (see `Guard`). What is young is left alone.
 */
export class Collector {
  readonly #options: CollectorOptions;
  #running: Promise<CollectReport> | undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
  }

  /** One at a time: a second request waits for the first and starts then. */
  async collect(request: CollectRequest): Promise<CollectReport> {
    while (this.#running !== undefined) await this.#running.catch(() => undefined);
    const running = this.#collect(request);
    this.#running = running;
    try {
      return await running;
    } finally {
      this.#running = undefined;
    }
  }

  async #collect(request: CollectRequest): Promise<CollectReport> {
    const { storage, guard, catalog, log } = this.#options;
    const began = performance.now();
    const report = { repositories: 0, manifests: 0, links: 0, blobs: 0, bytes: 0 };
    using tied = guard.noteFromNow();
    const needed = new Set<Digest>();
    for (const name of await listRepositories(storage)) {
      report.repositories += 1;
      const seen = await guard.alone(name, () => this.#sweepRepository(name, request));
      for (const digest of seen.kept) needed.add(digest);
      report.manifests += seen.manifests;
      report.links += seen.links;
      failpoint('registry.collect.repository');
    }
    for await (const digest of this.#storedBlobs()) {
      if (needed.has(digest) || tied.has(digest)) continue;
      const bytes = await guard.withDigest(digest, () => this.#sweepBlob(digest, request, tied));
      if (bytes === undefined) continue;
      report.blobs += 1;
      report.bytes += bytes;
    }
    if (!request.dryRun) catalog.forget();
    log.info(request.dryRun ? 'collection would remove' : 'collection is done', { ...report, ms: Math.round(performance.now() - began) });
    return report;
  }

  async #sweepRepository(name: Repository, request: CollectRequest): Promise<{ kept: Set<Digest>; manifests: number; links: number }> {
    const { storage, blobs, manifests } = this.#options;
    const revisions = await manifests.digests(name);
    const dropped = await this.#unwanted(name, revisions, request);
    for (const digest of dropped) {
      if (!request.dryRun) await manifests.removeHeld(name, digest);
      await letOthersGoFirst();
    }
    const kept = new Set<Digest>();
    for (const digest of revisions) {
      if (dropped.has(digest)) continue;
      kept.add(digest);
      const content = await manifests.content(digest);
      for (const part of [...(content?.blobs ?? []), ...(content?.foreign ?? []), ...(content?.manifests ?? [])]) kept.add(part.digest);
      await letOthersGoFirst();
    }
    let links = 0;
    for await (const digest of digestsBelow(storage, layersFolder(name))) {
      if (kept.has(digest)) continue;
      if (await this.#isYoung(layerLink(name, digest), request)) {
        kept.add(digest);
        continue;
      }
      links += 1;
      if (!request.dryRun) await blobs.unlink(name, digest);
      await letOthersGoFirst();
    }
    return { kept, manifests: dropped.size, links };
  }

  /** Manifests whose time is over, or that no tag reaches when the operator wants those removed. */
  async #unwanted(name: Repository, revisions: readonly Digest[], request: CollectRequest): Promise<Set<Digest>> {
    const { storage, manifests, ttlOf } = this.#options;
    const ttlMs = ttlOf(name);
    const unwanted = new Set<Digest>();
    if (ttlMs !== undefined) {
      for (const digest of revisions) {
        const link = await storage.stat(revisionLink(name, digest));
        if (link !== undefined && Date.now() - link.modifiedAt > ttlMs) unwanted.add(digest);
      }
    }
    if (!request.untagged) return unwanted;
    const reached = await this.#reachedByTags(name, revisions);
    for (const digest of revisions) {
      if (!reached.has(digest) && !(await this.#isYoung(revisionLink(name, digest), request))) unwanted.add(digest);
    }
    // What belongs to something young stays with it.
    for (let changed = true; changed; ) {
      changed = false;
      for (const digest of revisions) {
        if (unwanted.has(digest)) continue;
        for (const child of (await manifests.content(digest))?.manifests ?? []) if (unwanted.delete(child.digest)) changed = true;
      }
      for (const digest of [...unwanted]) {
        const subject = (await manifests.content(digest))?.subject?.digest;
        if (subject !== undefined && revisions.includes(subject) && !unwanted.has(subject) && unwanted.delete(digest)) changed = true;
      }
    }
    return unwanted;
  }

  /** From the tags over indexes to their manifests, and to whatever names one of those as its subject. */
  async #reachedByTags(name: Repository, revisions: readonly Digest[]): Promise<Set<Digest>> {
    const { manifests } = this.#options;
    const referrers = new Map<Digest, Digest[]>();
    for (const digest of revisions) {
      const subject = (await manifests.content(digest))?.subject?.digest;
      if (subject !== undefined) referrers.set(subject, [...(referrers.get(subject) ?? []), digest]);
      await letOthersGoFirst();
    }
    const reached = new Set<Digest>();
    const open: Digest[] = [];
    for (const tag of await manifests.tags(name).catch(() => [])) {
      const digest = await manifests.resolve(name, tag);
      if (digest !== undefined) open.push(digest);
    }
    for (let digest = open.pop(); digest !== undefined; digest = open.pop()) {
      if (reached.has(digest)) continue;
      reached.add(digest);
      for (const child of (await manifests.content(digest))?.manifests ?? []) open.push(child.digest);
      open.push(...(referrers.get(digest) ?? []));
    }
    return reached;
  }

  async #sweepBlob(digest: Digest, request: CollectRequest, tied: { has(digest: Digest): boolean }): Promise<number | undefined> {
    const { storage, guard, blobs, manifests, quotas } = this.#options;
    if (tied.has(digest) || guard.isKept(digest)) return undefined;
    const stored = await storage.stat(blobPath(digest));
    if (stored === undefined) return undefined;
    // Another instance on the same storage may have written it just now: its repository was not seen.
    if (!storage.isExclusive && Date.now() - stored.modifiedAt <= request.graceMs) return undefined;
    if (request.dryRun) return stored.sizeBytes;
    // Whoever began to keep it while the storage was asked must find it, or wait for its removal: nothing is awaited from here to there.
    if (tied.has(digest) || guard.isKept(digest)) return undefined;
    blobs.forgetBytes(digest);
    manifests.forget(digest);
    await storage.remove(blobFolder(digest));
    failpoint('registry.collect.blob');
    quotas.releaseBytes(digest);
    return stored.sizeBytes;
  }

  async #isYoung(path: string, { graceMs }: CollectRequest): Promise<boolean> {
    const found = await this.#options.storage.stat(path);
    return found !== undefined && Date.now() - found.modifiedAt <= graceMs;
  }

  async *#storedBlobs(): AsyncGenerator<Digest> {
    const { storage } = this.#options;
    for (const algorithm of await storage.list(blobsFolder)) {
      for (const part of await storage.list(`${blobsFolder}/${algorithm.name}`)) {
        for (const entry of await storage.list(`${blobsFolder}/${algorithm.name}/${part.name}`)) {
          const digest = tryParseDigest(`${algorithm.name}:${entry.name}`);
          if (digest !== undefined) yield digest;
        }
        await letOthersGoFirst();
      }
    }
  }
}

/** The digests `<folder>/<algorithm>/<hex>`. */
export async function* digestsBelow(storage: Storage, folder: string): AsyncGenerator<Digest> {
  for (const algorithm of await storage.list(folder)) {
    for (const entry of await storage.list(`${folder}/${algorithm.name}`)) {
      const digest = tryParseDigest(`${algorithm.name}:${entry.name}`);
      if (digest !== undefined) yield digest;
    }
  }
}
