import { chmod, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type ProxySettings, proxyFor } from '#host/registry/proxies.ts';
import { dataLoss, invalidArgument, isErrno, messageOf, unavailable } from '#base/errors.ts';

/**
 * Asks for a URL, through whatever proxy there is, and wherever it is sent on to. Rejects with InvalidArgument for what is no web address, Unavailable when
 * nobody answers.
 */
export type FetchUrl = (url: string, signal: AbortSignal) => Promise<Response>;

const maxRedirects = 10;

export function createFetchUrl(proxies: ProxySettings): FetchUrl {
  return async (url, signal) => {
    let next = parseAddress(url);
    let authorization = credentialsIn(next);
    for (let hop = 0; ; hop += 1) {
      const response = await request(next, authorization, proxies, signal);
      const location = response.headers.get('location');
      if (location === null || ![301, 302, 303, 307, 308].includes(response.status)) return response;
      await response.body?.cancel();
      if (hop >= maxRedirects) throw invalidArgument(`cannot download ${withoutPassword(url)}: stopped after ${maxRedirects} redirects`);
      const target = parseAddress(URL.canParse(location, next.href) ? new URL(location, next).href : location);
      authorization = credentialsIn(target) ?? (target.host === next.host ? authorization : undefined);
      next = target;
    }
  };
}

/** Each host by the rules for it: one may be behind a proxy, the next not. */
async function request(url: URL, authorization: string | undefined, proxies: ProxySettings, signal: AbortSignal): Promise<Response> {
  const proxy = proxyFor(url, proxies);
  const address = new URL(url);
  address.username = address.password = '';
  try {
    return await fetch(address, {
      signal,
      redirect: 'manual',
      ...(authorization !== undefined && { headers: { Authorization: authorization } }),
      ...(proxy !== undefined && { proxy }),
    });
  } catch (err) {
    signal.throwIfAborted();
    throw unavailable(`cannot download ${withoutPassword(url.href)}: ${messageOf(err)}`, { cause: err });
  }
}

function parseAddress(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined)
    throw invalidArgument(`cannot download ${withoutPassword(text)}: it is no address such as https://example.com/file`);
  if (url.protocol === 'http:' || url.protocol === 'https:') return url;
  throw invalidArgument(`cannot download ${withoutPassword(text)}: unsupported protocol scheme "${url.protocol.slice(0, -1)}"`);
}

/** What stands before the host of an address lets somebody in there. */
function credentialsIn({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined;
  return `Basic ${Buffer.from(`${decode(username)}:${decode(password)}`).toString('base64')}`;
}

/** What is behind a URL. */
export interface RemoteFile {
  /** The URL as it may be shown. */
  readonly name: string;
  /** Undefined when the server does not say. */
  readonly sizeBytes: number | undefined;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** Rejects with InvalidArgument for an answer that is no success. */
export async function openUrl(fetchUrl: FetchUrl, url: string, signal: AbortSignal): Promise<RemoteFile> {
  const response = await fetchUrl(url, signal);
  if (!response.ok) {
    throw invalidArgument(
      `cannot download ${withoutPassword(url)}: the server answered ${`${response.status} ${response.statusText}`.trim()}`,
    );
  }
  const length = response.headers.get('content-encoding') === null ? response.headers.get('content-length') : null;
  return {
    name: withoutPassword(url),
    sizeBytes: length === null ? undefined : Number(length),
    bytes: response.body ?? new ReadableStream({ start: out => out.close() }),
  };
}

/**
 * Downloads a URL into a file of mode 600 in this directory, named by the answer or the URL. The file's time is that of Last-Modified, else 1970. Rejects
 * with InvalidArgument for an answer that is no success, Unavailable when nobody answers, DataLoss when the checksum is another one.
 */
export async function download(
  fetchUrl: FetchUrl,
  url: string,
  directory: string,
  options: { readonly checksum?: string | undefined },
  signal: AbortSignal,
): Promise<{ readonly path: string; readonly contentType: string }> {
  const response = await fetchUrl(url, signal);
  if (!response.ok) throw invalidArgument(`invalid response status ${String(response.status)} from ${withoutPassword(url)}`);
  const path = join(directory, fileName(response, url));
  const hasher = new Bun.CryptoHasher('sha256');
  const writer = Bun.file(path).writer();
  try {
    for await (const chunk of response.body ?? []) {
      signal.throwIfAborted();
      hasher.update(chunk);
      void writer.write(chunk);
      await writer.flush();
    }
  } catch (err) {
    signal.throwIfAborted();
    throw isErrno(err, 'ENOSPC') ? err : unavailable(`downloading ${withoutPassword(url)} broke off: ${messageOf(err)}`, { cause: err });
  } finally {
    await writer.end();
  }
  const digest = `sha256:${hasher.digest('hex')}`;
  if (options.checksum !== undefined && options.checksum !== digest) {
    throw dataLoss(`digest mismatch for ${withoutPassword(url)}: ${digest} (expected: ${options.checksum})`);
  }
  await chmod(path, 0o600);
  const modified = Date.parse(response.headers.get('last-modified') ?? '');
  const seconds = Number.isNaN(modified) ? 0 : Math.floor(modified / 1000);
  await utimes(path, seconds, seconds);
  return { path, contentType: response.headers.get('content-type') ?? '' };
}

/** The name in the answer, else the last part of the URL's path; never one that leads elsewhere. */
function fileName(response: Response, url: string): string {
  const disposition = response.headers.get('content-disposition') ?? '';
  const named = /filename="([^"]+)"|filename=([^;\s]+)/.exec(disposition);
  const lastPart = decode(new URL(url).pathname.split('/').at(-1) ?? '');
  for (const name of [named?.[1] ?? named?.[2], lastPart]) {
    if (name !== undefined && name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name)) return name;
  }
  return 'download';
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** For messages: whatever lets somebody in is left out. */
export function withoutPassword(url: string): string {
  if (!url.includes('://') || !URL.canParse(url)) return url.replace(/^([a-z][a-z0-9+.-]*:\/\/).*@/i, '$1').replace(/^[^/]*@/, '');
  const parsed = new URL(url);
  if (parsed.username === '' && parsed.password === '') return url;
  parsed.username = '';
  parsed.password = '';
  return parsed.href;
}
