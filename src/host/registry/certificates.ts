import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { failedPrecondition, isErrno } from '#base/errors.ts';

/** How to speak TLS to a host. */
export interface TlsOptions {
  readonly ca?: string[];
  readonly cert?: string;
  readonly key?: string;
  readonly rejectUnauthorized?: boolean;
}

/**
 * What the operator put into `<dir>/<host:port>/` of the first of these folders that has one: every `*.crt` is trusted besides the system's own, `x.cert` with
 * `x.key` is shown to the registry. Rejects with FailedPrecondition for a certificate without its key or the other way round.
 */
export async function readCertificates(dirs: readonly string[], host: string): Promise<TlsOptions> {
  for (const dir of dirs) {
    const found = await readFolder(join(dir, host));
    if (Object.keys(found).length > 0) return found;
  }
  return {};
}

async function readFolder(place: string): Promise<TlsOptions> {
  const names = await readdir(place).catch((err: unknown): string[] => {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return [];
    throw err;
  });
  const authorities = names.filter(name => name.endsWith('.crt'));
  const certificates = names.filter(name => name.endsWith('.cert')).sort();
  for (const name of names.filter(name => name.endsWith('.key'))) {
    if (!names.includes(name.replace(/\.key$/, '.cert'))) {
      throw failedPrecondition(`missing client certificate ${name.replace(/\.key$/, '.cert')} for key ${name} in ${place}`);
    }
  }
  const missing = certificates.find(name => !names.includes(name.replace(/\.cert$/, '.key')));
  if (missing !== undefined) {
    throw failedPrecondition(
      `missing key ${missing.replace(/\.cert$/, '.key')} for client certificate ${missing} in ${place}. CA certificates must use the extension .crt`,
    );
  }
  const read = (name: string): Promise<string> => readFile(join(place, name), 'utf8');
  const [certificate] = certificates;
  return {
    ...(authorities.length > 0 && {
      ca: [...rootCertificates, ...(await systemCertificates()), ...(await Promise.all(authorities.map(read)))],
    }),
    ...(certificate !== undefined && { cert: await read(certificate), key: await read(certificate.replace(/\.cert$/, '.key')) }),
  };
}

const systemBundles = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt'];

/** What the machine trusts, so that adding one authority does not take the others away. */
export async function systemCertificates(): Promise<string[]> {
  for (const path of systemBundles) {
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text !== undefined) return [text];
  }
  return [];
}
