import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '#client/client.ts';
import { parseVersion } from '#client/connection.ts';
import { type Endpoint, parseHost, type TlsFiles } from '#client/endpoint.ts';
import type { Cli } from '../cli.ts';
import { ExitError } from '../errors.ts';
import { configDirectory } from './config-file.ts';

export const dockerSocket = '/var/run/docker.sock';
const berthSocket = '/var/run/berth.sock';

const variable = (name: string): string | undefined => {
  const value = process.env[name];
  return value === '' ? undefined : value;
};

/** The daemon that this run of the command line speaks to. */
export async function connect(cli: Cli): Promise<Client> {
  const { values } = await cli.config();
  const apiVersion = variable('DOCKER_API_VERSION');
  return new Client({
    endpoint: await resolveEndpoint(cli),
    ...(apiVersion === undefined ? {} : { apiVersion: parseVersion(apiVersion.replace(/^v/, '')) }),
    headers: { ...values.HttpHeaders, ...customHeaders() },
    userAgent: `Docker-Client/${cli.version} (${process.platform})`,
  });
}

/** DOCKER_CUSTOM_HEADERS: `Name=value,Name=value`. */
function customHeaders(): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const pair of (variable('DOCKER_CUSTOM_HEADERS') ?? '').split(',')) {
    const at = pair.indexOf('=');
    if (at > 0) headers[pair.slice(0, at).trim()] = pair.slice(at + 1);
  }
  return headers;
}

/** The name of the context in use: `default` when hosts are named directly. */
export async function currentContext(cli: Cli): Promise<string> {
  const { options } = cli;
  if (options.context !== undefined && options.hosts.length > 0) {
    throw new ExitError(1, 'conflicting options: cannot specify both --host and --context');
  }
  if (options.context !== undefined) return options.context;
  if (options.hosts.length > 0 || hostVariable(cli) !== undefined) return 'default';
  return variable('DOCKER_CONTEXT') ?? (await cli.config()).values.currentContext ?? 'default';
}

/** DOCKER_HOST, and before it BERTH_HOST for the program's own name. A context named in the environment wins over it. */
function hostVariable(cli: Cli): string | undefined {
  if (variable('DOCKER_CONTEXT') !== undefined) return undefined;
  return (cli.name === 'berth' ? variable('BERTH_HOST') : undefined) ?? variable('DOCKER_HOST');
}

export async function resolveEndpoint(cli: Cli): Promise<Endpoint> {
  const context = await currentContext(cli);
  if (context !== 'default') return (await import('./contexts.ts')).contextEndpoint(cli, context);
  return defaultEndpoint(cli);
}

/** What the context `default` stands for. */
export function defaultEndpoint(cli: Cli): Endpoint {
  if (cli.options.hosts.length > 1) throw new ExitError(1, 'specify only one -H');
  const host = cli.options.hosts[0] ?? (cli.name === 'berth' ? variable('BERTH_HOST') : undefined) ?? variable('DOCKER_HOST');
  if (host !== undefined) return parseHost(host, tlsFiles(cli));
  return parseHost(`unix://${cli.name === 'berth' && existsSync(berthSocket) ? berthSocket : dockerSocket}`);
}

function tlsFiles(cli: Cli): TlsFiles | undefined {
  const { options } = cli;
  const verify = options.tlsVerifyGiven ? options.tlsVerify : variable('DOCKER_TLS_VERIFY') !== undefined;
  if (!verify && !options.tls && variable('DOCKER_TLS') === undefined) return undefined;
  const directory = variable('DOCKER_CERT_PATH') ?? configDirectory(cli.options);
  // A default path that is not there is no certificate; one that was asked for must exist.
  const file = (given: string | undefined, name: string): string | undefined => {
    const path = given ?? join(directory, name);
    return given !== undefined || existsSync(path) ? path : undefined;
  };
  const [ca, cert, key] = [file(options.tlsCaCert, 'ca.pem'), file(options.tlsCert, 'cert.pem'), file(options.tlsKey, 'key.pem')];
  return { verify, ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }) };
}
