import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import { invalidArgument } from '#base/errors.ts';

const limitBytes = 1024 * 1024;

/**
 * The body of a request that asks for an upgrade. The HTTP parser stops at its head, so the body comes first among the bytes of the connection.
 * Returns what followed it.
 */
export async function readUpgradeBody(
  headers: IncomingHttpHeaders,
  head: Uint8Array,
  socket: Duplex,
): Promise<{ readonly body: Uint8Array; readonly rest: Uint8Array }> {
  const chunked = headers['transfer-encoding']?.toLowerCase() === 'chunked';
  const lengthBytes = Number(headers['content-length'] ?? 0);
  if (!chunked && lengthBytes === 0) return { body: new Uint8Array(), rest: head };
  if (!chunked && !(lengthBytes <= limitBytes))
    throw invalidArgument(`request body too large: ${lengthBytes} bytes, at most ${limitBytes}`);
  const split = chunked
    ? splitChunked
    : (bytes: Buffer) =>
        bytes.length < lengthBytes ? undefined : { body: bytes.subarray(0, lengthBytes), rest: bytes.subarray(lengthBytes) };
  let bytes = Buffer.from(head);
  for (;;) {
    const parts = split(bytes);
    if (parts !== undefined) return parts;
    if (bytes.length > limitBytes) throw invalidArgument(`request body too large: more than ${limitBytes} bytes`);
    bytes = Buffer.concat([bytes, await nextChunk(socket)]);
  }
}

/** Body and rest of a complete chunked encoding (RFC 9112, 7.1); undefined while more is to come. */
function splitChunked(bytes: Buffer): { body: Buffer; rest: Buffer } | undefined {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd === -1) return undefined;
    const line = bytes.toString('latin1', at, lineEnd);
    const size = /^[0-9a-fA-F]{1,7}(?:;.*)?$/.test(line) ? Number.parseInt(line, 16) : Number.NaN;
    if (Number.isNaN(size)) throw invalidArgument(`invalid chunked encoding: ${JSON.stringify(line.slice(0, 40))} is no chunk size`);
    const next = lineEnd + 2 + size + 2;
    if (bytes.length < next) return undefined;
    if (size === 0) return { body: Buffer.concat(parts), rest: bytes.subarray(next) };
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = next;
  }
}

async function nextChunk(socket: Duplex): Promise<Buffer> {
  return await new Promise<Buffer>((resolve, reject) => {
    const settle = (act: () => void) => (): void => {
      socket.pause();
      socket.off('data', onData);
      socket.off('end', onEnd);
      socket.off('close', onEnd);
      act();
    };
    const onEnd = settle(() => reject(invalidArgument('invalid JSON: the connection ended within the request body')));
    const onData = (chunk: Buffer): void => settle(() => resolve(chunk))();
    socket.on('data', onData);
    socket.once('end', onEnd);
    socket.once('close', onEnd);
    socket.resume();
  });
}
