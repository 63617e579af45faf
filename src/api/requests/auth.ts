import { decodeJson, object, string } from '../decode.ts';
import type { AuthConfig } from '../types/auth.ts';

export const authConfig = object<AuthConfig>({
  username: string,
  password: string,
  auth: string,
  email: string,
  serveraddress: string,
  identitytoken: string,
  registrytoken: string,
});

/** The X-Registry-Auth header: base64url of an AuthConfig, padded or not. What cannot be read counts as not sent, as clients expect. */
export function parseAuthHeader(text: string | undefined): AuthConfig | undefined {
  if (text === undefined || !/^[A-Za-z0-9_-]+=*$/.test(text)) return undefined;
  try {
    const config = decodeJson(Buffer.from(text, 'base64url').toString('utf8'), authConfig, 'AuthConfig');
    return Object.keys(config).length === 0 ? undefined : config;
  } catch {
    return undefined;
  }
}

export const formatAuthHeader = (config: AuthConfig): string => {
  const text = Buffer.from(JSON.stringify(config), 'utf8').toString('base64');
  return text.replaceAll('+', '-').replaceAll('/', '_');
};
