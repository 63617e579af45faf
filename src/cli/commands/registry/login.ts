import type { AuthConfig, AuthResponse } from '#api/types/auth.ts';
import { ConnectionError } from '#client/errors.ts';
import type { Cli } from '../../cli.ts';
import { defineCommand, maxArgs } from '../../command.ts';
import { getCredentials, storeCredentials } from '../../config/credentials.ts';
import { hubKey } from '../../config/registry-auth.ts';
import { ExitError } from '../../errors.ts';
import { bool, text } from '../../flags/flag.ts';
import { toRemoteAuth } from '../../remote/remote-images.ts';
import { isInputTerminal } from '../../streams/session.ts';
import { readLine } from '../../streams/read-line.ts';

export const command = defineCommand({
  usage: '[OPTIONS] [SERVER]',
  names: ['login'],
  short: 'Keep credentials for a registry',
  long: 'Keep credentials for a registry; Docker Hub when no server is named.',
  args: maxArgs(1),
  flags: {
    password: text('Password or token', { short: 'p' }),
    'password-stdin': bool('Read the password from stdin'),
    username: text('User name', { short: 'u' }),
  },
  async run(cli, { flags, args, changed }) {
    const server = registryKey(args[0]);
    let { password } = flags;
    if (changed.has('password')) {
      if (flags['password-stdin']) throw new ExitError(1, 'conflicting options: cannot specify both --password and --password-stdin');
      cli.err.line('WARNING! Using --password via the CLI is insecure. Use --password-stdin.');
    }
    if (flags['password-stdin']) {
      if (flags.username === '') throw new ExitError(1, 'the --password-stdin option requires --username to be set');
      password = (await new Response(Bun.stdin.stream()).text()).replace(/[\r\n]+$/, '');
    }
    const auth = await credentials(cli, server, flags.username, password);
    const answer = await authenticate(cli, auth);
    const token = answer?.IdentityToken ?? '';
    const kept = token === '' ? auth : { ...auth, password: '', identitytoken: token };
    if (await storeCredentials(cli, server, kept)) {
      cli.err.line(
        `\nWARNING! Your credentials are stored unencrypted in '${(await cli.config()).path}'.\nConfigure a credential helper to remove this warning.\n`,
      );
    }
    cli.out.line(answer?.Status ?? 'Login Succeeded');
  },
});

/** Has the daemon ask the registry, which knows its certificates and proxies. Whoever logs in need not have one that runs. */
async function authenticate(cli: Cli, auth: AuthConfig): Promise<AuthResponse | undefined> {
  try {
    const { system } = await cli.client();
    return await system.authenticate(auth);
  } catch (err) {
    if (!(err instanceof ConnectionError)) throw err;
    const registries = (await cli.openRegistries())({ insecure: [] });
    const { identityToken } = await registries.login(toRemoteAuth(auth), new AbortController().signal);
    return { Status: 'Login Succeeded', IdentityToken: identityToken };
  }
}

/** Credentials are kept by host, those of Docker Hub by the address they have always had. */
export function registryKey(server: string | undefined): string {
  if (server === undefined || server === '' || ['docker.io', 'index.docker.io', 'registry-1.docker.io'].includes(server)) return hubKey;
  return server === hubKey ? hubKey : server.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
}

async function credentials(cli: Cli, server: string, username: string, password: string): Promise<AuthConfig> {
  if (username !== '' && password !== '') return { username, password, serveraddress: server };
  const known = await getCredentials(cli, server);
  if (username === '' && password === '' && ((known.username ?? '') !== '' || (known.identitytoken ?? '') !== '')) {
    cli.out.line('Authenticating with existing credentials...');
    return { ...known, serveraddress: server };
  }
  if (!isInputTerminal()) throw new ExitError(1, 'Error: Cannot perform an interactive login from a non TTY device');
  let user = username;
  if (user === '') {
    const suggested = known.username ?? '';
    cli.out.write(suggested === '' ? 'Username: ' : `Username (${suggested}): `);
    user = (await readLine(cli)).trim() || suggested;
    if (user === '') throw new ExitError(1, 'Error: Non-null Username Required');
  }
  if (password !== '') return { username: user, password, serveraddress: server };
  cli.out.write('Password: ');
  const secret = await readLine(cli, { secret: true });
  if (secret === '') throw new ExitError(1, 'Error: Password Required');
  return { username: user, password: secret, serveraddress: server };
}
