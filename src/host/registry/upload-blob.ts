import { dataLoss } from '#base/errors.ts';
import type { BlobUpload } from '#core/registry.ts';
import { errorOf } from './registry-errors.ts';
import { type HttpRequest, resolveLocation } from './transport.ts';

export type Send = (request: Omit<HttpRequest, 'signal'>) => Promise<Response>;

/** POST, then the bytes in one PATCH, then PUT with the digest. Each answer's Location is where the next request goes, as it is. */
export async function uploadBlob(send: Send, uploadsUrl: string, upload: BlobUpload): Promise<void> {
  const begun = await send({ method: 'POST', url: uploadsUrl, headers: { 'Content-Length': '0' } });
  if (begun.status !== 202) throw await errorOf('POST', uploadsUrl, begun);
  await begun.body?.cancel();
  const patchUrl = locationOf(begun, uploadsUrl);
  const patched = await send({
    method: 'PATCH',
    url: patchUrl,
    headers: { 'Content-Type': 'application/octet-stream' },
    body: upload.open(),
  });
  if (patched.status !== 202 && patched.status !== 201 && patched.status !== 204) throw await errorOf('PATCH', patchUrl, patched);
  await patched.body?.cancel();
  const putUrl = withQuery(locationOf(patched, patchUrl), 'digest', upload.digest());
  const finished = await send({
    method: 'PUT',
    url: putUrl,
    headers: { 'Content-Length': '0', 'Content-Type': 'application/octet-stream' },
  });
  if (finished.status !== 201 && finished.status !== 204) throw await errorOf('PUT', putUrl, finished);
  await finished.body?.cancel();
}

export function locationOf(response: Response, url: string): string {
  const location = response.headers.get('location');
  if (location === null) throw dataLoss(`the registry at ${new URL(url).host} did not say where to go on with an upload`);
  return resolveLocation(location, url);
}

/** Appends to the query without touching what is there: it may be signed. */
export const withQuery = (url: string, name: string, value: string): string =>
  `${url}${url.includes('?') ? '&' : '?'}${name}=${encodeURIComponent(value)}`;
