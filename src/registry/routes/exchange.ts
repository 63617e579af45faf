import type { Activity } from '../activity.ts';
import type { Action, Actor, Need } from '../auth/access.ts';
import type { Authenticator } from '../auth/authenticator.ts';
import type { TokenService } from '../auth/token-service.ts';
import type { Blobs } from '../blobs.ts';
import type { Catalog } from '../catalog.ts';
import type { Manifests } from '../manifests.ts';
import type { PullThrough } from '../proxy/pull-through.ts';
import type { Repository } from '../names.ts';
import { refusal } from '../refusal.ts';
import type { SearchIndex } from '../search.ts';
import type { Uploads } from '../uploads.ts';
import type { Quotas } from '../quotas.ts';

export interface Limits {
  readonly maxManifestBytes: number;
  /** Entries of one answer of the catalog and the tags, when the client asks for more or does not say. */
  readonly maxCatalogEntries: number;
  readonly maxTags: number;
  readonly isReadOnly: boolean;
  readonly mayDelete: boolean;
  /** What clients reach the registry by, `https://host`; undefined: as they say. */
  readonly externalUrl: string | undefined;
}

/** What the routes work with. */
export interface Services {
  readonly blobs: Blobs;
  readonly uploads: Uploads;
  readonly manifests: Manifests;
  readonly quotas: Quotas;
  readonly search: SearchIndex;
  readonly authenticator: Authenticator;
  readonly tokens: TokenService | undefined;
  readonly upstreams: PullThrough;
  readonly limits: Limits;
  readonly catalog: Catalog;
  /** What is wrong now; empty when all is well. */
  problems(): Readonly<Record<string, string>>;
}

/** What the listener knows of a request beside itself. */
export interface Connection {
  readonly scheme: 'http' | 'https';
  remoteAddress(): string;
  /** It is not closed for being silent until this request is answered. */
  waitLonger(): void;
}

/** One request on its way to its answer. */
export class Exchange {
  readonly request: Request;
  readonly query: URLSearchParams;
  readonly services: Services;
  readonly scheme: 'http' | 'https';
  actor: Actor;
  /** The connection may be silent for as long as it takes now. */
  readonly waitLonger: () => void;
  /** What it has done, for those who want to know. */
  activity: Activity | undefined;

  constructor(request: Request, query: string, services: Services, actor: Actor, connection: Connection) {
    this.request = request;
    this.query = query === '' ? noQuery : new URLSearchParams(query);
    this.services = services;
    this.actor = actor;
    this.scheme = connection.scheme;
    this.waitLonger = connection.waitLonger;
  }

  /** How the client reaches us. */
  get origin(): string {
    const { externalUrl } = this.services.limits;
    if (externalUrl !== undefined) return externalUrl;
    const forwarded = this.request.headers.get('x-forwarded-proto');
    const scheme = forwarded === 'https' || forwarded === 'http' ? forwarded : this.scheme;
    return `${scheme}://${this.request.headers.get('host') ?? 'localhost'}`;
  }

  /** A path for a Location header: relative to what the client asked, unless the operator says how we are reached. */
  location(path: string): string {
    return (this.services.limits.externalUrl ?? '') + path;
  }

  require(repository: Repository, ...actions: readonly Action[]): void {
    this.#check({ repository, actions });
  }

  requireCatalog(): void {
    this.#check({ catalog: true });
  }

  /** Refuses with UNAUTHORIZED who might be let in with other credentials, with DENIED who would not. */
  #check(need: Need): void {
    if (this.actor.may(need)) return;
    const authorization = this.request.headers.get('authorization');
    if (authorization !== null && /^basic /i.test(authorization)) throw refusal('DENIED', undefined, { detail: need });
    throw this.unauthorized([need], authorization !== null);
  }

  unauthorized(needs: readonly Need[], hadToken: boolean, message?: string): Error {
    return refusal('UNAUTHORIZED', message, {
      detail: needs,
      headers: { 'WWW-Authenticate': this.services.authenticator.challenge(needs, this.origin, hadToken) },
    });
  }

  requireWritable(repository: Repository): void {
    if (this.services.limits.isReadOnly) throw refusal('UNSUPPORTED', 'the registry is read-only at the moment');
    if (this.services.upstreams.covers(repository))
      throw refusal('UNSUPPORTED', `${repository} is a copy of another registry's repository: push to that one`);
  }

  requireDeletable(repository: Repository): void {
    if (this.services.limits.isReadOnly) throw refusal('UNSUPPORTED', 'the registry is read-only at the moment');
    if (!this.services.limits.mayDelete)
      throw refusal('UNSUPPORTED', `deleting is turned off on this registry: ${repository} stays as it is`);
  }
}

const noQuery = new URLSearchParams();
