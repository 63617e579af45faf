import { invalidArgument } from '#base/errors.ts';
import { type Digest, tryParseDigest } from './digest.ts';

/** An image name in full: `docker.io/library/busybox:latest` has domain `docker.io` and path `library/busybox`. */
export interface Reference {
  readonly domain: string;
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const defaultDomain = 'docker.io';
const officialPrefix = 'library/';
const maxNameLength = 255;

const host = String.raw`(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])`;
const component = String.raw`[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`;
const full = new RegExp(
  String.raw`^(${host}(?::[0-9]+)?)/(${component}(?:/${component})*)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@([A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?$`,
);

/**
 * Reads a name as a person writes it: `busybox`, `user/app:1`, `host:5000/app@sha256:…`. Docker Hub is the default domain and `library/` the
 * default path there; no tag is added. Rejects with InvalidArgument `invalid reference format…`.
 */
export function parseReference(text: string): Reference {
  if (isIdentifier(text)) {
    throw invalidArgument(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  }
  const { domain, remainder } = splitDomain(text);
  const colon = remainder.indexOf(':');
  const path = colon < 0 ? remainder : remainder.slice(0, colon);
  if (path !== path.toLowerCase()) throw invalidArgument(`invalid reference format: repository name (${path}) must be lowercase`);
  const match = full.exec(`${domain}/${remainder}`);
  if (match?.[1] === undefined || match[2] === undefined) throw invalidArgument('invalid reference format');
  if (match[1].length + 1 + match[2].length > maxNameLength) {
    throw invalidArgument(`invalid reference format: repository name must not be more than ${maxNameLength} characters`);
  }
  const digest = match[4] === undefined ? undefined : tryParseDigest(match[4]);
  if (match[4] !== undefined && digest === undefined) throw invalidArgument('invalid reference format: unsupported or malformed digest');
  return {
    domain: match[1],
    path: match[2],
    ...(match[3] !== undefined && { tag: match[3] }),
    ...(digest !== undefined && { digest }),
  };
}

const isIdentifier = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);

/** Undefined for a text that is no reference. */
export function tryParseReference(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}

/** The first part is a host only when it cannot be a Hub user: it has a dot, a colon or an upper-case letter, or is `localhost`. */
function splitDomain(text: string): { domain: string; remainder: string } {
  const slash = text.indexOf('/');
  const first = text.slice(0, Math.max(slash, 0));
  const isHost = slash >= 0 && looksLikeHost(first);
  const domain = !isHost || first === 'index.docker.io' ? defaultDomain : first;
  const rest = isHost ? text.slice(slash + 1) : text;
  return { domain, remainder: domain === defaultDomain && !rest.includes('/') ? officialPrefix + rest : rest };
}

const looksLikeHost = (first: string): boolean => /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();

const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/** The same repository with another tag and no digest. Rejects with InvalidArgument for a bad tag. */
export function withTag(ref: Reference, tag: string): Reference {
  if (!tagPattern.test(tag)) throw invalidArgument(`invalid tag format: "${tag}"`);
  return { domain: ref.domain, path: ref.path, tag };
}

export const withDigest = (ref: Reference, digest: Digest): Reference => ({ domain: ref.domain, path: ref.path, digest });

/** Adds `:latest` to a reference that has neither tag nor digest. */
export const withDefaultTag = (ref: Reference): Reference =>
  ref.tag === undefined && ref.digest === undefined ? { ...ref, tag: 'latest' } : ref;

/** `docker.io/library/busybox`: the repository in full, without tag and digest. */
export const repositoryOf = (ref: Reference): string => `${ref.domain}/${ref.path}`;

/** `docker.io/library/busybox:latest`: in full, as names are stored. */
export const canonicalString = (ref: Reference): string => repositoryOf(ref) + suffixOf(ref);

/** `busybox`: the repository as people write it. */
export function familiarName(ref: Reference): string {
  if (ref.domain !== defaultDomain) return repositoryOf(ref);
  const name = ref.path.startsWith(officialPrefix) ? ref.path.slice(officialPrefix.length) : ref.path;
  // What looks like a host would be taken for one, and what looks like an id too.
  if (ref.path.includes('/') && looksLikeHost(ref.path.slice(0, ref.path.indexOf('/')))) return repositoryOf(ref);
  return name.includes('/') || isIdentifier(name) || !ref.path.startsWith(officialPrefix) ? ref.path : name;
}

/** `busybox:latest`: the reference as people write it. */
export const familiarString = (ref: Reference): string => familiarName(ref) + suffixOf(ref);

const suffixOf = (ref: Reference): string =>
  (ref.tag === undefined ? '' : `:${ref.tag}`) + (ref.digest === undefined ? '' : `@${ref.digest}`);
