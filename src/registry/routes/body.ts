import type { Body } from '../uploads.ts';

/** Up to this a body is taken as a whole; what is larger arrives piece by piece. */
const wholeBytes = 256 * 1024;

/** The bytes of a request. What is larger than a little is read as fast as it is used up, no faster. */
export async function bodyOf(request: Request): Promise<Body> {
  const { body } = request;
  if (body === null) return new Uint8Array();
  const length = declaredLength(request);
  return length !== undefined && length <= wholeBytes ? await request.bytes() : body;
}

export function declaredLength(request: Request): number | undefined {
  const text = request.headers.get('content-length');
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** A small body as a whole; undefined when it is longer than allowed. */
export async function readLimited(request: Request, maxBytes: number): Promise<Uint8Array | undefined> {
  const length = declaredLength(request);
  if (length !== undefined) return length > maxBytes ? undefined : await request.bytes();
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.length;
    if (bytes > maxBytes) return undefined;
    parts.push(chunk);
  }
  return Buffer.concat(parts);
}
