import type { Catalog } from './catalog.ts';
import { readManifest } from './manifest-content.ts';
import type { Manifests } from './manifests.ts';
import { type Repository, tryParseTag } from './names.ts';

export interface SearchResult {
  readonly name: Repository;
  readonly description: string;
  readonly star_count: number;
  readonly is_official: boolean;
  readonly is_automated: boolean;
}

const descriptionKey = 'org.opencontainers.image.description';

/** Finds repositories by their names, for `docker search`. */
export class SearchIndex {
  readonly #catalog: Catalog;
  readonly #manifests: Manifests;

  constructor(catalog: Catalog, manifests: Manifests) {
    this.#catalog = catalog;
    this.#manifests = manifests;
  }

  /** Names that begin with the term come first. */
  async find(term: string, limit: number, isVisible: (name: Repository) => boolean): Promise<SearchResult[]> {
    const wanted = term.toLowerCase().replace(/^library\//, '');
    const names = (await this.#catalog.names()).filter(name => name.includes(wanted) && isVisible(name));
    const rank = (name: string): number => (name === wanted ? 0 : name.startsWith(wanted) ? 1 : 2);
    const found = names.toSorted((a, b) => rank(a) - rank(b)).slice(0, limit);
    return await Promise.all(
      found.map(async name => ({ name, description: await this.#describe(name), star_count: 0, is_official: false, is_automated: false })),
    );
  }

  /** What the image under `latest` says of itself. */
  async #describe(name: Repository): Promise<string> {
    const latest = tryParseTag('latest');
    const stored = latest === undefined ? undefined : await this.#manifests.find(name, { tag: latest });
    return stored === undefined ? '' : (readManifest(stored.bytes, stored.mediaType).annotations?.[descriptionKey] ?? '');
  }
}
