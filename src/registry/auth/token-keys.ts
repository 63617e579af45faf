import { createHash, createPublicKey, type JsonWebKeyInput, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { JWTHeaderParameters } from 'jose';
import { failedPrecondition, unauthenticated } from '#base/errors.ts';

/** Keys that tokens may be signed with: certificates of a bundle and what they have signed, and keys of a JWKS file. */
export interface TrustedKeys {
  /** The key for a token with this header. Rejects with Unauthenticated when none is trusted. */
  keyFor(header: JWTHeaderParameters): KeyObject;
}

/** Rejects with FailedPrecondition when a file cannot be read or has no key. */
export async function readTrustedKeys(files: { readonly rootCertBundle?: string; readonly jwks?: string }): Promise<TrustedKeys> {
  const roots = files.rootCertBundle === undefined ? [] : await readBundle(files.rootCertBundle);
  const named = files.jwks === undefined ? new Map<string, KeyObject>() : await readKeySet(files.jwks);
  for (const root of roots) named.set(keyId(root.publicKey), root.publicKey);
  const only = named.size === 1 ? [...named.values()][0] : undefined;
  return {
    keyFor(header) {
      if (Array.isArray(header.x5c) && header.x5c.length > 0) return verifiedChain(header.x5c, roots);
      const key = header.kid === undefined ? only : named.get(header.kid);
      if (key === undefined) throw unauthenticated('the token is signed with a key that is not trusted');
      return key;
    },
  };
}

async function readBundle(path: string): Promise<X509Certificate[]> {
  const text = await read(path);
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw failedPrecondition(`the certificate bundle ${path} has no certificate`);
  return blocks.map(block => new X509Certificate(block));
}

async function readKeySet(path: string): Promise<Map<string, KeyObject>> {
  const keys = new Map<string, KeyObject>();
  try {
    const { keys: list } = JSON.parse(await read(path)) as { keys: (JsonWebKeyInput['key'] & { kid?: string; kty?: string })[] };
    // A secret in a file of public keys is a mistake, and would let whoever reads it make tokens.
    for (const jwk of list.filter(({ kty }) => kty !== 'oct')) {
      const key = createPublicKey({ key: jwk, format: 'jwk' });
      keys.set(jwk.kid ?? keyId(key), key);
    }
  } catch (err) {
    throw failedPrecondition(`the key set ${path} cannot be used: ${err instanceof Error ? err.message : String(err)}`, { cause: err });
  }
  if (keys.size === 0) throw failedPrecondition(`the key set ${path} has no public key`);
  return keys;
}

async function read(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((err: unknown) => {
    throw failedPrecondition(`${path} cannot be read: ${err instanceof Error ? err.message : String(err)}`, { cause: err });
  });
}

/** The key of the first certificate of a chain that ends at one of the roots. */
function verifiedChain(x5c: readonly string[], roots: readonly X509Certificate[]): KeyObject {
  try {
    const chain = x5c.map(der => new X509Certificate(Buffer.from(der, 'base64')));
    const now = Date.now();
    const isValid = (certificate: X509Certificate): boolean =>
      Date.parse(certificate.validFrom) <= now && now <= Date.parse(certificate.validTo);
    for (const [index, certificate] of chain.entries()) {
      if (!isValid(certificate)) break;
      const root = roots.find(
        one =>
          one.fingerprint256 === certificate.fingerprint256 ||
          (isValid(one) && certificate.checkIssued(one) && certificate.verify(one.publicKey)),
      );
      if (root !== undefined && chain[0] !== undefined) return chain[0].publicKey;
      const issuer = chain[index + 1];
      if (issuer === undefined || !issuer.ca || !certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) break;
    }
  } catch (err) {
    throw unauthenticated('the certificates of the token cannot be read', { cause: err });
  }
  throw unauthenticated('the token is signed with a certificate that is not trusted');
}

/** The name that token servers give a key: the start of its hash in base 32, in groups of four (libtrust). */
export function keyId(key: KeyObject): string {
  const hash = createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest()
    .subarray(0, 30);
  return (base32(hash).match(/.{1,4}/g) ?? []).join(':');
}

function base32(bytes: Uint8Array): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  let [text, bits, value] = ['', 0, 0];
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    for (; bits >= 5; bits -= 5) {
      text += alphabet[(value >>> (bits - 5)) & 31];
      value &= (1 << (bits - 5)) - 1;
    }
  }
  return text;
}
