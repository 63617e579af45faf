import type { AuthConfig } from '#api/types/auth.ts';
import type { Cli } from '../cli.ts';
import { getCredentials, knownRegistries } from './credentials.ts';

export const hubKey = 'https://index.docker.io/v1/';

/** The registry that an image's name begins with; Docker Hub when it does not. */
export function registryOf(image: string): string {
  const slash = image.indexOf('/');
  const first = slash < 0 ? '' : image.slice(0, slash);
  const isHost = first.includes('.') || first.includes(':') || first === 'localhost' || first !== first.toLowerCase();
  return isHost && first !== 'docker.io' && first !== 'index.docker.io' ? first : hubKey;
}

/** The X-Registry-Auth header: padded base64url of the JSON. */
export const encodeAuth = (auth: AuthConfig): string =>
  Buffer.from(JSON.stringify(auth)).toString('base64').replaceAll('+', '-').replaceAll('/', '_');

/** The header for the registry of an image. */
export async function registryAuthFor(cli: Cli, image: string): Promise<string> {
  return encodeAuth(await getCredentials(cli, registryOf(image)));
}

/** The X-Registry-Config header: everything that is known, by registry. */
export async function registryConfigOf(cli: Cli): Promise<string> {
  const entries = await Promise.all(
    (await knownRegistries(cli)).map(async registry => [registry, await getCredentials(cli, registry)] as const),
  );
  return encodeAuth(Object.fromEntries(entries) as AuthConfig);
}
