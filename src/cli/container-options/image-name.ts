import { invalidArgument } from '#base/errors.ts';

export interface ImageName {
  /** As people write it: without Docker Hub's host and its `library/`. */
  readonly familiar: string;
  /** What a pull asks for. */
  readonly repository: string;
  /** A tag, or a digest with its algorithm. */
  readonly tag: string;
}

const hubHosts = ['docker.io', 'index.docker.io'];
const domainPattern =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::\d+)?$/;
const pathPattern = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/;

/** Reads an image's name, `[host/]path[:tag][@digest]`. Undefined for something that can only be an image's id. */
export function parseImageName(text: string): ImageName | undefined {
  if (/^[a-f0-9]{64}$/.test(text)) return undefined;
  const bad = (detail = ''): never => {
    throw invalidArgument(`invalid reference format${detail}`);
  };
  const digestAt = text.indexOf('@');
  const digest = digestAt < 0 ? '' : text.slice(digestAt + 1);
  if (digestAt >= 0 && !/^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/.test(digest)) bad();
  const named = digestAt < 0 ? text : text.slice(0, digestAt);
  const colon = named.lastIndexOf(':');
  const tagged = colon > named.lastIndexOf('/');
  const tag = tagged ? named.slice(colon + 1) : '';
  if (tagged && !/^\w[\w.-]{0,127}$/.test(tag)) bad();
  const full = tagged ? named.slice(0, colon) : named;
  const { host, path } = splitHost(full);
  if (host !== '' && !domainPattern.test(host)) bad();
  if (path === '' || full.length > 255) bad();
  if (!pathPattern.test(path)) bad(path === path.toLowerCase() ? '' : `: repository name (${path}) must be lowercase`);
  const onHub = host === '' || hubHosts.includes(host);
  const name = onHub ? path.replace(/^library\/(?=[^/]+$)/, '') : `${host}/${path}`;
  const suffix = (tag === '' ? (digest === '' ? ':latest' : '') : `:${tag}`) + (digest === '' ? '' : `@${digest}`);
  return { familiar: name + suffix, repository: name, tag: digest === '' ? (tag === '' ? 'latest' : tag) : digest };
}

function splitHost(name: string): { host: string; path: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isHost = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  if (!isHost) return { host: '', path: slash < 0 ? `library/${name}` : name };
  const path = name.slice(slash + 1);
  return { host: first, path: hubHosts.includes(first) && !path.includes('/') ? `library/${path}` : path };
}
