import { invalidArgument } from '#base/errors.ts';

export interface TlsFiles {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Check the daemon's certificate. */
  readonly verify: boolean;
}

/** Where a daemon listens. `text` is the host as the user wrote it, for messages. */
export type Endpoint =
  | { readonly kind: 'unix'; readonly text: string; readonly path: string }
  | {
      readonly kind: 'tcp';
      readonly text: string;
      readonly host: string;
      readonly port: number;
      readonly basePath: string;
      readonly tls?: TlsFiles;
    }
  | {
      readonly kind: 'ssh';
      readonly text: string;
      readonly user?: string;
      readonly host: string;
      readonly port?: number;
      readonly path?: string;
    };

const plainPort = 2375;
const tlsPort = 2376;

/** Parses a value of `-H` or DOCKER_HOST: `unix://path`, `tcp://host:port`, `ssh://user@host`, `http(s)://…`, or `host:port`. */
export function parseHost(text: string, tls?: TlsFiles): Endpoint {
  const value = text.trim();
  const [scheme, rest] = value.includes('://') ? splitScheme(value) : ['tcp', value];
  switch (scheme) {
    case 'unix':
      return { kind: 'unix', text: `unix://${rest}`, path: rest === '' ? '/var/run/docker.sock' : rest };
    case 'tcp':
    case 'http':
    case 'https':
      return parseTcp(value, scheme, rest, scheme === 'https' ? (tls ?? { verify: true }) : tls);
    case 'ssh':
      return parseSsh(value);
    case 'fd':
    case 'npipe':
      throw invalidArgument(
        `unable to resolve docker endpoint: protocol not available: ${scheme} in "${text}" (use unix://, tcp:// or ssh://)`,
      );
    default:
      throw invalidArgument(`invalid bind address (${text}): unsupported proto "${scheme}"; use unix://, tcp:// or ssh://`);
  }
}

function splitScheme(value: string): [string, string] {
  const at = value.indexOf('://');
  return [value.slice(0, at), value.slice(at + 3)];
}

function parseTcp(text: string, scheme: string, rest: string, tls: TlsFiles | undefined): Endpoint {
  let url: URL;
  try {
    url = new URL(`http://${rest === '' ? 'localhost' : rest.startsWith(':') ? `localhost${rest}` : rest}`);
  } catch (err) {
    throw invalidArgument(`invalid proto, expected tcp: ${text}: the host or the port cannot be read`, { cause: err });
  }
  const explicitPort = /:(\d+)(?:\/.*)?$/.exec(rest)?.[1];
  const defaultPort = scheme === 'http' ? 80 : scheme === 'https' ? 443 : tls === undefined ? plainPort : tlsPort;
  return {
    kind: 'tcp',
    text: text.includes('://') ? text : `tcp://${text}`,
    host: url.hostname,
    port: explicitPort === undefined ? defaultPort : Number(explicitPort),
    basePath: url.pathname === '/' ? '' : url.pathname.replace(/\/$/, ''),
    ...(tls === undefined ? {} : { tls }),
  };
}

function parseSsh(text: string): Endpoint {
  let url: URL;
  try {
    url = new URL(text);
  } catch (err) {
    throw invalidArgument(`ssh: parse "${text}": not a URL; write ssh://user@host:port`, { cause: err });
  }
  if (url.hostname === '') throw invalidArgument(`ssh: no host specified in "${text}"`);
  if (url.password !== '')
    throw invalidArgument(`ssh: plain-text password is not supported in "${text.replace(url.password, '***')}"; use a key`);
  if (url.search !== '' || url.hash !== '') throw invalidArgument(`ssh: extra query or fragment after the host in "${text}"`);
  return {
    kind: 'ssh',
    text,
    host: decodeURIComponent(url.hostname.replace(/^\[|\]$/g, '')),
    ...(url.username === '' ? {} : { user: decodeURIComponent(url.username) }),
    ...(url.port === '' ? {} : { port: Number(url.port) }),
    ...(url.pathname === '' || url.pathname === '/' ? {} : { path: url.pathname }),
  };
}
