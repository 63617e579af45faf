import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/**
 * A connection for HTTP/2, with bytes put first that have been read of it already. HTTP/2 wants a stream from its first byte on, and this runtime's does not read what
 * was unshifted into a socket.
 */
export function joinSocket(socket: Socket, start: Uint8Array): Duplex {
  const joined = new Duplex({
    read: () => void socket.resume(),
    write: (chunk: Uint8Array, _encoding, done) => void socket.write(chunk, () => done()),
    final(done) {
      socket.end(() => done());
    },
    destroy(err, done) {
      socket.destroy();
      done(err);
    },
  });
  if (start.length > 0) joined.push(start);
  socket.on('data', chunk => {
    if (!joined.push(chunk)) socket.pause();
  });
  socket.on('end', () => {
    joined.push(null);
    // HTTP/2 is never spoken in one direction: whoever sends no more has gone, even where nothing else tells so.
    joined.once('end', () => joined.destroy());
  });
  socket.on('error', err => joined.destroy(err));
  socket.on('close', () => joined.destroy());
  // What goes wrong ends in `close`; a listener must exist all the same.
  joined.on('error', () => undefined);
  return joined;
}
