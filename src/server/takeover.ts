import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** What a request that takes its connection over without asking for an upgrade is marked with, so that the parser hands all of the rest over. */
export const takeoverToken = 'x-takeover';

const takesOver = /^POST (?:\/v[\d.]+)?\/(?:containers\/[^/? ]+\/attach|exec\/[^/? ]+\/start)(?:\?[^ ]*)? HTTP\/1\.1\r\n/;
const asksUpgrade = /\r\nupgrade:/i;
/** The longest beginning that the pattern is looked for in: a path and its query. */
const lineLimitBytes = 8192;

/**
 * Older clients attach without `Upgrade` and may send input right behind the request. An HTTP parser takes such bytes for the next request: it has to be
 * told where HTTP ends. Feeds the server's parser, marking these requests; `busy` tells when bytes belong to a request under way.
 * Returns how to stop.
 */
export function feedParser(socket: Socket, http: Server, busy: () => boolean): () => void {
  http.emit('connection', socket);
  const parsers = socket.listeners('data') as ((chunk: Buffer) => void)[];
  const feed = (chunk: Buffer): void => {
    const bytes = busy() ? chunk : markTakeover(chunk);
    for (const parse of parsers) parse.call(socket, bytes);
  };
  for (const parse of parsers) socket.off('data', parse);
  socket.on('data', feed);
  return () => void socket.off('data', feed);
}

export function markTakeover(chunk: Buffer): Buffer {
  // 'P': nearly everything else is told apart by its first byte.
  if (chunk[0] !== 0x50) return chunk;
  const line = takesOver.exec(chunk.toString('latin1', 0, lineLimitBytes))?.[0];
  if (line === undefined) return chunk;
  const headEnd = chunk.indexOf('\r\n\r\n');
  if (headEnd === -1 || asksUpgrade.test(chunk.toString('latin1', line.length - 2, headEnd))) return chunk;
  const mark = Buffer.from(`Connection: Upgrade\r\nUpgrade: ${takeoverToken}\r\n`);
  return Buffer.concat([chunk.subarray(0, line.length), mark, chunk.subarray(line.length)]);
}
