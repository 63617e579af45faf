import { invalidArgument } from '#base/errors.ts';

/** Where requests for a registry go. */
export interface Endpoint {
  /** `https://registry-1.docker.io`, without a slash at the end; mirrors may have a path. */
  readonly url: string;
  /** Certificates are not checked, and plain HTTP may be used. */
  readonly insecure: boolean;
  /** A mirror is asked first and may fail. */
  readonly isMirror: boolean;
}

export interface EndpointRules {
  /** URLs of mirrors of Docker Hub, in the order to try. */
  readonly mirrors: readonly string[];
  /** Hosts, `host:port`s and address blocks that need no valid certificate. Loopback addresses never need one. */
  readonly insecureRegistries: readonly string[];
}

const hubDomain = 'docker.io';
const hubHost = 'registry-1.docker.io';

/** The endpoints of a domain as image names have it, best first. Only pulls go to mirrors. */
export function endpointsOf(domain: string, rules: EndpointRules, actions: 'pull' | 'push'): Endpoint[] {
  if (domain !== hubDomain) return withScheme(domain, rules, false);
  const mirrors = actions === 'pull' ? rules.mirrors.flatMap(mirror => mirrorEndpoints(mirror, rules)) : [];
  return [...mirrors, ...withScheme(hubHost, rules, false)];
}

function withScheme(host: string, rules: EndpointRules, isMirror: boolean): Endpoint[] {
  const insecure = isInsecure(host, rules.insecureRegistries);
  const https = { url: `https://${host}`, insecure, isMirror };
  return insecure ? [https, { ...https, url: `http://${host}` }] : [https];
}

function mirrorEndpoints(mirror: string, rules: EndpointRules): Endpoint[] {
  const url = parseMirror(mirror);
  const base = `${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, '')}`;
  return [{ url: base, insecure: isInsecure(url.host, rules.insecureRegistries), isMirror: true }];
}

/** Rejects with InvalidArgument, saying what is wrong with the operator's `--registry-mirror`. */
export function parseMirror(mirror: string): URL {
  const url = URL.canParse(mirror) ? new URL(mirror) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw invalidArgument(`invalid mirror "${mirror}": expected a URL such as https://mirror.example.com`);
  }
  if (url.username !== '' || url.password !== '')
    throw invalidArgument(`invalid mirror: ${url.host} must not carry a user name or password`);
  if (url.search !== '' || url.hash !== '') throw invalidArgument(`invalid mirror "${mirror}": no query or fragment is allowed`);
  return url;
}

/** Whether a `host[:port]` may be spoken to without a valid certificate. */
export function isInsecure(hostPort: string, insecureRegistries: readonly string[]): boolean {
  const host = hostPort.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  if (host === 'localhost' || host === '::1' || inBlock(host, '127.0.0.0/8')) return true;
  return insecureRegistries.some(rule => rule === hostPort || rule === host || inBlock(host, rule));
}

function inBlock(host: string, block: string): boolean {
  const [base = '', bits] = block.split('/');
  const [address, network] = [toNumber(host), toNumber(base)];
  if (bits === undefined || address === undefined || network === undefined || address.width !== network.width) return false;
  const length = Number(bits);
  if (!Number.isInteger(length) || length < 0 || length > address.width) return false;
  const shift = BigInt(address.width - length);
  return address.value >> shift === network.value >> shift;
}

/** An address as a number with its width in bits; undefined for a name. */
function toNumber(text: string): { readonly value: bigint; readonly width: number } | undefined {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) {
    const parts = text.split('.').map(Number);
    return parts.every(part => part < 256) ? { value: parts.reduce((sum, part) => sum * 256n + BigInt(part), 0n), width: 32 } : undefined;
  }
  if (!/^[0-9a-fA-F:]+$/.test(text) || !text.includes(':')) return undefined;
  const [front = '', back] = text.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const missing = 8 - groups(front).length - groups(back ?? '').length;
  const all = back === undefined ? groups(front) : [...groups(front), ...Array<string>(Math.max(missing, 0)).fill('0'), ...groups(back)];
  return all.length === 8 ? { value: all.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n), width: 128 } : undefined;
}
