import type { Digest } from '#oci/digest.ts';
import type { Repository } from './names.ts';
import { refusal } from './refusal.ts';

export interface QuotaRule {
  /** Which repositories: a name, or a pattern with `*` (one part) and `**` (any parts). */
  readonly matches: (name: Repository) => boolean;
  readonly maxBytes: number;
}

export interface QuotaOptions {
  /** All blobs together, each counted once. */
  readonly totalBytes: number | undefined;
  /** For each repository that matches: its blobs together. The first rule that matches counts. */
  readonly rules: readonly QuotaRule[];
}

/**
 * What repositories use and may use. Without limits nothing is counted. The figures are those of what is linked: what a repository shares with others
 * counts for each of them, and once in the total.
 */
export class Quotas {
  readonly #options: QuotaOptions;
  readonly #repositories = new Map<Repository, Map<Digest, number>>();
  readonly #blobs = new Map<Digest, number>();
  #totalBytes = 0;

  constructor(options: QuotaOptions) {
    this.#options = options;
  }

  get isCounting(): boolean {
    return this.#options.totalBytes !== undefined || this.#options.rules.length > 0;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  usedBy(name: Repository): number {
    let bytes = 0;
    for (const size of this.#repositories.get(name)?.values() ?? []) bytes += size;
    return bytes;
  }

  /** Before anything is received: refuses what cannot fit whatever it turns out to be. */
  expect(name: Repository, sizeBytes: number): void {
    if (!this.isCounting) return;
    const rule = this.#ruleOf(name);
    if (rule !== undefined && sizeBytes > rule.maxBytes)
      throw denied(`the quota of repository ${name}`, rule.maxBytes, this.usedBy(name), sizeBytes);
    const { totalBytes } = this.#options;
    if (totalBytes !== undefined && sizeBytes > totalBytes) throw denied("the registry's quota", totalBytes, this.#totalBytes, sizeBytes);
  }

  /** Counts a blob for a repository, or refuses with DENIED. `isNew`: its bytes are not stored yet. */
  claim(name: Repository, digest: Digest, sizeBytes: number, isNew: boolean): void {
    if (!this.isCounting || this.#repositories.get(name)?.has(digest) === true) return;
    const rule = this.#ruleOf(name);
    if (rule !== undefined) {
      const used = this.usedBy(name);
      if (used + sizeBytes > rule.maxBytes) throw denied(`the quota of repository ${name}`, rule.maxBytes, used, sizeBytes);
    }
    const { totalBytes } = this.#options;
    if (isNew && totalBytes !== undefined && this.#totalBytes + sizeBytes > totalBytes)
      throw denied("the registry's quota", totalBytes, this.#totalBytes, sizeBytes);
    this.count(name, digest, sizeBytes);
    this.countBytes(digest, sizeBytes);
  }

  /** Counts what is there already. */
  count(name: Repository, digest: Digest, sizeBytes: number): void {
    let blobs = this.#repositories.get(name);
    if (blobs === undefined) {
      blobs = new Map();
      this.#repositories.set(name, blobs);
    }
    blobs.set(digest, sizeBytes);
  }

  countBytes(digest: Digest, sizeBytes: number): void {
    if (this.#blobs.has(digest)) return;
    this.#blobs.set(digest, sizeBytes);
    this.#totalBytes += sizeBytes;
  }

  release(name: Repository, digest: Digest): void {
    const blobs = this.#repositories.get(name);
    blobs?.delete(digest);
    if (blobs?.size === 0) this.#repositories.delete(name);
  }

  releaseBytes(digest: Digest): void {
    this.#totalBytes -= this.#blobs.get(digest) ?? 0;
    this.#blobs.delete(digest);
  }

  #ruleOf(name: Repository): QuotaRule | undefined {
    return this.#options.rules.find(rule => rule.matches(name));
  }
}

const denied = (whose: string, limit: number, used: number, wanted: number): Error =>
  refusal('DENIED', `${whose} is used up: ${bytes(used)} of ${bytes(limit)} are in use, ${bytes(wanted)} more do not fit`, {
    detail: { limitBytes: limit, usedBytes: used, wantedBytes: wanted },
  });

function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = count;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit += 1) value /= 1000;
  return `${unit === 0 ? String(value) : value.toFixed(value < 10 ? 1 : 0)} ${units[unit] ?? ''}`;
}
