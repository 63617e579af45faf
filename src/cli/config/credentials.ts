import type { AuthConfig } from '#api/types/auth.ts';
import { messageOf } from '#base/errors.ts';
import type { Cli } from '../cli.ts';
import { ExitError } from '../errors.ts';
import type { ConfigFile, StoredAuth } from './config-file.ts';

// Docker credential helpers: a program `docker-credential-<name>` that keeps secrets somewhere better than a file.
const notFoundText = 'credentials not found in native keychain';
/** The user name that says that the secret is an identity token. */
const tokenUser = '<token>';

interface HelperAnswer {
  readonly ServerURL?: string;
  readonly Username: string;
  readonly Secret: string;
}

const helperFor = (config: ConfigFile, registry: string): string | undefined => {
  const name = config.values.credHelpers?.[registry] ?? config.values.credsStore;
  return name === '' ? undefined : name;
};

const gerunds = { get: 'getting', store: 'storing', erase: 'erasing', list: 'listing' } as const;

async function askHelper(name: string, action: keyof typeof gerunds, input: string): Promise<string | undefined> {
  const program = `docker-credential-${name}`;
  let child: Bun.Subprocess<Uint8Array, 'pipe', 'inherit'>;
  try {
    child = Bun.spawn([program, action], { stdin: Buffer.from(input), stdout: 'pipe', stderr: 'inherit' });
  } catch (err) {
    throw new ExitError(
      1,
      `error ${gerunds[action]} credentials - err: exec: "${program}": executable file not found in $PATH, out: \`\``,
      { cause: err },
    );
  }
  const output = (await new Response(child.stdout).text()).trim();
  if ((await child.exited) === 0) return output;
  if (output === notFoundText) return undefined;
  throw new ExitError(1, `error ${gerunds[action]} credentials - err: exit status ${child.exitCode}, out: \`${output}\``);
}

/** `auths` of the settings and, before it, of DOCKER_AUTH_CONFIG. */
function storedAuths(config: ConfigFile): Readonly<Record<string, StoredAuth>> {
  const text = process.env.DOCKER_AUTH_CONFIG;
  if (text === undefined || text === '') return config.values.auths ?? {};
  try {
    return (JSON.parse(text) as { auths?: Record<string, StoredAuth> }).auths ?? {};
  } catch (err) {
    throw new ExitError(1, `DOCKER_AUTH_CONFIG is not JSON: ${messageOf(err)}`, { cause: err });
  }
}

/** `registry.example.com` for that host however it was written down. */
const hostOf = (key: string): string => key.replace(/^https?:\/\//, '').replace(/\/.*$/, '');

function decode(stored: StoredAuth, serveraddress: string): AuthConfig {
  const decoded = Buffer.from(stored.auth ?? '', 'base64').toString();
  const colon = decoded.indexOf(':');
  return {
    ...(colon < 0 ? {} : { username: decoded.slice(0, colon), password: decoded.slice(colon + 1).replace(/\0+$/, '') }),
    serveraddress,
    ...(stored.identitytoken === undefined ? {} : { identitytoken: stored.identitytoken }),
    ...(stored.registrytoken === undefined ? {} : { registrytoken: stored.registrytoken }),
  };
}

/** What is known for a registry; an empty object when nothing is. */
export async function getCredentials(cli: Cli, registry: string): Promise<AuthConfig> {
  const config = await cli.config();
  const helper = process.env.DOCKER_AUTH_CONFIG === undefined ? helperFor(config, registry) : undefined;
  if (helper !== undefined) {
    const answer = await askHelper(helper, 'get', registry);
    if (answer === undefined) return {};
    const { Username, Secret } = JSON.parse(answer) as HelperAnswer;
    return Username === tokenUser
      ? { serveraddress: registry, identitytoken: Secret }
      : { username: Username, password: Secret, serveraddress: registry };
  }
  const auths = storedAuths(config);
  const key = Object.hasOwn(auths, registry) ? registry : Object.keys(auths).find(other => hostOf(other) === hostOf(registry));
  const stored = key === undefined ? undefined : auths[key];
  return stored === undefined ? {} : decode(stored, registry);
}

/** The registries that credentials are known for, as they were written down. */
export async function knownRegistries(cli: Cli): Promise<string[]> {
  const config = await cli.config();
  const store = process.env.DOCKER_AUTH_CONFIG === undefined ? (config.values.credsStore ?? '') : '';
  const listed = store === '' ? '{}' : ((await askHelper(store, 'list', '')) ?? '{}');
  const stored = Object.keys(JSON.parse(listed === '' ? '{}' : listed) as Record<string, string>);
  return [...new Set([...Object.keys(storedAuths(config)), ...Object.keys(config.values.credHelpers ?? {}), ...stored])];
}

/** Keeps credentials: with the helper, if there is one, else in the settings. Resolves with true when a password lies in a file in plain text. */
export async function storeCredentials(cli: Cli, registry: string, auth: AuthConfig): Promise<boolean> {
  const config = await cli.config();
  const helper = helperFor(config, registry);
  if (helper !== undefined) {
    const token = auth.identitytoken ?? '';
    const Username = token === '' ? (auth.username ?? '') : tokenUser;
    await askHelper(
      helper,
      'store',
      JSON.stringify({ ServerURL: registry, Username, Secret: token === '' ? (auth.password ?? '') : token }),
    );
    (config.values.auths ??= {})[registry] = {};
    config.save();
    return false;
  }
  const token = auth.identitytoken ?? '';
  (config.values.auths ??= {})[registry] =
    token === ''
      ? { auth: Buffer.from(`${auth.username ?? ''}:${auth.password ?? ''}`).toString('base64') }
      : { auth: Buffer.from(`${auth.username ?? ''}:`).toString('base64'), identitytoken: token };
  config.save();
  return token === '';
}

/** Forgets credentials. Resolves with false when there were none. */
export async function eraseCredentials(cli: Cli, registry: string): Promise<boolean> {
  const config = await cli.config();
  const helper = helperFor(config, registry);
  if (helper !== undefined) await askHelper(helper, 'erase', registry);
  const auths = config.values.auths ?? {};
  const keys = Object.keys(auths).filter(key => key === registry || hostOf(key) === hostOf(registry));
  for (const key of keys) delete auths[key];
  if (keys.length > 0) config.save();
  return keys.length > 0 || helper !== undefined;
}
