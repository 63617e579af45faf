import { chmod, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type ProxySettings, proxyFor } from '#host/registry/proxies.ts';
import { dataLoss, invalidArgument, isErrno, messageOf, unavailable } from '#base/errors.ts';

/** Asks for a URL, through whatever proxy there is. Rejects with Unavailable when nobody answers. */
export type FetchUrl = (url: string, signal: AbortSignal) => Promise<Response>;

export function createFetchUrl(proxies: ProxySettings): FetchUrl {
  return async (url, signal) => {
    try {
      const proxy = URL.canParse(url) ? proxyFor(new URL(url), proxies) : undefined;
      return await fetch(url, { signal, ...(proxy !== undefined && { proxy }) });
    } catch (err) {
      signal.throwIfAborted();
      throw unavailable(`cannot download ${withoutPassword(url)}: ${messageOf(err)}`, { cause: err });
    }
  };
}

/** The bytes behind a URL. Rejects with InvalidArgument for an answer that is no success. */
export async function openUrl(fetchUrl: FetchUrl, url: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const response = await fetchUrl(url, signal);
  if (!response.ok) {
    throw invalidArgument(
      `cannot download ${withoutPassword(url)}: the server answered ${`${response.status} ${response.statusText}`.trim()}`,
    );
  }
  return response.body ?? new ReadableStream({ start: out => out.close() });
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
  if (!URL.canParse(url)) return url;
  const parsed = new URL(url);
  if (parsed.username === '' && parsed.password === '') return url;
  parsed.username = '';
  parsed.password = '';
  return parsed.href;
}
