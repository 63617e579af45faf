import { type Digest, tryParseDigest } from '#oci/digest.ts';
import { refusal } from './refusal.ts';

declare const proof: unique symbol;
/** A repository's name, checked. Comes only from `parseRepository`. */
export type Repository = string & { readonly [proof]: 'repository' };
/** A tag, checked. Comes only from `tryParseTag`. */
export type Tag = string & { readonly [proof]: 'tag' };

const maxNameLength = 255;
const repositoryPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

/** Undefined for a text that is no repository name (distribution spec, Pulling manifests). */
export const tryParseRepository = (text: string): Repository | undefined =>
  text.length <= maxNameLength && repositoryPattern.test(text) ? (text as Repository) : undefined;

/** Refuses with NAME_INVALID. */
export function parseRepository(text: string): Repository {
  const name = tryParseRepository(text);
  if (name !== undefined) return name;
  const why =
    text.length > maxNameLength
      ? `it has ${String(text.length)} characters, at most ${String(maxNameLength)} are allowed`
      : 'its parts are lower-case letters and digits, with single dots, one or two underscores or dashes between them';
  throw refusal('NAME_INVALID', `invalid repository name: ${why}`, { detail: { name: text.slice(0, maxNameLength) } });
}

export const tryParseTag = (text: string): Tag | undefined => (tagPattern.test(text) ? (text as Tag) : undefined);

/** Refuses with DIGEST_INVALID. */
export function parseDigestOf(text: string | null): Digest {
  const digest = tryParseDigest(text ?? '');
  if (digest !== undefined) return digest;
  throw refusal(
    'DIGEST_INVALID',
    `invalid digest "${(text ?? '').slice(0, 200)}": expected sha256: and 64 or sha512: and 128 lower-case hexadecimal digits`,
  );
}

/** What a manifest is asked for by. */
export type ManifestReference = { readonly tag: Tag } | { readonly digest: Digest };

/** Refuses with DIGEST_INVALID what has a colon and is no digest, with TAG_INVALID what is no tag. */
export function parseManifestReference(text: string): ManifestReference {
  if (text.includes(':')) return { digest: parseDigestOf(text) };
  const tag = tryParseTag(text);
  if (tag !== undefined) return { tag };
  throw refusal('TAG_INVALID', 'invalid tag: at most 128 letters, digits, underscores, dots and dashes, the first neither dot nor dash', {
    detail: { tag: text.slice(0, 200) },
  });
}
