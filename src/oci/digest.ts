import { invalidArgument } from '#base/errors.ts';

declare const proof: unique symbol;
/** `algorithm:hex`, checked. Comes only from `parseDigest` and `sha256` (OCI image spec, descriptor.md, Digests). */
export type Digest = string & { readonly [proof]: 'digest' };

const lengths: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

/** Undefined when the text is not a digest of an algorithm we know. */
export function tryParseDigest(text: string): Digest | undefined {
  const match = /^(sha256|sha384|sha512):([0-9a-f]+)$/.exec(text);
  return match?.[1] !== undefined && match[2]?.length === lengths[match[1]] ? (text as Digest) : undefined;
}

/** Rejects with InvalidArgument, naming the text. */
export function parseDigest(text: string): Digest {
  const digest = tryParseDigest(text);
  if (digest === undefined) throw invalidArgument(`invalid digest "${text}": expected sha256: and 64 lower-case hexadecimal digits`);
  return digest;
}

export const algorithmOf = (digest: Digest): 'sha256' | 'sha384' | 'sha512' => digest.slice(0, digest.indexOf(':')) as 'sha256';
export const encodedOf = (digest: Digest): string => digest.slice(digest.indexOf(':') + 1);

export const sha256 = (data: Uint8Array | string): Digest =>
  `sha256:${new Bun.CryptoHasher('sha256').update(data).digest('hex')}` as Digest;

/** The chain id of a layer on top of another one; undefined: on nothing. */
export const chainOf = (diffId: Digest, parent: Digest | undefined): Digest =>
  parent === undefined ? diffId : sha256(`${parent} ${diffId}`);

/** The chain ids of a list of layers, bottom first (OCI image spec, config.md, Layer ChainID). */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) chain.push(chainOf(diffId, chain.at(-1)));
  return chain;
}
